//! Units of lines as a command names them: each line once, at least one unit, and lines that are there.

use std::collections::BTreeSet;

use crate::ids::LineId;
use crate::order::command::Units;
use crate::order::line::LineProblem;
use crate::order::refusal::Refusal;
use crate::order::state::Placed;

/// The most lines that an order has.
pub(super) const MOST_LINES: u32 = 2_000;
/// The most units that a line has.
pub(super) const MOST_UNITS: u32 = 1_000_000;

pub(super) fn invalid(line_id: impl Into<Option<LineId>>, problem: LineProblem) -> Refusal {
    Refusal::InvalidLine { line_id: line_id.into(), problem }
}

/// Refuses too few and too many lines.
pub(super) fn count(lines: usize) -> Result<(), Refusal> {
    match u32::try_from(lines).unwrap_or(u32::MAX) {
        1..=MOST_LINES => Ok(()),
        lines => {
            let most = MOST_LINES;
            Err(invalid(None, LineProblem::Count { lines, most }))
        }
    }
}

/// Refuses quantities that no line has.
pub(super) fn quantity(line_id: LineId, qty: u32) -> Result<(), Refusal> {
    if (1..=MOST_UNITS).contains(&qty) {
        return Ok(());
    }
    let largest = MOST_UNITS;
    Err(invalid(line_id, LineProblem::Quantity { qty, largest }))
}

/// Refuses lines that the order does not have, and quantities that no line has.
pub(super) fn known(order: &Placed, line_id: LineId, qty: u32) -> Result<(), Refusal> {
    if !order.lines.contains_key(&line_id) {
        return Err(invalid(line_id, LineProblem::NotFound));
    }
    quantity(line_id, qty)
}

/// Refuses a line that is named twice, for the same purpose where lines have several. One rule for all commands: whether the second is
/// another wish or the same one again, only the caller knows.
pub(super) fn once<P: Ord>(lines: impl IntoIterator<Item = (LineId, P)>) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for (line_id, purpose) in lines {
        if !seen.insert((line_id, purpose)) {
            return Err(invalid(line_id, LineProblem::Duplicate));
        }
    }
    Ok(())
}

/// By line number.
pub(super) fn sorted(lines: &[Units]) -> Vec<Units> {
    let mut lines = lines.to_vec();
    lines.sort_by_key(|line| line.line_id);
    lines
}

/// The units that are named, by line number.
pub(super) fn named(order: &Placed, lines: &[Units]) -> Result<Vec<Units>, Refusal> {
    count(lines.len())?;
    let lines = sorted(lines);
    once(lines.iter().map(|line| (line.line_id, ())))?;
    for line in &lines {
        known(order, line.line_id, line.qty)?;
    }
    Ok(lines)
}
