//! Cancellation of units of a confirmed order: stock releases them, and the cancellation is closed. The order itself
//! decides, with the cancellation, which money is refunded or voided. Forwards only. The checkout cancels a pending
//! order, not this saga.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::Started;
use super::goods::{self, Part};
use super::process::{Batch, Origin, Process};
use super::state::State;
use super::step::{Ask, Notice, Step};
use super::withdrawn;
use crate::ids::{CancellationId, OrderId, ReservationId, ShipmentId, within};
use crate::order::state::{Placed, Status};
use crate::{Command, Event, order};

/// Its kind.
pub const KIND: &str = "cancellation";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// The reason of the release. The caller's own words stay with the order: repeated for each line, they would make a
/// command with the most lines too large to send.
const LET_GO: &str = "cancelled";

/// What a cancellation needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The cancellation.
    pub cancellation_id: CancellationId,
    /// The order's reservation.
    pub reservation_id: Option<ReservationId>,
    /// The units to release.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub parts: Vec<Part>,
    /// The shipments that have to be back in stock before it releases anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ShipmentId>,
}

/// What the saga of a cancellation is about. The cancellation's id alone is unique within its order only.
#[must_use]
pub fn subject(order_id: OrderId, cancellation_id: CancellationId) -> Uuid {
    within(order_id, KIND, cancellation_id.0, "")
}

/// Cancelled lines of a confirmed order start one.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Option<Started> {
    let Event::Order(order::Event::LinesCancelled(cancelled)) = origin.event else {
        return None;
    };
    if !matches!(order.status, Status::Confirmed | Status::Completed) {
        return None;
    }
    let input = Input {
        order_id: order.order_id,
        cancellation_id: cancelled.cancellation_id,
        reservation_id: order.reservation_id,
        parts: goods::parts_to_release(order, &cancelled.release),
        after: withdrawn::not_back_yet(order, Some(cancelled.cancellation_id)),
    };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: subject(order.order_id, cancelled.cancellation_id),
        correlation: order.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Process for Input {
    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::with_capacity(2);
        if !self.parts.is_empty() {
            if !withdrawn::are_back(state, &self.after) {
                return steps;
            }
            steps.push(Step::new("release", &[]).patient());
        }
        steps.push(Step::new("close", &["release"]).patient());
        steps
    }

    fn command(&self, _state: &State, ask: Ask<'_>) -> Option<Command> {
        match ask.step {
            "release" => {
                let release_id = subject(self.order_id, self.cancellation_id);
                let (reservation_id, order_id) = (self.reservation_id?, self.order_id);
                let release = goods::Release { reservation_id, order_id, release_id, reason: LET_GO };
                Some(release.units(&self.parts))
            }
            "close" => {
                let command =
                    order::Command::CloseCancellation { cancellation_id: self.cancellation_id, payment: None };
                Some(Command::Order { order_id: self.order_id, command })
            }
            _ => None,
        }
    }

    fn listen(&self, state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        withdrawn::hear(state, batch, &self.after, notices);
    }

    fn complete(&self, state: &State) -> bool {
        state.is_done("close")
    }
}
