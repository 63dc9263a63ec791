//! An edit of a confirmed order, as far as stock goes: units that are no longer ordered are released, and added units
//! are reserved. If stock lacks them, the order decides what it still wants: fewer units are requested again, as many
//! as before are cancelled.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::event::{Direction, Started, Unwinding};
use super::goods::{self, Part};
use super::process::{Answered, Batch, Origin, Process, Refused};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then, When};
use super::withdrawn;
use crate::ids::{CancellationId, EditId, OrderId, ReservationId, ShipmentId, within};
use crate::order::line::LineQty;
use crate::order::state::Placed;
use crate::{Command, Event, order};

/// Its kind.
pub const KIND: &str = "amendment";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

const BACKORDERED: &str = "backordered";
const OUT_OF_STOCK: &str = "out_of_stock";
const EXCESS: &str = "excess";
const EXCESS_BACKORDERED: &str = "excess_backordered";

/// What an amendment needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The edit.
    pub edit_id: EditId,
    /// Which attempt to hold its units this is, counted from 1.
    #[serde(default = "first")]
    pub attempt: u32,
    /// The order's reservation, from which units are released.
    pub reservation_id: Option<ReservationId>,
    /// What inventory is asked to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub reserve: Vec<Part>,
    /// The units to release.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub release: Vec<Part>,
    /// The shipments that have to be back in stock before it releases anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ShipmentId>,
}

fn first() -> u32 {
    1
}

/// What the saga of an attempt of an edit is about. The edit's id alone is unique within its order only.
#[must_use]
pub fn subject(order_id: OrderId, edit_id: EditId, attempt: u32) -> Uuid {
    within(order_id, KIND, edit_id.0, &numbered("", attempt))
}

fn numbered(what: &str, attempt: u32) -> String {
    if attempt <= 1 { what.to_owned() } else { format!("{what}/{attempt}") }
}

/// An edit that changes stock starts one, and so does the rest of an edit whose units stock lacked.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Option<Started> {
    let none = Vec::new();
    let (edit_id, attempt, reserve, release) = match origin.event {
        Event::Order(order::Event::Edited(edited)) => (edited.edit_id, 1, &edited.reserve, &edited.release),
        Event::Order(order::Event::StockWanted(wanted)) => (wanted.edit_id, wanted.attempt, &wanted.reserve, &none),
        _ => return None,
    };
    let wanted = reserve.iter().map(|line| (line.line_id, line.qty, &line.location));
    let input = Input {
        order_id: order.order_id,
        edit_id,
        attempt,
        reservation_id: order.reservation_id,
        reserve: goods::parts_of(order, wanted),
        release: goods::parts_to_release(order, release),
        after: if release.is_empty() { Vec::new() } else { withdrawn::not_back_yet(order, None) },
    };
    if input.reserve.is_empty() && input.release.is_empty() {
        return None;
    }
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: subject(order.order_id, edit_id, attempt),
        correlation: order.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Input {
    /// The id of something that this edit makes.
    fn own(&self, what: &str) -> Uuid {
        within(self.order_id, KIND, self.edit_id.0, what)
    }

    /// A line's further units need a reservation of their own.
    fn added(&self) -> ReservationId {
        ReservationId(self.own(&numbered("reservation", self.attempt)))
    }

    fn backordered(&self, state: &State) -> Vec<LineQty> {
        goods::noted(state, "reserve", BACKORDERED)
    }

    /// Units that stock holds or promises for it and the order no longer wants, because they were cancelled meanwhile.
    fn excess(&self, state: &State) -> Vec<Part> {
        let held: Vec<LineQty> = goods::noted(state, "tell_reserved", EXCESS);
        let promised: Vec<LineQty> = goods::noted(state, "tell_reserved", EXCESS_BACKORDERED);
        let units = |lines: &[LineQty], part: &Part, line_id| {
            let same = |line: &&LineQty| line.line_id == line_id && line.location == part.location;
            lines.iter().filter(same).map(|line| line.qty).sum()
        };
        goods::parts(self.reserve.iter().flat_map(|part| {
            let (held, promised) = (&held, &promised);
            part.lines.iter().map(move |share| goods::Wanted {
                line_id: share.line_id,
                sku: &part.sku,
                location: &part.location,
                qty: units(held, part, share.line_id),
                backordered: units(promised, part, share.line_id),
                backorder_ok: false,
            })
        }))
    }

    /// What stock held for it at once.
    fn held(&self, state: &State) -> Vec<LineQty> {
        goods::without(goods::line_qtys(&self.reserve), &self.backordered(state))
    }

    fn release_id(&self, reason: &str) -> Uuid {
        self.own(&numbered(&format!("release/{reason}"), self.attempt))
    }

    fn release<'a>(&self, reservation_id: ReservationId, reason: &'a str) -> goods::Release<'a> {
        let release_id = self.release_id(reason);
        goods::Release { reservation_id, order_id: self.order_id, release_id, reason }
    }
}

