//! A reservation without an order: when its time is over, its units are released, unless an order has taken it over.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::event::Started;
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then};
use crate::command::StockCommand;
use crate::ids::ReservationId;
use crate::reservation::{End, Item};
use crate::time::Timestamp;
use crate::{Command, Event, reservation, stock};

/// Its kind.
pub const KIND: &str = "reservation";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

const ENDS: &str = "ends";
const CLOSED: &str = "closed";
const OVER: &str = "over";

/// What it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// What it holds.
    pub items: Vec<Item>,
    /// When it ends, unless it is prolonged.
    pub expires_at: Timestamp,
}

/// An opened reservation starts one.
#[must_use]
pub fn start(origin: &Origin<'_>) -> Option<Started> {
    let Event::Reservation(reservation::Event::Opened(opened)) = origin.event else {
        return None;
    };
    let input =
        Input { reservation_id: opened.reservation_id, items: opened.items.clone(), expires_at: opened.expires_at };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: opened.reservation_id.0,
        correlation: opened.reservation_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Process for Input {
    fn steps(&self, state: &State) -> Vec<Step> {
        if state.notes.contains_key(OVER) { vec![Step::new("expire", &[]).patient()] } else { Vec::new() }
    }

    fn timers(&self) -> Vec<(&'static str, Timestamp)> {
        vec![(ENDS, self.expires_at)]
    }

    fn command(&self, _state: &State, _ask: Ask<'_>) -> Option<Command> {
        let close = reservation::Command::Close { end: End::Expired };
        let expire = |item: &Item| StockCommand {
            location: item.location.clone(),
            sku: item.sku.clone(),
            command: stock::Command::Expire { reservation_id: self.reservation_id },
        };
        Some(Command::Inventory {
            reservation: Some((self.reservation_id, close)),
            stock: self.items.iter().map(expire).collect(),
        })
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        let stream = self.reservation_id.to_string();
        for recorded in batch.events.iter().filter(|it| *it.stream == *stream) {
            match &recorded.event {
                Event::Reservation(reservation::Event::Prolonged(prolonged)) => {
                    notices.push(Notice::SetTimer { timer: ENDS, due_at: prolonged.expires_at });
                }
                Event::Reservation(reservation::Event::Closed(closed)) => {
                    notices.push(Notice::Note { note: CLOSED, value: json!(closed.end.name()) });
                }
                _ => {}
            }
        }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        // It has ended in another way, as its own event shows.
        if ["reservation-ended", "reservation-ordered"].contains(&refused.code) {
            Then::Done(Output::new())
        } else {
            Then::Retry
        }
    }

    fn fired(&self, _state: &State, timer: &str, notices: &mut Vec<Notice>) {
        if timer == ENDS {
            notices.push(Notice::Note { note: OVER, value: json!(true) });
        }
    }

    fn complete(&self, state: &State) -> bool {
        state.notes.contains_key(CLOSED) || state.is_done("expire")
    }

    fn outcome(&self, state: &State) -> String {
        let end = state.notes.get(CLOSED).and_then(|end| end.as_str());
        end.unwrap_or("expired").to_owned()
    }
}
