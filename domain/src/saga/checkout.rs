//! Checkout: from a placed order to a confirmed or a rejected one. It reserves stock, then authorises the payment, then
//! confirms the order (the pivot). A failure before the pivot is compensated; the release of stock is first and does
//! not wait for money. It never confirms an order without stock and money, and never releases either without a reason.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::basket;
use super::event::{Direction, Started};
use super::goods::{self, Part};
use super::money::{self, Waits, WaitsTold};
use super::process::{Answered, Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then, When};
use crate::ids::{CancellationId, CaptureId, OrderId, PaymentId, ReservationId, derived};
use crate::instrument::Instrument;
use crate::money::Money;
use crate::order::Basket;
use crate::order::event::{Capture, Means, PaymentRecorded, PaymentStatus, RejectReason};
use crate::order::line::LineQty;
use crate::stock::Shortfall;
use crate::time::Timestamp;
use crate::{Command, Event, order, payment, stock, stream};

/// Its kind.
pub const KIND: &str = "checkout";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// The timer that ends it if it is not confirmed in time.
const RESERVATION_ENDS: &str = "reservation";
const CANCELLATION: &str = "cancellation";
const BACKORDERED: &str = "backordered";
const CLOSED: &str = "closed";
/// The means of payment was declined, and there is time to pay another way.
const DECLINED: &str = "declined";
/// Another payment arrived meanwhile, or was tried.
const MONEY: &str = "money";

/// What a checkout needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// What inventory is asked to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub parts: Vec<Part>,
    /// What payments is asked to hold; `None` for a free order and for one that is paid later.
    pub amount: Option<Money>,
    /// The means of payment.
    pub instrument: Instrument,
    /// Whether the money is taken as soon as the order is confirmed.
    pub capture: bool,
    /// When the reservation is meant to end.
    pub expires_at: Timestamp,
    /// How long after a decline the order can be paid another way, in seconds.
    #[serde(default)]
    pub retry_for_s: u32,
    /// The reservation that the order was placed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket: Option<Basket>,
}

/// The payment that an order is placed with.
#[must_use]
pub fn payment_of(order_id: OrderId) -> PaymentId {
    PaymentId(derived(order_id.0, "payment"))
}

/// The reservation of an order.
#[must_use]
pub fn reservation_of(order_id: OrderId) -> ReservationId {
    ReservationId(derived(order_id.0, "reservation"))
}

