//! What crosses the HTTP edge: the bodies that are taken in and those that are given out, never one type for both.
//! What comes in names no stored type and is turned into a domain command here; what goes out is read from folded state.

pub mod address;
pub mod amendment;
pub mod cancellation;
pub mod check;
pub mod code;
pub mod command;
pub mod event;
pub mod hold;
pub mod import;
pub mod instant;
pub mod line;
mod mirror;
pub mod money;
pub mod note;
pub mod order;
pub mod payment;
pub mod place;
pub mod placement;
pub mod problem;
pub mod record;
pub mod refund;
pub mod reservation;
pub mod returns;
pub mod shipment;
pub mod status;
pub mod stock;
pub mod tender;
pub mod test_clock;

use domain::ids::{Channel, LocationId};

/// The most lines that an order, or a list of lines in any body, may have.
pub const MOST_LINES: usize = 2_000;
/// The most units that a line, a receipt or a reservation may name.
pub const MOST_UNITS: u32 = 1_000_000;

/// What a body leaves out is taken from here; configured, and the same for every request of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Where stock is kept.
    pub location: LocationId,
    /// Where orders come from.
    pub channel: Channel,
    /// How long stock stays reserved before confirmation, in seconds.
    pub reserve_for_s: u32,
}

/// How a command is named by whoever runs it: what a body leaves unnamed is named after it, so that the same request made again
/// names the same things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names(pub uuid::Uuid);

impl Names {
    /// The id of what the command makes, `what` telling it from other things that the same command makes. It never equals an id
    /// that a process derives, even where an order has the id of a command.
    #[must_use]
    pub fn of(self, what: &str) -> uuid::Uuid {
        // Version 5, as callers may make theirs: what was named so can be named again in a later request.
        uuid::Uuid::new_v5(&self.0, what.as_bytes())
    }
}
