//! Cancellation of units of a confirmed order: stock is let go, money is let go or given back, and then the cancellation is closed.
//! Forwards only. A pending order is called off by its checkout, never here.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{Direction, Started};
use super::goods::{self, Part};
use super::money::{self, Waits};
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then, When};
use crate::ids::{CancellationId, OrderId, PaymentId, RefundId, ReservationId, within};
use crate::money::Minor;
use crate::order::event::Capture;
use crate::order::state::{Placed, Status};
use crate::{Command, Event, order, payment, stock, stream};

/// Its kind.
pub const KIND: &str = "cancellation";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// Why stock is let go. The caller's own words stay with the order: once for each line, they would make a command of the most lines too
/// large to be sent.
const LET_GO: &str = "cancelled";
const LEFT: &str = "left";
/// What is left to give back is granted; where others were granted some of it first, what is left after them, and so on.
const GRANTS: [&str; 4] = ["grant", "grant_left", "grant_rest", "grant_last"];

/// What a cancellation needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The cancellation.
    pub cancellation_id: CancellationId,
    /// Why.
    pub reason: String,
    /// The order's reservation.
    pub reservation_id: Option<ReservationId>,
    /// What inventory lets go.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub parts: Vec<Part>,
    /// The order's payment.
    pub payment_id: Option<PaymentId>,
    /// Whether all that is held and not taken is let go, and all that was taken is given back.
    pub all_money: bool,
    /// What is given back, unless all is.
    pub refund: Minor,
    /// What was granted as refunds before.
    pub granted: Minor,
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
    let units = cancelled.release.iter().map(|line| (line.line_id, line.qty, &line.location));
    let input = Input {
        order_id: order.order_id,
        cancellation_id: cancelled.cancellation_id,
        reason: cancelled.reason.clone(),
        reservation_id: order.reservation_id,
        parts: goods::parts_of(order, units),
        payment_id: order.payment.payment_id,
        all_money: cancelled.whole,
        refund: too_much(order).min(cancelled.amount),
        granted: order.granted(),
    };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: subject(order.order_id, cancelled.cancellation_id),
        correlation: order.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

/// What was taken, or is just being taken since the order is captured at confirmation, beyond what is owed.
fn too_much(order: &Placed) -> Minor {
    let taken = match order.payment_terms.capture {
        Capture::AtConfirmation => order.payment.captured.max(order.payment.authorised),
        Capture::AtShipment | Capture::PayLater => order.payment.captured,
    };
    (taken - order.granted() - order.owed()).max(0)
}

impl Input {
    fn refund_id(&self) -> RefundId {
        RefundId(within(self.order_id, KIND, self.cancellation_id.0, "refund"))
    }

    fn grant(&self, amount: Minor) -> order::Command {
        order::Command::GrantRefund(order::command::GrantRefund {
            refund_id: self.refund_id(),
            amount: Some(amount),
            lines: Vec::new(),
            return_id: None,
            cancellation_id: Some(self.cancellation_id),
            reason: self.reason.clone(),
        })
    }

    /// How much is given back, once that is known.
    fn to_refund(&self, state: &State) -> Minor {
        if !self.all_money {
            return self.refund;
        }
        let told = state.output("void").and_then(|_| money::newest(state));
        told.map_or(0, |told| (told.captured - self.granted).max(0))
    }
}

/// What was left to be given back when a grant was refused, since the order had promised some of it to others already.
fn left_by(state: &State, grant: &str) -> Option<Minor> {
    state.output(grant)?.get(LEFT)?.as_i64()
}

fn left(state: &State) -> Option<Minor> {
    GRANTS.iter().rev().find_map(|grant| left_by(state, grant))
}

/// The grant that the named one follows.
fn before(grant: &str) -> Option<&'static str> {
    GRANTS.windows(2).find(|pair| pair[1] == grant).map(|pair| pair[0])
}

