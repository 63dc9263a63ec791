//! Voids the part of one payment's authorised amount that will not be captured. Forwards only.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{Direction, Started};
use super::money::{self, Waits};
use super::process::{Batch, Origin, Process};
use super::state::State;
use super::step::{Ask, Notice, Step};
use crate::ids::{OrderId, PaymentId, within};
use crate::money::Minor;
use crate::order::state::Placed;
use crate::{Command, Event, order, payment, stream};

/// Its kind.
pub const KIND: &str = "surplus";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// What it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// What of it is still needed.
    pub keep: Minor,
}

/// The subject of the saga of a payment: the payment, and the event that released its surplus.
#[must_use]
pub fn subject(order_id: OrderId, payment_id: PaymentId, event_id: Uuid) -> Uuid {
    within(order_id, KIND, payment_id.0, &event_id.to_string())
}

/// A released surplus starts one for each payment.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Vec<Started> {
    let Event::Order(order::Event::SurplusReleased(released)) = origin.event else {
        return Vec::new();
    };
    let order_id = order.order_id;
    let of = |share: &order::event::PaymentShare| {
        let input = Input { order_id, payment_id: share.payment_id, keep: share.amount };
        Some(Started {
            kind: KIND.into(),
            definition: DEFINITION,
            subject: subject(order_id, share.payment_id, origin.event_id),
            correlation: order_id.0,
            input: serde_json::to_value(input).ok()?,
        })
    };
    released.keep.iter().filter_map(of).collect()
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        vec![Step::new("void", &[]).patient().by_evidence(stream::payment(self.payment_id))]
    }

    fn command(&self, _state: &State, _ask: Ask<'_>) -> Option<Command> {
        Some(Command::Payment { payment_id: self.payment_id, command: payment::Command::Void { keep: self.keep } })
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        let step = ("void", Direction::Do, Waits::Void { keep: self.keep });
        money::hear(batch, self.payment_id, step, notices);
    }
}
