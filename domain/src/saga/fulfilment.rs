//! Fulfilment: from a requested shipment to goods that left. Stock gives its units first, since it may not have them; then what ships is
//! captured, then it is dispatched (the pivot), which no one undoes. A shipment that is withdrawn, or cannot be paid for, gives its units back.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::event::{Direction, Started};
use super::goods::{self, Part};
use super::money::{self, WaitsTold};
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Step, Then, When};
use crate::ids::{OrderId, ReservationId, ShipmentId, within};
use crate::order::event::{LineUnits, PaymentShare};
use crate::order::ledger::capture_of;
use crate::order::state::Placed;
use crate::{Command, Event, order, payment, stock, stream};

/// Its kind.
pub const KIND: &str = "fulfilment";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// The shipment was withdrawn; the units of it that a cancellation took.
const WITHDRAWN: &str = "withdrawn";
/// All that has to be done before goods leave: stock gives its units, then money is taken from each payment that is captured from. An order
/// has no more payments that hold money.
const BEFORE: [&str; 21] = [
    "ship",
    "capture_1",
    "capture_2",
    "capture_3",
    "capture_4",
    "capture_5",
    "capture_6",
    "capture_7",
    "capture_8",
    "capture_9",
    "capture_10",
    "capture_11",
    "capture_12",
    "capture_13",
    "capture_14",
    "capture_15",
    "capture_16",
    "capture_17",
    "capture_18",
    "capture_19",
    "capture_20",
];
/// One step for each payment that is captured from.
const CAPTURES: &[&str] = BEFORE.split_at(1).1;

/// What a fulfilment needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The captures before it leaves, and their payments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captures: Vec<PaymentShare>,
    /// The reservation that holds its stock.
    pub reservation_id: Option<ReservationId>,
    /// What inventory lets leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub parts: Vec<Part>,
}

/// A requested shipment starts one.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Option<Started> {
    let Event::Order(order::Event::ShipmentRequested(shipment)) = origin.event else {
        return None;
    };
    let units = shipment.lines.iter().map(|line| (line.line_id, line.qty, &shipment.location));
    let input = Input {
        order_id: order.order_id,
        shipment_id: shipment.shipment_id,
        captures: shipment.captures.clone(),
        reservation_id: order.reservation_id,
        parts: goods::parts_of(order, units),
    };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: shipment.shipment_id.0,
        correlation: order.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Input {
    /// The capture of a step.
    fn share(&self, step: &str) -> Option<&PaymentShare> {
        self.captures.iter().zip(CAPTURES).find(|(_, name)| **name == step).map(|(share, _)| share)
    }

    fn order(&self, command: order::Command) -> Option<Command> {
        Some(Command::Order { order_id: self.order_id, command })
    }

    fn release_id(&self) -> Uuid {
        within(self.order_id, KIND, self.shipment_id.0, "release")
    }
}

impl Input {
    /// The units that a cancellation took from the shipment: stock releases them once they are back.
    fn cancelled(&self, state: &State) -> Vec<Part> {
        let taken = state.notes.get(WITHDRAWN).and_then(|units| serde_json::from_value(units.clone()).ok());
        let taken: Vec<LineUnits> = taken.unwrap_or_default();
        let qty = |line_id| taken.iter().filter(|units| units.line_id == line_id).map(|units| units.qty).sum();
        goods::parts(self.parts.iter().flat_map(|part| {
            part.lines.iter().map(move |share| goods::Wanted {
                line_id: share.line_id,
                sku: &part.sku,
                location: &part.location,
                qty: qty(share.line_id),
                backordered: 0,
                backorder_ok: false,
            })
        }))
    }
}

