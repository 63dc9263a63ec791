//! A backorder that stock came for: the order is told that its units are held now.

use serde::{Deserialize, Serialize};

use super::event::Started;
use super::process::{Answered, Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then};
use crate::ids::{OrderId, ReservationId};
use crate::order::line::LineQty;
use crate::{Command, Event, order, stock, stream};

/// Its kind.
pub const KIND: &str = "allocation";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// What an allocation needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The reservation.
    pub reservation_id: ReservationId,
    /// What is held now.
    pub line: LineQty,
}

/// A backorder that was allocated starts one, if it is an order's.
#[must_use]
pub fn start(origin: &Origin<'_>) -> Option<Started> {
    let Event::Stock(stock::Event::BackorderAllocated(allocated)) = origin.event else {
        return None;
    };
    let order_id = allocated.order_id?;
    let (location, _) = stream::parse_stock(origin.stream)?;
    let input = Input {
        order_id,
        reservation_id: allocated.reservation_id,
        line: LineQty { line_id: allocated.line_id?, qty: allocated.qty, location },
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
        vec![Step::new("tell_allocated", &[])]
    }

    fn command(&self, _state: &State, _ask: Ask<'_>) -> Option<Command> {
        Some(Command::Order {
            order_id: self.order_id,
            command: order::Command::RecordAllocated {
                reservation_id: self.reservation_id,
                lines: vec![self.line.clone()],
            },
        })
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        // Stock may come before the order was told that it waits for it.
        let told = |event: &Event| matches!(event, Event::Order(order::Event::LinesBackordered(_)));
        if batch.events.iter().any(|recorded| told(&recorded.event)) {
            notices.push(Notice::Nudge { step: "tell_allocated" });
        }
    }

    fn answered(&self, state: &State, answered: Answered<'_>) -> Then {
        let attempt = state.side(answered.step, answered.direction).map_or(0, |side| side.attempt);
        // An order that waits for nothing either was not told yet that it does, or was cancelled meanwhile.
        if answered.nothing_to_do && attempt < 8 { Then::Retry } else { Then::Done(Output::new()) }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        // An order that ended has everything let go by what ended it.
        if refused.code == "order-state" {
            Then::Done(Output::from_iter([("refused".to_owned(), serde_json::json!(refused.code))]))
        } else {
            Then::Retry
        }
    }
}