/// A placed order starts one.
#[must_use]
pub fn start(origin: &Origin<'_>) -> Option<Started> {
    let Event::Order(order::Event::Placed(placed)) = origin.event else {
        return None;
    };
    let pays = placed.payment.capture != Capture::PayLater && placed.totals.total > 0;
    let stocked = placed.lines.iter().filter(|line| line.stocked);
    let input = Input {
        order_id: placed.order_id,
        parts: goods::parts(stocked.map(|line| goods::Wanted {
            line_id: line.line_id,
            sku: &line.sku,
            location: &placed.location,
            qty: line.qty,
            backordered: 0,
            backorder_ok: line.backorder_ok,
        })),
        amount: pays.then_some(Money { amount: placed.totals.total, currency: placed.currency }),
        instrument: placed.payment.instrument.clone(),
        capture: placed.payment.capture == Capture::AtConfirmation,
        expires_at: origin.recorded_at.plus_seconds(placed.reserve_for_s),
        retry_for_s: placed.payment.retry_for_s,
        basket: placed.basket.clone(),
    };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: placed.order_id.0,
        correlation: placed.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Input {
    fn payment_id(&self) -> PaymentId {
        payment_of(self.order_id)
    }

    pub(super) fn reservation_id(&self) -> ReservationId {
        reservation_of(self.order_id)
    }

    fn capture_id(&self) -> CaptureId {
        CaptureId(derived(self.order_id.0, "capture"))
    }

    /// Stock stays reserved as long as the order can still be paid.
    pub(super) fn held_until(&self) -> Timestamp {
        self.expires_at.plus_seconds(self.retry_for_s)
    }

    fn backordered(&self, state: &State) -> Vec<LineQty> {
        goods::noted(state, "reserve", BACKORDERED)
    }

    fn order(&self, command: order::Command) -> Option<Command> {
        Some(Command::Order { order_id: self.order_id, command })
    }

    fn payment(&self, command: payment::Command) -> Option<Command> {
        Some(Command::Payment { payment_id: self.payment_id(), command })
    }

    /// Cancels the order if that was requested, and rejects it otherwise.
    fn verdict(&self, state: &State) -> Option<Command> {
        if let Some(cancellation_id) = cancellation(state) {
            return self.close(state, cancellation_id);
        }
        let unwinding = state.unwinding.as_ref()?;
        let details = unwinding.details.as_ref();
        let code = details.and_then(|details| details.get("code")?.as_str());
        let code = code.or_else(|| (unwinding.reason == "voided").then_some("voided"));
        let reason = match unwinding.reason.as_str() {
            "out_of_stock" => RejectReason::OutOfStock,
            "payment_declined" | "voided" => RejectReason::PaymentDeclined,
            _ => RejectReason::Expired,
        };
        self.order(order::Command::Reject {
            reason,
            detail: code.map(str::to_owned),
            shortfalls: details.map(shortfalls).unwrap_or_default(),
            payment: declined_payment(state),
        })
    }

    fn close(&self, state: &State, cancellation_id: CancellationId) -> Option<Command> {
        self.order(order::Command::CloseCancellation { cancellation_id, payment: declined_payment(state) })
    }
}

/// Where the payment stands if it was declined: the order may hear of that from checkout only.
fn declined_payment(state: &State) -> Option<PaymentRecorded> {
    money::newest(state).filter(|told| told.status == PaymentStatus::Declined)
}

fn cancellation(state: &State) -> Option<CancellationId> {
    serde_json::from_value(state.notes.get(CANCELLATION)?.clone()).ok()
}

/// The shortfalls that a refusal of inventory names: one, or a list of them.
fn shortfalls(details: &Value) -> Vec<Shortfall> {
    if let Some(list) = details.get("shortfalls") {
        return serde_json::from_value(list.clone()).unwrap_or_default();
    }
    serde_json::from_value(details.clone()).map_or_else(|_| Vec::new(), |one| vec![one])
}

impl Process for Input {
    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::with_capacity(8);
        if !self.parts.is_empty() {
            steps.push(Step::new("reserve", &[]).undoable_at_once());
            steps.push(Step::new("tell_reserved", &["reserve"]));
        } else if self.basket.is_some() {
            steps.push(Step::new("reserve", &[]));
        }
        let declined = declined(state);
        if self.amount.is_some() {
            let authorise = Step::new("authorise", &["reserve"]).by_evidence(stream::payment(self.payment_id()));
            // A declined authorisation holds nothing.
            steps.push(if declined { authorise } else { authorise.undoable() });
        }
        if declined {
            steps.push(Step::new("tell_declined", &["authorise"]).patient());
        }
        if !declined || state.notes.contains_key(MONEY) {
            let before = &["reserve", "tell_reserved", "authorise", "tell_declined"];
            steps.push(Step::new("confirm", before).pivot());
        }
        if self.amount.is_some() && self.capture && !declined {
            let told = stream::order(self.order_id);
            steps.push(Step::new("capture", &["confirm"]).patient().by_evidence(told));
        }
        steps.extend(self.free_step(state));
        steps.push(Step::new("verdict", &[basket::FREE]).when(When::Closing).patient());
        // A cancellation during the rejection is answered: the order has ended.
        let rejected = |verdict: &Output| !verdict.contains_key(CLOSED);
        if cancellation(state).is_some() && state.output("verdict").is_some_and(rejected) {
            steps.push(Step::new("close", &["verdict"]).when(When::Closing).patient());
        }
        steps
    }

    fn timers(&self) -> Vec<(&'static str, Timestamp)> {
        if self.parts.is_empty() { Vec::new() } else { vec![(RESERVATION_ENDS, self.expires_at)] }
    }

    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command> {
        let (reservation_id, order_id) = (self.reservation_id(), self.order_id);
        match (ask.step, ask.direction) {
            ("reserve", Direction::Do) => Some(self.reserve(ask.asked_at)),
            (basket::FREE, Direction::Do) => self.free_basket(&state.unwinding.as_ref()?.reason),
            ("reserve", Direction::Undo) => {
                let reason = state.unwinding.as_ref()?.reason.clone();
                Some(goods::each(&self.parts, |_| stock::Command::Release {
                    reservation_id,
                    order_id: Some(order_id),
                    qty: None,
                    lines: Vec::new(),
                    release_id: reservation_id.0,
                    expires_at: Some(self.held_until()),
                    reason: reason.clone(),
                }))
            }
            ("tell_reserved", Direction::Do) => {
                let backordered = self.backordered(state);
                self.order(order::Command::RecordReserved {
                    reservation_id,
                    reserved: goods::without(goods::line_qtys(&self.parts), &backordered),
                    backordered,
                })
            }
            ("authorise", Direction::Do) => self.payment(payment::Command::RequestAuthorisation {
                payment_id: self.payment_id(),
                order_id,
                amount: self.amount?,
                instrument: self.instrument.clone(),
                attempt: ask.attempt,
            }),
            ("authorise", Direction::Undo) => self.payment(payment::Command::Void { keep: 0 }),
            ("tell_declined", Direction::Do) => self.order(order::Command::RecordPayment(money::newest(state)?)),
            ("confirm", Direction::Do) => {
                let paid = money::newest(state).filter(|told| told.authorised > 0);
                self.order(order::Command::Confirm(order::command::Confirm {
                    payment_id: paid.as_ref().map(|told| told.payment_id),
                    reservation_id: (!self.parts.is_empty()).then_some(reservation_id),
                    authorised: paid.as_ref().map_or(0, |told| told.authorised),
                    payment_version: paid.as_ref().map_or(0, |told| told.payment_version),
                    capture_before: paid.as_ref().and_then(|told| told.capture_before),
                    abilities: paid.and_then(|told| told.abilities),
                }))
            }
            ("capture", Direction::Do) => Some(Command::Capture {
                order_id,
                payment_id: self.payment_id(),
                command: payment::Command::CaptureUpTo { capture_id: self.capture_id(), most: self.amount?.amount },
            }),
            ("verdict", Direction::Do) => self.verdict(state),
            ("close", Direction::Do) => self.close(state, cancellation(state)?),
            _ => None,
        }
    }

    fn listen(&self, state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        use Direction::{Do, Undo};
        let payment_id = self.payment_id();
        money::hear(batch, payment_id, ("authorise", Do, Waits::Authorise), notices);
        if money::is_let_go(batch, payment_id) {
            notices.push(Notice::Unwind { reason: "voided", details: None });
        }
        money::hear(batch, payment_id, ("authorise", Undo, Waits::Void { keep: 0 }), notices);
        let capture = WaitsTold::Capture(self.capture_id());
        money::hear_told(batch, self.order_id, payment_id, ("capture", capture), notices);
        self.listen_for_money(state, batch, notices);
        let released = |event: &Event| matches!(event, Event::Order(order::Event::HoldReleased(_)));
        if batch.events.iter().any(|recorded| released(&recorded.event)) {
            notices.push(Notice::Nudge { step: "capture" });
        }
        for recorded in &batch.events {
            if let Event::Order(order::Event::LinesCancelled(cancelled)) = &recorded.event
                && cancelled.whole
            {
                let id = json!(cancelled.cancellation_id);
                notices.push(Notice::Note { note: CANCELLATION, value: id });
                notices.push(Notice::Unwind { reason: "cancelled", details: None });
                notices.push(Notice::Nudge { step: "verdict" });
                notices.push(Notice::Nudge { step: "capture" });
            }
        }
    }

    fn answered(&self, _state: &State, answered: Answered<'_>) -> Then {
        let mut output = Output::new();
        if (answered.step, answered.direction) == ("reserve", Direction::Do) {
            let promised = goods::promised(answered.batch, self.reservation_id());
            if !promised.is_empty() {
                output.insert(BACKORDERED.into(), json!(promised));
            }
        }
        let closed = |event: &Event| matches!(event, Event::Order(order::Event::CancellationClosed(_)));
        let mut events = answered.batch.events.iter();
        if answered.step == "verdict" && events.any(|recorded| closed(&recorded.event)) {
            output.insert(CLOSED.into(), json!(true));
        }
        Then::Done(output)
    }

    fn refused(&self, state: &State, refused: Refused<'_>) -> Then {
        let mut details = refused.details.clone();
        if let Some(details) = details.as_object_mut() {
            details.insert("code".into(), json!(refused.code));
        }
        let unwind = |reason: &str| Then::Unwind { reason: reason.to_owned(), details: Some(details.clone()) };
        match (refused.step, refused.direction) {
            ("reserve", Direction::Do) if refused.code == "reservation-ended" => unwind("expired"),
            ("reserve", Direction::Do) => unwind("out_of_stock"),
            ("authorise", Direction::Do) => match refused.details.get(money::PAYMENT) {
                // What the provider declined; anything else was not asked of it.
                Some(payment) if self.retry_for_s > 0 && cancellation(state).is_none() => {
                    let output =
                        [(money::PAYMENT.to_owned(), payment.clone()), (DECLINED.to_owned(), json!(refused.code))];
                    Then::Done(Output::from_iter(output))
                }
                _ => unwind("payment_declined"),
            },
            // As long as the order can still be paid.
            ("confirm", Direction::Do)
                if declined(state) && refused.code == "not-paid" && state.timers.contains_key(RESERVATION_ENDS) =>
            {
                Then::Retry
            }
            ("confirm", Direction::Do) if refused.code == "not-paid" => unwind("payment_declined"),
            ("confirm" | "tell_reserved", Direction::Do) => match cancellation(state) {
                Some(_) => unwind("cancelled"),
                None => unwind("expired"),
            },
            ("tell_declined", Direction::Do) => Then::Done(Output::new()),
            ("capture", Direction::Do) if refused.code == "on-hold" => Then::Wait,
            // The order came to its end meanwhile.
            ("capture", Direction::Do) if refused.code == "order-state" => Then::Done(Output::new()),
            // Another one was faster: the held amount is captured or voided, and nothing is left to capture.
            ("capture", Direction::Do) if money::is_gone(refused.code, refused.details) => Then::Done(Output::new()),
            // The cancellation voids what could not be captured. A capture that a person said is not to be tried again is made by hand, or
            // with a shipment.
            ("capture", Direction::Do) if cancellation(state).is_some() || money::is_last(refused.details) => {
                Then::Done(Output::from_iter([("refused".to_owned(), json!(refused.code))]))
            }
            _ => Then::Retry,
        }
    }

    fn fired(&self, state: &State, timer: &str, notices: &mut Vec<Notice>) {
        if timer == RESERVATION_ENDS {
            let reason = if declined(state) { "payment_declined" } else { "expired" };
            notices.push(Notice::Unwind { reason, details: None });
            // Confirming was tried before and refused, because too little was paid: this attempt is the last.
            notices.push(Notice::Nudge { step: "confirm" });
        }
    }

    /// After a decline it waits for another payment.
    fn complete(&self, state: &State) -> bool {
        !declined(state) || state.is_done("confirm")
    }
}

fn declined(state: &State) -> bool {
    state.output("authorise").is_some_and(|output| output.contains_key(DECLINED))
}

impl Input {
    fn listen_for_money(&self, state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        if self.retry_for_s == 0 {
            return;
        }
        let payment = self.payment_id().to_string();
        let order = self.order_id.to_string();
        for recorded in &batch.events {
            match &recorded.event {
                Event::Payment(payment::Event::Declined(_)) if *recorded.stream == *payment => {
                    notices.push(Notice::SetTimerIn { timer: RESERVATION_ENDS, after_s: self.retry_for_s });
                }
                Event::Order(event)
                    if *recorded.stream == *order && declined(state) && brings_money(event, self.payment_id()) =>
                {
                    notices.push(Notice::Note { note: MONEY, value: json!(true) });
                    notices.push(Notice::Nudge { step: "confirm" });
                }
                _ => {}
            }
        }
    }
}

/// Whether another payment than the one that was declined holds or took money.
fn brings_money(event: &order::Event, declined: PaymentId) -> bool {
    match event {
        order::Event::PaymentAdded(added) => matches!(added.means, Means::External { .. }),
        order::Event::PaymentRecorded(told) => told.payment_id != declined && told.authorised > 0,
        _ => false,
    }
}
