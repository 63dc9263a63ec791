//! Fulfilment: from a requested shipment to goods that left. What ships is captured first (the pivot), then it is dispatched, then
//! stock is settled. It never dispatches what is not paid for; a capture that fails for good refuses the shipment.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::event::{Direction, Started};
use super::goods::{self, Part};
use super::money::{self, Waits};
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then, When};
use crate::ids::{CaptureId, OrderId, PaymentId, ReservationId, ShipmentId, within};
use crate::money::Minor;
use crate::order::state::Placed;
use crate::{Command, Event, order, payment, stock, stream};

/// Its kind.
pub const KIND: &str = "fulfilment";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// What a fulfilment needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The payment to capture from.
    pub payment_id: Option<PaymentId>,
    /// What is captured before it leaves.
    pub to_capture: Minor,
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
        payment_id: order.payment.payment_id,
        to_capture: shipment.to_capture,
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
    fn captures(&self) -> Option<PaymentId> {
        self.payment_id.filter(|_| self.to_capture > 0)
    }

    fn capture_id(&self) -> CaptureId {
        CaptureId(within(self.order_id, KIND, self.shipment_id.0, "capture"))
    }

    fn order(&self, command: order::Command) -> Option<Command> {
        Some(Command::Order { order_id: self.order_id, command })
    }
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        let mut steps = Vec::with_capacity(7);
        if self.to_capture > 0 {
            let capture = Step::new("capture", &[]).pivot();
            let stream = stream::payment(self.payment_id.unwrap_or_default());
            steps.push(capture.by_evidence(stream));
            steps.push(Step::new("tell_unknown", &[]).when(When::Unknown("capture")));
            steps.push(Step::new("tell_captured", &["capture"]).patient());
        }
        steps.push(Step::new("dispatch", &["tell_captured"]).pivot());
        if !self.parts.is_empty() {
            steps.push(Step::new("ship", &["dispatch"]).patient());
        }
        steps.push(Step::new("complete", &["dispatch", "ship"]).patient());
        steps.push(Step::new("refuse", &[]).when(When::Closing).patient());
        steps
    }

    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command> {
        match ask.step {
            "capture" => Some(Command::Payment {
                payment_id: self.captures()?,
                command: payment::Command::Capture { capture_id: self.capture_id(), amount: self.to_capture },
            }),
            "tell_unknown" | "tell_captured" => money::record(state, self.order_id),
            "dispatch" => self.order(order::Command::Dispatch { shipment_id: self.shipment_id }),
            "ship" => {
                let reservation_id = self.reservation_id?;
                Some(goods::each(&self.parts, |part| stock::Command::Ship {
                    shipment_id: self.shipment_id,
                    reservation_id,
                    order_id: Some(self.order_id),
                    lines: part.lines.clone(),
                }))
            }
            "complete" => self.order(order::Command::Complete),
            "refuse" => self.order(order::Command::RefuseShipment {
                shipment_id: self.shipment_id,
                reason: state.unwinding.as_ref()?.reason.clone(),
            }),
            _ => None,
        }
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        if let Some(payment_id) = self.captures() {
            let step = ("capture", Direction::Do, Waits::Capture(self.capture_id()));
            money::hear(batch, payment_id, step, notices);
        }
        let released = |event: &Event| matches!(event, Event::Order(order::Event::HoldReleased(_)));
        if batch.events.iter().any(|recorded| released(&recorded.event)) {
            notices.push(Notice::Nudge { step: "dispatch" });
        }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        match (refused.step, refused.code) {
            ("capture", "payment-unknown") => Then::Retry,
            ("capture", code) => {
                Then::Unwind { reason: "capture_failed".into(), details: Some(json!({ "code": code })) }
            }
            ("tell_captured", "payment-unknown") => Then::Retry,
            ("complete", _) => Then::Done(Output::new()),
            _ => Then::Retry,
        }
    }
}
