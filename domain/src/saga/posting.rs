//! Records a fact of a payment in its order, whether a saga, a person or a late answer of the provider caused it. One
//! saga for each fact, so that none is missed and none waits for another; the order accepts them in any order, and
//! counts each once.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checkout;
use super::event::Started;
use super::process::{Origin, PaymentSeen, Process, Refused};
use super::state::State;
use super::step::{Ask, Step, Then};
use crate::ids::{OrderId, PaymentId, within};
use crate::order::event::{Happened, PaymentFact, PaymentRecorded};
use crate::payment::Event as Fact;
use crate::{Command, Event, order};

/// Its kind.
pub const KIND: &str = "posting";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// What it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// What happened to the payment, and where it stands since.
    pub told: PaymentRecorded,
}

/// What the saga of a fact is about.
#[must_use]
pub fn subject(order_id: OrderId, payment_id: PaymentId, version: u64) -> Uuid {
    within(order_id, KIND, payment_id.0, &version.to_string())
}

/// What an order has to know of a payment's event; `None`: nothing that it does not know already.
#[must_use]
pub fn happened(event: &Fact) -> Option<Happened> {
    Some(match event {
        Fact::Authorised(_) => Happened::Authorised,
        Fact::Declined(it) => Happened::Declined { code: it.code.clone() },
        Fact::Captured(it) => Happened::Captured { capture_id: it.capture_id },
        Fact::CaptureFailed(it) => {
            Happened::CaptureFailed { capture_id: it.capture_id, code: it.code.clone(), last: it.last }
        }
        Fact::Voided(_) | Fact::RemainderReleased(_) => Happened::Voided,
        Fact::VoidFailed(it) => Happened::VoidFailed { code: it.code.clone() },
        Fact::AuthorisationExpired(_) => Happened::Expired,
        Fact::RefundSettled(it) => Happened::Refunded { refund_id: it.refund_id },
        Fact::RefundFailed(it) => {
            Happened::RefundFailed { refund_id: it.refund_id, code: it.code.clone(), last: it.last }
        }
        Fact::AuthorisationRaised(it) => Happened::Raised { raise_id: it.raise_id },
        Fact::RaiseFailed(it) => Happened::RaiseFailed { raise_id: it.raise_id, code: it.code.clone() },
        Fact::AuthorisationEnding(it) => {
            Happened::Ending { capture_before: it.capture_before, lead_s: it.lead_s, then: it.then }
        }
        Fact::OutcomeUnknown(it) => Happened::Unknown { asked: it.verb },
        Fact::AuthorisationRequested(_)
        | Fact::OutcomeResolved(_)
        | Fact::CaptureRequested(_)
        | Fact::VoidWanted(_)
        | Fact::VoidRequested(_)
        | Fact::RaiseRequested(_)
        | Fact::RefundRequested(_) => return None,
    })
}

/// A payment's fact starts one; `seen` is the payment after it. What the provider says to the order's first authorisation the order's own
/// verdict says as well.
#[must_use]
pub fn start(origin: &Origin<'_>, seen: Option<&PaymentSeen>) -> Option<Started> {
    let Event::Payment(event) = origin.event else {
        return None;
    };
    let seen = seen?;
    let order_id = seen.payment.requested()?.order_id;
    let what = happened(event)?;
    let verdict = matches!(what, Happened::Authorised | Happened::Declined { .. });
    if verdict && seen.payment_id == checkout::payment_of(order_id) {
        return None;
    }
    let fact = Some(PaymentFact { version: origin.version, what });
    let input = Input { order_id, told: PaymentRecorded { fact, ..seen.payment.record(seen.version)? } };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: subject(order_id, seen.payment_id, origin.version),
        correlation: order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        vec![Step::new("post", &[]).patient()]
    }

    fn command(&self, _state: &State, _ask: Ask<'_>) -> Option<Command> {
        Some(Command::Order { order_id: self.order_id, command: order::Command::RecordPayment(self.told.clone()) })
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        match refused.code {
            // Time heals neither: a person has to look.
            "another-payment" | "invalid-payment" => Then::Park { reason: refused.code.replace('-', "_") },
            _ => Then::Retry,
        }
    }
}
