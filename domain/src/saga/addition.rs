//! A further payment of an order: authorised at the provider, and captured at once where the order's terms say so. A
//! decline ends it: it is recorded in the order, and can be paid another way.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::event::{Direction, Started};
use super::money::{self, Waits, WaitsTold};
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then};
use crate::ids::{CaptureId, OrderId, PaymentId, within};
use crate::instrument::Instrument;
use crate::money::Money;
use crate::order::event::{Capture, Means};
use crate::order::state::Placed;
use crate::{Command, Event, order, payment, stream};

/// Its kind.
pub const KIND: &str = "payment";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// What it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// The means of payment.
    pub instrument: Instrument,
    /// Whether the money is taken as soon as it is held and the order is confirmed.
    pub capture: bool,
}

/// What the saga of a payment is about.
#[must_use]
pub fn subject(order_id: OrderId, payment_id: PaymentId) -> Uuid {
    within(order_id, KIND, payment_id.0, "")
}

/// A payment that was added starts one, if it goes through the provider.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Option<Started> {
    let Event::Order(order::Event::PaymentAdded(added)) = origin.event else {
        return None;
    };
    let Means::Provider { instrument } = &added.means else {
        return None;
    };
    let input = Input {
        order_id: order.order_id,
        payment_id: added.payment_id,
        amount: Money { amount: added.amount, currency: order.currency },
        instrument: instrument.clone(),
        capture: order.payment_terms.capture != Capture::AtShipment,
    };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: subject(order.order_id, added.payment_id),
        correlation: order.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Input {
    fn capture_id(&self) -> CaptureId {
        CaptureId(within(self.order_id, KIND, self.payment_id.0, "capture"))
    }
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        let mut steps = vec![Step::new("authorise", &[]).by_evidence(stream::payment(self.payment_id))];
        if self.capture {
            steps.push(Step::new("capture", &["authorise"]).patient().by_evidence(stream::order(self.order_id)));
        }
        steps
    }

    fn command(&self, _state: &State, ask: Ask<'_>) -> Option<Command> {
        let payment = |command| Some(Command::Payment { payment_id: self.payment_id, command });
        match ask.step {
            "authorise" => payment(payment::Command::RequestAuthorisation {
                payment_id: self.payment_id,
                order_id: self.order_id,
                amount: self.amount,
                instrument: self.instrument.clone(),
                attempt: ask.attempt,
            }),
            "capture" => Some(Command::Capture {
                order_id: self.order_id,
                payment_id: self.payment_id,
                command: payment::Command::CaptureUpTo { capture_id: self.capture_id(), most: self.amount.amount },
            }),
            _ => None,
        }
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        money::hear(batch, self.payment_id, ("authorise", Direction::Do, Waits::Authorise), notices);
        let capture = ("capture", WaitsTold::Capture(self.capture_id()));
        money::hear_told(batch, self.order_id, self.payment_id, capture, notices);
        let clears =
            |event: &Event| matches!(event, Event::Order(order::Event::HoldReleased(_) | order::Event::Confirmed(_)));
        let ends =
            |event: &Event| matches!(event, Event::Order(order::Event::Rejected(_) | order::Event::LinesCancelled(_)));
        if batch.events.iter().any(|recorded| clears(&recorded.event) || ends(&recorded.event)) {
            notices.push(Notice::Nudge { step: "capture" });
        }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        let gone = ["rejected", "cancelled"].map(|status| Some(json!(status)));
        let status = refused.details.get("status").cloned();
        let cancelling = refused.details.get("cancelling") == Some(&json!(true));
        match (refused.step, refused.code) {
            ("authorise", code) => {
                Then::Unwind { reason: "payment_declined".into(), details: Some(json!({ "code": code })) }
            }
            // The order ends: another saga voids what is held.
            ("capture", "order-state") if gone.contains(&status) || cancelling => {
                Then::Unwind { reason: "order_ended".into(), details: None }
            }
            ("capture", "on-hold" | "order-state") => Then::Wait,
            ("capture", _) if money::is_busy(refused.details) => Then::Retry,
            // Another one was faster: the held amount is captured or voided.
            ("capture", code) if money::is_gone(code, refused.details) => Then::Done(Output::new()),
            // A capture that a person said is not to be tried again is made by hand, or with a shipment.
            ("capture", code) if money::is_last(refused.details) => {
                Then::Done(Output::from_iter([("refused".to_owned(), json!(code))]))
            }
            _ => Then::Retry,
        }
    }
}