impl Process for Input {
    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::with_capacity(5);
        if !self.parts.is_empty() {
            steps.push(Step::new("ship", &[]).undoable_at_once());
        }
        for (_, name) in self.captures.iter().zip(CAPTURES) {
            steps.push(Step::new(name, &BEFORE[..1]).by_evidence(stream::order(self.order_id)));
        }
        steps.push(Step::new("dispatch", &BEFORE).pivot());
        if !self.cancelled(state).is_empty() {
            steps.push(Step::new("release", &[]).when(When::Closing).patient());
        }
        steps.push(Step::new("refuse", &[]).when(When::Closing).patient());
        steps
    }

    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command> {
        match (ask.step, ask.direction) {
            ("ship", Direction::Do) => {
                let reservation_id = self.reservation_id?;
                Some(goods::each(&self.parts, |part| stock::Command::Ship {
                    shipment_id: self.shipment_id,
                    reservation_id,
                    order_id: Some(self.order_id),
                    lines: part.lines.clone(),
                }))
            }
            ("ship", Direction::Undo) => {
                let reservation_id = self.reservation_id?;
                Some(goods::each(&self.parts, |part| stock::Command::PutBack {
                    shipment_id: self.shipment_id,
                    reservation_id,
                    order_id: Some(self.order_id),
                    lines: part.lines.clone(),
                    release: false,
                }))
            }
            ("release", _) => {
                let (reservation_id, order_id, release_id) = (self.reservation_id?, self.order_id, self.release_id());
                let release = goods::Release { reservation_id, order_id, release_id, reason: "cancelled" };
                Some(release.units(&self.cancelled(state)))
            }
            ("dispatch", _) => self.order(order::Command::Dispatch { shipment_id: self.shipment_id }),
            ("refuse", _) => self.order(order::Command::RefuseShipment {
                shipment_id: self.shipment_id,
                reason: state.unwinding.as_ref()?.reason.clone(),
            }),
            (step, _) => {
                let share = self.share(step)?;
                let capture_id = capture_of(self.order_id, self.shipment_id, share.payment_id);
                let command = payment::Command::Capture { capture_id, amount: share.amount };
                Some(Command::Capture { order_id: self.order_id, payment_id: share.payment_id, command })
            }
        }
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        for (share, step) in self.captures.iter().zip(CAPTURES) {
            let capture = WaitsTold::Capture(capture_of(self.order_id, self.shipment_id, share.payment_id));
            money::hear_told(batch, self.order_id, share.payment_id, (*step, capture), notices);
        }
        for recorded in &batch.events {
            match &recorded.event {
                Event::Order(order::Event::ShipmentWithdrawn(it)) if it.shipment_id == self.shipment_id => {
                    notices.push(Notice::Note { note: WITHDRAWN, value: json!(it.release) });
                    notices.push(Notice::Unwind { reason: "withdrawn", details: None });
                }
                Event::Order(order::Event::HoldReleased(_)) => {
                    let captures = self.captures.iter().zip(CAPTURES).map(|(_, name)| *name);
                    notices.extend(captures.chain(["dispatch"]).map(|step| Notice::Nudge { step }));
                }
                Event::Order(order::Event::PaymentRecorded(_)) => {
                    notices.push(Notice::Nudge { step: "dispatch" });
                }
                _ => {}
            }
        }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        let details = Some(json!({ "code": refused.code }));
        match (refused.step, refused.direction, refused.code) {
            // Another shipment of the order gives its units back just now.
            ("ship", Direction::Do, "not-reserved") => Then::Retry,
            ("ship", Direction::Do, code) => Then::Unwind { reason: code.replace('-', "_"), details },
            // The end of the hold lets it go on.
            (_, Direction::Do, "on-hold") => Then::Wait,
            // The order is being cancelled, its shipments with it.
            (step, Direction::Do, "order-state") if CAPTURES.contains(&step) => {
                Then::Unwind { reason: WITHDRAWN.into(), details }
            }
            ("dispatch", _, "shipment-state") => Then::Unwind { reason: WITHDRAWN.into(), details },
            (step, _, _) if CAPTURES.contains(&step) && money::is_busy(refused.details) => Then::Retry,
            (step, Direction::Do, code) if CAPTURES.contains(&step) && code != "payment-unknown" => {
                Then::Unwind { reason: "capture_failed".into(), details }
            }
            _ => Then::Retry,
        }
    }

    fn exhausted(&self, _state: &State, refused: Refused<'_>) -> Option<(String, Option<Value>)> {
        (refused.step == "ship").then(|| (refused.code.replace('-', "_"), None))
    }
}