impl Process for Input {
    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::with_capacity(9);
        if !self.parts.is_empty() {
            steps.push(Step::new("release", &[]).patient());
        }
        if let Some(payment_id) = self.payment_id {
            let paid = stream::payment(payment_id);
            if self.all_money {
                steps.push(Step::new("void", &[]).patient().by_evidence(paid.clone()));
                steps.push(Step::new("tell_void_unknown", &[]).when(When::Unknown("void")));
                steps.push(Step::new("tell_voided", &["void"]).patient());
            }
            if self.to_refund(state) > 0 {
                steps.push(Step::new("grant", &["tell_voided"]).patient());
                for pair in GRANTS.windows(2) {
                    // A step that was asked for once stays in the list, also once nothing is left.
                    if left_by(state, pair[0]).is_some_and(|left| left > 0) || state.steps.contains_key(pair[1]) {
                        steps.push(Step::new(pair[1], &GRANTS[..1]).patient());
                    }
                }
            }
            if self.to_refund(state) > 0 && left(state) != Some(0) {
                steps.push(Step::new("refund", &GRANTS).patient().by_evidence(paid));
                let unknown = When::Unknown("refund");
                steps.push(Step::new("tell_refund_unknown", &[]).when(unknown));
                steps.push(Step::new("tell_refunded", &["refund"]).patient());
            }
        }
        let before = &["release", "tell_voided", "tell_refunded"];
        steps.push(Step::new("close", before).patient());
        steps
    }

    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command> {
        let order = |command| Some(Command::Order { order_id: self.order_id, command });
        match ask.step {
            "release" => {
                let reservation_id = self.reservation_id?;
                Some(goods::each(&self.parts, |part| stock::Command::Release {
                    reservation_id,
                    order_id: Some(self.order_id),
                    qty: None,
                    lines: part.lines.clone(),
                    release_id: subject(self.order_id, self.cancellation_id),
                    expires_at: None,
                    reason: LET_GO.into(),
                }))
            }
            "void" => {
                Some(Command::Payment { payment_id: self.payment_id?, command: payment::Command::Void { keep: 0 } })
            }
            "grant" => order(self.grant(self.to_refund(state))),
            step if GRANTS.contains(&step) => order(self.grant(left_by(state, before(step)?)?)),
            "refund" => Some(Command::Payment {
                payment_id: self.payment_id?,
                command: payment::Command::Refund {
                    refund_id: self.refund_id(),
                    amount: left(state).unwrap_or(self.to_refund(state)),
                    reason: self.reason.clone(),
                },
            }),
            "close" => order(order::Command::CloseCancellation { cancellation_id: self.cancellation_id }),
            step if step.starts_with("tell_") => money::record(state, self.order_id),
            _ => None,
        }
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        let Some(payment_id) = self.payment_id else {
            return;
        };
        let refund = Waits::Refund(self.refund_id());
        money::hear(batch, payment_id, ("void", Direction::Do, Waits::Void), notices);
        money::hear(batch, payment_id, ("refund", Direction::Do, refund), notices);
        // What the order was told of the payment may be what a grant waits for.
        let told = |event: &Event| matches!(event, Event::Order(order::Event::PaymentRecorded(_)));
        if batch.events.iter().any(|recorded| told(&recorded.event)) {
            notices.extend(GRANTS.map(|step| Notice::Nudge { step }));
        }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        let number = |name: &str| refused.details.get(name).and_then(serde_json::Value::as_i64);
        match (refused.step, refused.code, number("refundable")) {
            // What is not captured yet may still be; what is captured was promised to another cancellation or return.
            (step, "exceeds-refundable", Some(left))
                if number("captured") > Some(0) && GRANTS.contains(&step) && (step != GRANTS[3] || left == 0) =>
            {
                Then::Done(Output::from_iter([(LEFT.to_owned(), left.into())]))
            }
            _ => Then::Retry,
        }
    }
}