/// What the order says that it holds, and that it waits for, now.
fn told(batch: &Batch) -> (Vec<LineQty>, Vec<LineQty>) {
    let (mut held, mut promised) = (Vec::new(), Vec::new());
    for recorded in &batch.events {
        match &recorded.event {
            Event::Order(order::Event::LinesReserved(told)) => held.extend(told.lines.clone()),
            Event::Order(order::Event::LinesBackordered(told)) => promised.extend(told.lines.clone()),
            _ => {}
        }
    }
    (held, promised)
}

impl Process for Input {
    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::with_capacity(5);
        if !withdrawn::are_back(state, &self.after) {
            return steps;
        }
        if !self.release.is_empty() {
            steps.push(Step::new("release", &[]).patient());
        }
        if !self.reserve.is_empty() {
            steps.push(Step::new("reserve", &["release"]).undoable());
            steps.push(Step::new("tell_reserved", &["reserve"]).pivot());
            if !self.excess(state).is_empty() {
                steps.push(Step::new("release_excess", &["tell_reserved"]).patient());
            }
            let short = |unwinding: &Unwinding| unwinding.reason == OUT_OF_STOCK;
            if state.unwinding.as_ref().is_some_and(short) {
                steps.push(Step::new("cancel", &[]).when(When::Closing).patient());
            }
        }
        steps
    }

    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command> {
        let order = |command| Some(Command::Order { order_id: self.order_id, command });
        match (ask.step, ask.direction) {
            ("release", Direction::Do) => Some(self.release(self.reservation_id?, "edited").units(&self.release)),
            ("reserve", Direction::Do) => {
                Some(goods::reserve(&self.reserve, self.added(), self.order_id, None, ask.asked_at))
            }
            // All of its own reservation, and of no other: a release by line would take units from the order's other
            // reservations if this one was never made.
            ("reserve", Direction::Undo) => {
                Some(self.release(self.added(), &state.unwinding.as_ref()?.reason).all(&self.reserve))
            }
            ("release_excess", Direction::Do) => {
                Some(self.release(self.added(), "cancelled").units(&self.excess(state)))
            }
            ("tell_reserved", Direction::Do) => order(order::Command::RecordReserved {
                reservation_id: self.added(),
                reserved: self.held(state),
                backordered: self.backordered(state),
            }),
            ("cancel", Direction::Do) => order(order::Command::ResolveShortage {
                edit_id: self.edit_id,
                attempt: self.attempt,
                refused: goods::line_qtys(&self.reserve),
                cancellation_id: CancellationId(self.own("cancellation")),
            }),
            _ => None,
        }
    }

    fn listen(&self, state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        withdrawn::hear(state, batch, &self.after, notices);
    }

    fn complete(&self, state: &State) -> bool {
        withdrawn::are_back(state, &self.after)
    }

    fn answered(&self, state: &State, answered: Answered<'_>) -> Then {
        let mut output = Output::new();
        match (answered.step, answered.direction) {
            ("reserve", Direction::Do) => {
                let promised = goods::promised(answered.batch, self.added());
                if !promised.is_empty() {
                    output.insert(BACKORDERED.into(), json!(promised));
                }
            }
            ("tell_reserved", Direction::Do) => {
                let (held, promised) = told(answered.batch);
                let excess = goods::without(self.held(state), &held);
                let excess_backordered = goods::without(self.backordered(state), &promised);
                for (name, lines) in [(EXCESS, excess), (EXCESS_BACKORDERED, excess_backordered)] {
                    if !lines.is_empty() {
                        output.insert(name.into(), json!(lines));
                    }
                }
            }
            _ => {}
        }
        Then::Done(output)
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        let unwind = |reason: &str| Then::Unwind {
            reason: reason.to_owned(),
            details: Some(json!({ "code": refused.code, "details": refused.details })),
        };
        match (refused.step, refused.direction) {
            ("reserve", Direction::Do) => unwind(OUT_OF_STOCK),
            ("tell_reserved", Direction::Do) => unwind("order_changed"),
            // The order ended meanwhile: it wants nothing any longer.
            ("cancel", Direction::Do) if refused.code == "order-state" => Then::Done(Output::new()),
            _ => Then::Retry,
        }
    }
}
