//! The part of a granted refund that is taken from one payment: the provider pays it, and it is recorded in the order.
//! A refund that the provider declines is recorded as failed within half a minute, so that it can be granted another
//! way. People pay refunds of external money.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::event::Started;
use super::money::{self, WaitsTold};
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Retry, Step, Then, When};
use crate::ids::{OrderId, PaymentId, RefundId, within};
use crate::money::Minor;
use crate::order::event::RefundDeclined;
use crate::order::ledger::refund_at_payment;
use crate::order::state::{Payment, Placed};
use crate::{Command, Event, order, payment, stream};

/// Its kind.
pub const KIND: &str = "refund";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

const FAILED: &str = "refund_failed";
/// A provider that says no is asked again for a few seconds: four waits of at most 15 seconds in all.
const RETRY: Retry = Retry { attempts: 5, first_ms: 1_000, cap_ms: 8_000 };

/// What a refund needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// The refund as its payment knows it.
    pub at_payment: RefundId,
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
    /// Why.
    pub reason: String,
}

/// What the saga of a part of a refund is about. The refund's id alone is unique within its order only.
#[must_use]
pub fn subject(order_id: OrderId, at_payment: RefundId, payment_id: PaymentId) -> Uuid {
    within(order_id, KIND, at_payment.0, &payment_id.to_string())
}

/// A granted refund starts one for each payment that a provider made.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Vec<Started> {
    let Event::Order(order::Event::RefundGranted(granted)) = origin.event else {
        return Vec::new();
    };
    let order_id = order.order_id;
    let at_payment = refund_at_payment(order_id, granted.refund_id, granted.attempt);
    let of = |share: &order::event::PaymentShare| {
        if order.payment_of(share.payment_id).is_some_and(Payment::is_external) {
            return None;
        }
        let input = Input {
            order_id,
            refund_id: granted.refund_id,
            at_payment,
            payment_id: share.payment_id,
            amount: share.amount,
            reason: granted.reason.clone(),
        };
        Some(Started {
            kind: KIND.into(),
            definition: DEFINITION,
            subject: subject(order_id, at_payment, share.payment_id),
            correlation: order_id.0,
            input: serde_json::to_value(input).ok()?,
        })
    };
    granted.parts.iter().filter_map(of).collect()
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        let refund = Step { retry: RETRY, ..Step::new("refund", &[]).by_evidence(stream::order(self.order_id)) };
        vec![refund, Step::new("fail", &[]).when(When::Closing).patient()]
    }

    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command> {
        match ask.step {
            "refund" => Some(Command::Payment {
                payment_id: self.payment_id,
                command: payment::Command::Refund {
                    refund_id: self.at_payment,
                    amount: self.amount,
                    reason: self.reason.clone(),
                },
            }),
            "fail" => {
                let details = state.unwinding.as_ref()?.details.as_ref();
                let code = details.and_then(|details| details.get("code")?.as_str()).unwrap_or(FAILED);
                Some(Command::Order {
                    order_id: self.order_id,
                    command: order::Command::FailRefund(RefundDeclined {
                        refund_id: self.refund_id,
                        payment_id: self.payment_id,
                        at_payment: self.at_payment,
                        code: code.to_owned(),
                    }),
                })
            }
            _ => None,
        }
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        let waits = ("refund", WaitsTold::Refund(self.at_payment));
        money::hear_told(batch, self.order_id, self.payment_id, waits, notices);
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        if refused.step == "refund" && money::is_last(refused.details) {
            let details = Some(json!({ "code": refused.code }));
            return Then::Unwind { reason: FAILED.to_owned(), details };
        }
        Then::Retry
    }

    fn exhausted(&self, _state: &State, refused: Refused<'_>) -> Option<(String, Option<Value>)> {
        (refused.step == "refund").then(|| (FAILED.to_owned(), Some(json!({ "code": refused.code }))))
    }
}
