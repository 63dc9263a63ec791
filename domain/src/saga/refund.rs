//! A granted refund: payments gives the money back, and the order is told. Forwards only; a refund that the provider will not make
//! is told to a person. Refunds of a cancellation are seen to by the cancellation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{Direction, Started};
use super::money::{self, Waits};
use super::process::{Batch, Origin, Process};
use super::state::State;
use super::step::{Ask, Notice, Retry, Step, When};
use crate::ids::{OrderId, PaymentId, RefundId, within};
use crate::money::Minor;
use crate::order::state::Placed;
use crate::{Command, Event, order, payment, stream};

/// Its kind.
pub const KIND: &str = "refund";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// What a refund needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
    /// Why.
    pub reason: String,
}

/// What the saga of a refund is about. The refund's id alone is unique within its order only.
#[must_use]
pub fn subject(order_id: OrderId, refund_id: RefundId) -> Uuid {
    within(order_id, KIND, refund_id.0, "")
}

/// A granted refund starts one, unless a cancellation granted it.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Option<Started> {
    let Event::Order(order::Event::RefundGranted(granted)) = origin.event else {
        return None;
    };
    if granted.cancellation_id.is_some() {
        return None;
    }
    let input = Input {
        order_id: order.order_id,
        refund_id: granted.refund_id,
        payment_id: order.payment.payment_id?,
        amount: granted.amount,
        reason: granted.reason.clone(),
    };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: subject(order.order_id, granted.refund_id),
        correlation: order.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        let refund = Step {
            retry: Retry { attempts: 6, first_ms: 1_000, cap_ms: 300_000 },
            ..Step::new("refund", &[]).by_evidence(stream::payment(self.payment_id))
        };
        vec![
            refund,
            Step::new("tell_unknown", &[]).when(When::Unknown("refund")),
            Step::new("tell_refunded", &["refund"]).patient(),
        ]
    }

    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command> {
        match ask.step {
            "refund" => Some(Command::Payment {
                payment_id: self.payment_id,
                command: payment::Command::Refund {
                    refund_id: self.refund_id,
                    amount: self.amount,
                    reason: self.reason.clone(),
                },
            }),
            "tell_unknown" | "tell_refunded" => money::record(state, self.order_id),
            _ => None,
        }
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        let step = ("refund", Direction::Do, Waits::Refund(self.refund_id));
        money::hear(batch, self.payment_id, step, notices);
    }
}
