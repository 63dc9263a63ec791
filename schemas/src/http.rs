//! The bodies of the HTTP edge: request bodies and response bodies, never one type for both. A request body names no
//! stored type and is converted to a domain command here; a response body is made from folded state.

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

/// Defaults for fields that a body leaves out; configured, and the same for every request of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Where stock is kept.
    pub location: LocationId,
    /// Where orders come from.
    pub channel: Channel,
    /// How long stock stays reserved before confirmation, in seconds.
    pub reserve_for_s: u32,
}

/// Derives ids from a command's name: ids that a body leaves out are derived from it, so that the same request, sent
/// again, creates the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names(pub uuid::Uuid);

impl Names {
    /// The id of a thing that the command creates; `what` distinguishes several things of one command. It never equals
    /// an id that a saga derives, even where an order has the id of a command.
    #[must_use]
    pub fn of(self, what: &str) -> uuid::Uuid {
        // Version 5, as callers may use: a later request can name this id.
        uuid::Uuid::new_v5(&self.0, what.as_bytes())
    }
}
