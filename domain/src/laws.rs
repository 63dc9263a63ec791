//! The laws of DOMAIN as functions over folded states: what must hold after every event.
//! They read states only, and never repeat a decision: a law that trusts the rule book proves nothing.

pub mod order;

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, by its short name.
    pub law: &'static str,
    /// The numbers, and whose they are.
    pub detail: String,
}
