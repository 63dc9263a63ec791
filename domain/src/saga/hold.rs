//! A hold of an order with an end: when its time is over and it was not released, this saga releases it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::event::Started;
use super::process::{Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then};
use crate::ids::{HoldId, OrderId, within};
use crate::time::Timestamp;
use crate::{Command, Event, order};

/// Its kind.
pub const KIND: &str = "hold";
/// The version of its steps.
pub const DEFINITION: u32 = 1;
/// What a hold is resolved with whose time was over.
pub const RESOLUTION: &str = "until";

const ENDS: &str = "ends";
const RELEASE: &str = "release";
const RELEASED: &str = "released";
const OVER: &str = "over";

/// What it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The hold.
    pub hold_id: HoldId,
    /// When it ends.
    pub until: Timestamp,
}

/// A hold with an end starts one; a hold without an end stays until a request releases it.
#[must_use]
pub fn start(origin: &Origin<'_>) -> Option<Started> {
    let Event::Order(order::Event::HoldPlaced(placed)) = origin.event else {
        return None;
    };
    let order_id: OrderId = origin.stream.parse().ok()?;
    let input = Input { order_id, hold_id: placed.hold_id, until: placed.until? };
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        // The hold's id alone is unique within its order only.
        subject: within(order_id, KIND, placed.hold_id.0, ""),
        correlation: order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Process for Input {
    fn steps(&self, state: &State) -> Vec<Step> {
        if state.notes.contains_key(OVER) { vec![Step::new(RELEASE, &[]).patient()] } else { Vec::new() }
    }

    fn timers(&self) -> Vec<(&'static str, Timestamp)> {
        vec![(ENDS, self.until)]
    }

    fn command(&self, _state: &State, _ask: Ask<'_>) -> Option<Command> {
        let command = order::Command::ReleaseHold { hold_id: self.hold_id, resolution: RESOLUTION.to_owned() };
        Some(Command::Order { order_id: self.order_id, command })
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        let stream = self.order_id.to_string();
        let ours =
            |event: &Event| matches!(event, Event::Order(order::Event::HoldReleased(it)) if it.hold_id == self.hold_id);
        if batch.events.iter().any(|recorded| *recorded.stream == *stream && ours(&recorded.event)) {
            notices.push(Notice::Note { note: RELEASED, value: json!(true) });
        }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        // It was released with another resolution, or its event was set aside: there is nothing left to release.
        if matches!(refused.code, "id-taken" | "hold-not-found") {
            Then::Done(Output::from_iter([("refused".to_owned(), json!(refused.code))]))
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
        state.notes.contains_key(RELEASED) || state.is_done(RELEASE)
    }

    fn outcome(&self, state: &State) -> String {
        let by_itself = state.output(RELEASE).is_some_and(|output| !output.contains_key("refused"));
        if by_itself { RESOLUTION } else { RELEASED }.to_owned()
    }
}
