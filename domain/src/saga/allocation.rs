//! Stock that arrived for a backorder: this saga records in the order that its units are now reserved. After the last
//! allocation of a batch, the saga asks stock to serve the next ones.

use serde::{Deserialize, Serialize};

use super::event::Started;
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then};
use crate::command::StockCommand;
use crate::ids::{OrderId, ReservationId, Sku};
use crate::order::line::LineQty;
use crate::{Command, Event, order, stock, stream};

/// Its kind.
pub const KIND: &str = "allocation";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

const TELL: &str = "tell_allocated";
const SERVE: &str = "serve_next";
/// How often the order is asked whether its backorder is recorded by now.
const ATTEMPTS: u32 = 8;

/// What an allocation needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The reserved units.
    pub line: LineQty,
    /// Stock that is left for other waiting orders, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<Sku>,
}

/// A backorder that was allocated starts one, if it is an order's.
#[must_use]
pub fn start(origin: &Origin<'_>) -> Option<Started> {
    let Event::Stock(stock::Event::BackorderAllocated(allocated)) = origin.event else {
        return None;
    };
    let order_id = allocated.order_id?;
    let (location, sku) = stream::parse_stock(origin.stream)?;
    let input = Input {
        order_id,
        reservation_id: allocated.reservation_id,
        line: LineQty { line_id: allocated.line_id?, qty: allocated.qty, location },
        more: allocated.more.then_some(sku),
    };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: origin.event_id,
        correlation: order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        let mut steps = vec![Step::new(TELL, &[])];
        if self.more.is_some() {
            steps.push(Step::new(SERVE, &[]).patient());
        }
        steps
    }

    fn command(&self, _state: &State, ask: Ask<'_>) -> Option<Command> {
        if ask.step == SERVE {
            let (location, sku) = (self.line.location.clone(), self.more.clone()?);
            let serve = StockCommand { location, sku, command: stock::Command::Allocate {} };
            return Some(Command::Inventory { reservation: None, stock: vec![serve] });
        }
        Some(Command::Order {
            order_id: self.order_id,
            command: order::Command::RecordAllocated {
                reservation_id: self.reservation_id,
                lines: vec![self.line.clone()],
            },
        })
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        // Stock may arrive before its backorder is recorded in the order; that of another reservation is another's.
        let own = |it: &order::event::LinesBackordered| it.reservation_id == self.reservation_id;
        let told = |event: &Event| matches!(event, Event::Order(order::Event::LinesBackordered(it)) if own(it));
        if batch.events.iter().any(|recorded| told(&recorded.event)) {
            notices.push(Notice::Nudge { step: TELL });
        }
    }

    fn refused(&self, state: &State, refused: Refused<'_>) -> Then {
        let attempt = state.side(refused.step, refused.direction).map_or(0, |side| side.attempt);
        // The backorder is not recorded yet; or the units are of another one that never will be, since they were cancelled.
        if refused.step == TELL && refused.code == "not-reserved" && attempt >= ATTEMPTS {
            return Then::Done(Output::from_iter([("refused".to_owned(), serde_json::json!(refused.code))]));
        }
        // The end of an order releases everything.
        if refused.step == TELL && refused.code == "order-state" {
            Then::Done(Output::from_iter([("refused".to_owned(), serde_json::json!(refused.code))]))
        } else {
            Then::Retry
        }
    }
}
