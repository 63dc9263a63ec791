//! What comes back: only what left, only what was announced, each receipt once. What is missing is never refunded.

use std::collections::BTreeMap;

use super::{Decision, bounds, fingerprint, known, units};
use crate::ids::{LineId, ReturnId};
use crate::order::command::{ReceivedUnits, ReturnUnits};
use crate::order::event::{
    Disposition, Event, LineValue, ReceivedLine, ReturnDeclined, ReturnLine, ReturnReceived, ReturnRequested,
};
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{Placed, Return, ReturnStage};

pub(super) fn request(order: &Placed, return_id: ReturnId, lines: &[ReturnUnits]) -> Decision {
    if let Some(there) = order.returns.get(&return_id) {
        let mut both = there.lines.iter().zip(lines);
        let equal = |(one, other): (&ReturnLine, &ReturnUnits)| {
            (one.line_id, one.qty, &one.reason) == (other.line_id, other.qty, &other.reason)
        };
        return known(there.lines.len() == lines.len() && both.all(equal), Part::Return, return_id.0);
    }
    units::count(lines.len())?;
    bounds::announced(order, lines)?;
    units::once(lines.iter().map(|line| (line.line_id, ())))?;
    for line in lines {
        let (line_id, asked) = (line.line_id, line.qty);
        units::known(order, line_id, asked)?;
        let returnable = order.lines.get(&line_id).map_or(0, |l| l.returnable());
        if asked > returnable {
            return Err(Refusal::QuantityExceedsShipped { line_id, asked, returnable });
        }
    }
    let announced =
        |line: &ReturnUnits| ReturnLine { line_id: line.line_id, qty: line.qty, reason: line.reason.clone() };
    Ok(vec![Event::ReturnRequested(ReturnRequested { return_id, lines: lines.iter().map(announced).collect() })])
}

/// What was received stays received: only what is still announced is declined.
pub(super) fn decline(order: &Placed, return_id: ReturnId, reason: &str) -> Decision {
    let announced = find(order, return_id)?;
    match announced.stage {
        ReturnStage::Requested | ReturnStage::PartReceived => {
            bounds::declined(order, reason)?;
            Ok(vec![Event::ReturnDeclined(ReturnDeclined { return_id, reason: reason.to_owned() })])
        }
        ReturnStage::Declined | ReturnStage::Received => match &announced.declined {
            Some(there) => known(there == reason, Part::Return, return_id.0),
            None => Err(wrong_stage(return_id, announced)),
        },
    }
}

pub(super) fn receive(order: &Placed, return_id: ReturnId, receipt: Option<u32>, lines: &[ReceivedUnits]) -> Decision {
    let announced = find(order, return_id)?;
    let expected = announced.receipts + 1;
    let given = receipt.unwrap_or(expected);
    let asked = fingerprint(return_id.0, &(given, lines));
    if (1..expected).contains(&given) {
        let same = announced.asked.get(&given).is_none_or(|there| *there == asked);
        return known(same, Part::Receipt, return_id.0);
    }
    if given != expected {
        return Err(Refusal::ReceiptOutOfOrder { return_id, expected, given });
    }
    if announced.stage == ReturnStage::Declined {
        return Err(wrong_stage(return_id, announced));
    }
    bounds::receipt(order)?;
    let came_back = counted(order, return_id, announced, lines)?;
    let received = |line: &ReceivedUnits| ReceivedLine {
        line_id: line.line_id,
        qty: line.qty,
        disposition: line.disposition,
        location: line.location.as_ref().unwrap_or(&order.location).clone(),
    };
    let refund = |(line_id, qty): (LineId, u32)| LineValue {
        line_id,
        qty,
        amount: order.lines.get(&line_id).map_or(0, |line| line.refund_of_next(qty, order.rounding)),
    };
    Ok(vec![Event::ReturnReceived(ReturnReceived {
        return_id,
        receipt: given,
        lines: lines.iter().map(received).collect(),
        refund: came_back.into_iter().map(refund).collect(),
        asked: Some(asked),
    })])
}

/// The units that came back, by line; all of them, and the missing ones, have to be announced.
fn counted(
    order: &Placed,
    return_id: ReturnId,
    announced: &Return,
    lines: &[ReceivedUnits],
) -> Result<BTreeMap<LineId, u32>, Refusal> {
    units::count(lines.len())?;
    let place = |line: &ReceivedUnits| line.location.clone().unwrap_or_else(|| order.location.clone());
    units::once(lines.iter().map(|line| (line.line_id, (line.disposition, place(line)))))?;
    let mut all: BTreeMap<LineId, u32> = BTreeMap::new();
    let mut came_back: BTreeMap<LineId, u32> = BTreeMap::new();
    for line in lines {
        units::known(order, line.line_id, line.qty)?;
        let sum = all.entry(line.line_id).or_default();
        *sum = sum.saturating_add(line.qty);
        if line.disposition != Disposition::Missing {
            let sum = came_back.entry(line.line_id).or_default();
            *sum = sum.saturating_add(line.qty);
        }
    }
    for (line_id, asked) in all {
        let open = announced.open.get(&line_id).copied().unwrap_or(0);
        if asked > open {
            return Err(Refusal::QuantityExceedsAnnounced { return_id, line_id, asked, announced: open });
        }
    }
    Ok(came_back)
}

fn find(order: &Placed, return_id: ReturnId) -> Result<&Return, Refusal> {
    let missing = Refusal::ReturnNotFound { return_id };
    order.returns.get(&return_id).ok_or(missing)
}

fn wrong_stage(return_id: ReturnId, announced: &Return) -> Refusal {
    Refusal::ReturnState { return_id, stage: announced.stage }
}
