//! The domain's laws as functions over folded states: what must hold after every event, or after every command
//! ([`watched`] says which). They read only states and never repeat a decision: a law that relies on the rules proves
//! nothing about them.

pub mod crossing;
pub mod order;
pub mod payment;
pub mod stock;
pub mod watched;

pub use watched::{Lawful, Watched};

/// A law: its short name, and what it says.
pub type Law = (&'static str, &'static str);

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, by its short name.
    pub law: &'static str,
    /// The numbers, and whose they are.
    pub detail: String,
}

type Verdict = Result<(), Violation>;

/// Every law. An order's laws have their statement as their name, and say here when they hold.
pub const ALL: &[Law] = &[
    ("terminal statuses have no successors", "of an order, after every event of its stream"),
    ("captured money is never less", "of an order, after every event of its stream"),
    ("what happened to units stays", "of an order, after every event of its stream"),
    (
        "ordered = cancelled + reserved + backordered + unassigned + shipped",
        "of an order, after every event of its stream",
    ),
    ("none beyond reserved ships", "of an order, after every event of its stream"),
    ("delivered + lost ≤ shipped", "of an order, after every event of its stream"),
    ("returned + announced + lost ≤ shipped", "of an order, after every event of its stream"),
    ("restocked + written off = returned", "of an order, after every event of its stream"),
    ("line total = subtotal − discounts + tax", "of an order, after every event of its stream"),
    ("only units have a value", "of an order, after every event of its stream"),
    ("the parts of a line are not worth more than it", "of an order, after every event of its stream"),
    ("the last unit takes the rest of its line", "of an order, after every event of its stream"),
    ("what came back is worth what it was shipped for", "of an order, after every event of its stream"),
    ("totals = Σ lines and charges", "of an order, after every event of its stream"),
    ("shipping charges are due once", "of an order, after every event of its stream"),
    ("Σ shipments = lines", "of an order, after every event of its stream"),
    ("Σ shipping charges of shipments = what is due with them", "of an order, after every event of its stream"),
    ("Σ announced returns = lines", "of an order, after every event of its stream"),
    ("Σ returns = value that came back", "of an order, after every event of its stream"),
    ("Σ cancellations = value cancelled", "of an order, after every event of its stream"),
    ("captured ≤ authorised", "of an order, after every event of its stream"),
    ("refunded + refund pending ≤ captured", "of an order, after every event of its stream"),
    ("Σ granted ≤ captured", "of an order, after every event of its stream"),
    ("a refund is more than nothing", "of an order, after every event of its stream"),
    ("Σ parts = refund", "of an order, after every event of its stream"),
    ("refunded by a line ≤ what left of it", "of an order, after every event of its stream"),
    ("nothing ships before it is captured", "of an order, after every event of its stream"),
    ("nothing ships before confirmation", "of an order, after every event of its stream"),
    ("completed means shipped, and nothing open", "of an order, after every event of its stream"),
    ("rejected means nothing held and nothing shipped", "of an order, after every event of its stream"),
    ("cancelled means all of it, and nothing shipped", "of an order, after every event of its stream"),
    ("what is still to be taken stays held", "of an order, after every event of its stream"),
    (
        "the end of an authorisation that is needed is seen to",
        "of an order that is confirmed and not being cancelled, once all events of a command are folded",
    ),
    ("an order stays", "of an order, after every event of its stream"),
    ("lines stay", "of an order, after every event of its stream"),
    ("what is granted is given back", "of an order that ended, once nothing of it is on its way"),
    ("captured − refunded = value of units kept", "of an order that ended, once nothing of it is on its way"),
    payment::HELD,
    payment::REFUNDED,
    payment::SUMS,
    payment::LIVE,
    payment::WAITS,
    payment::ABLE,
    payment::KEPT,
    payment::ENDING,
    payment::STAGE,
    payment::FORWARD,
    payment::EVIDENCE,
    stock::BOOK,
    stock::SUMS,
    stock::COVERED,
    stock::LIMIT,
    stock::QUEUE,
    stock::ENDS,
    stock::SHORTAGE,
    crossing::UNITS,
    crossing::RETURNED,
    crossing::LET_GO,
    crossing::GOODS_FOR_SHIPMENTS,
    crossing::PAID,
    crossing::OWNED,
    crossing::TOLD,
    crossing::HELD_ON,
    crossing::SURPLUS,
    crossing::COVERED,
    crossing::RESERVED,
    crossing::TAKEN_OVER,
];

fn hold(law: Law, holds: bool, detail: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Violation { law: law.0, detail: detail() }) }
}

#[test]
fn every_law_is_listed_once_and_is_a_law() {
    let source = include_str!("laws/order.rs");
    let mut names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    for (name, statement) in ALL {
        let short = name.contains('-') && !name.contains(' ');
        assert!(short || source.contains(&format!("\"{name}\"")), "{name}");
        assert!(!statement.is_empty());
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
}
