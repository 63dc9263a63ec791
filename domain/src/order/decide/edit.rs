//! Editing a confirmed order: what is stored is the lines as they are from then on. Never touches units that left or are on their way.

use uuid::Uuid;

use super::units::{self, invalid};
use super::{Decision, bounds, cancel, fingerprint, known, pay, price, wrong_state};
use crate::ids::{LineId, PaymentId, within};
use crate::money::{self, Minor};
use crate::order::command::{Change, Edit, NewLine};
use crate::order::event::{Edited, Event, LineChange};
use crate::order::line::{Line, LineProblem, LineQty, LineRelease};
use crate::order::refusal::{EditProblem, Part, Refusal};
use crate::order::state::{LineState, Placed, Status};

pub(super) fn edit(order: &Placed, edit: &Edit) -> Decision {
    if let Some(there) = order.edits.get(&edit.edit_id) {
        let same = there.asked.is_none_or(|asked| asked == asked_by(edit));
        return known(same, Part::Edit, edit.edit_id.0);
    }
    if order.status != Status::Confirmed || order.cancelling() {
        return Err(wrong_state(order));
    }
    if edit.changes.is_empty() {
        return Err(refused(None, EditProblem::Empty));
    }
    let mut draft = Draft::new(order);
    for change in &edit.changes {
        draft.apply(change)?;
    }
    let changes = draft.resolved()?;
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    bounds::edit(order)?;
    decided(order, edit, changes)
}

fn asked_by(edit: &Edit) -> Uuid {
    fingerprint(edit.edit_id.0, &(&edit.changes, &edit.reason))
}

fn decided(order: &Placed, edit: &Edit, changes: Vec<LineChange>) -> Decision {
    let (reserve, release) = stock(order, &changes);
    let mut event = Edited {
        edit_id: edit.edit_id,
        changes,
        totals_before: order.totals,
        totals_after: order.totals,
        balance_change: 0,
        reserve,
        release,
        reason: edit.reason.clone(),
        asked: Some(asked_by(edit)),
    };
    // The order as it will be is made by the fold itself, so that the sums are those of the lines that it will have.
    let mut after = order.clone();
    after.edit(&event);
    units::count(after.lines.len())?;
    bounds::increases(order, after.lines.len(), event.reserve.len())?;
    let lines = after.lines.values().map(|l| &l.line);
    event.totals_after = price::totals(lines, &order.shipping).map_err(price::too_large(None))?;
    event.balance_change =
        money::subtract(event.totals_after.total, order.totals.total).map_err(price::too_large(None))?;
    let nothing_left = after.all_open_units() == 0 && after.shipped_units() == 0;
    // A charge that no shipment carries needs units that a further shipment can take.
    if nothing_left || (after.free_units() == 0 && after.shipping_left() > 0) {
        return Err(refused(None, EditProblem::NothingLeft));
    }
    after.totals = event.totals_after;
    let more = if event.balance_change > 0 { pay::more(&after, payment_id(order, edit))? } else { None };
    let mut events = vec![Event::Edited(event)];
    events.extend(more);
    Ok(events)
}

/// The payment of what an edit made the order worth more.
fn payment_id(order: &Placed, edit: &Edit) -> PaymentId {
    PaymentId(within(order.order_id, "edit", edit.edit_id.0, "payment"))
}

/// What inventory is to hold, and to release, because of the changes.
fn stock(order: &Placed, changes: &[LineChange]) -> (Vec<LineQty>, Vec<LineRelease>) {
    let (mut reserve, mut release) = (Vec::new(), Vec::new());
    for change in changes {
        let (line, more) = match change {
            LineChange::Added { line } => (line, line.qty),
            LineChange::Changed { line } => {
                let Some(before) = order.lines.get(&line.line_id) else {
                    continue;
                };
                let fewer = before.line.qty.saturating_sub(line.qty);
                release.extend(cancel::released(order, before, fewer));
                (line, line.qty.saturating_sub(before.line.qty))
            }
        };
        if line.stocked && more > 0 {
            reserve.push(LineQty { line_id: line.line_id, qty: more, location: order.location.clone() });
        }
    }
    (reserve, release)
}

fn refused(line_id: impl Into<Option<LineId>>, problem: EditProblem) -> Refusal {
    Refusal::InvalidEdit { line_id: line_id.into(), problem }
}

/// The lines that an edit touches, in the order in which it first touches them.
struct Draft<'a> {
    order: &'a Placed,
    lines: Vec<Line>,
}

impl<'a> Draft<'a> {
    fn new(order: &'a Placed) -> Self {
        let lines = Vec::new();
        Self { order, lines }
    }

    fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::Add(new) => return self.add(new),
            Change::SetQty { line_id, qty } => self.touch(*line_id)?.qty = *qty,
            Change::Reprice { line_id, unit_price } => self.touch(*line_id)?.unit_price = unit_price.clone(),
            Change::Discount { line_id, discount } => self.touch(*line_id)?.discount = *discount,
        }
        Ok(())
    }

    fn add(&mut self, new: &NewLine) -> Result<(), Refusal> {
        let there = self.order.lines.contains_key(&new.line_id) || self.lines.iter().any(|l| l.line_id == new.line_id);
        if there {
            return Err(invalid(new.line_id, LineProblem::Duplicate));
        }
        let line = price::line(new, self.order.currency, self.order.rounding)?;
        self.lines.push(line);
        Ok(())
    }

    fn touch(&mut self, line_id: LineId) -> Result<&mut Line, Refusal> {
        if !self.lines.iter().any(|l| l.line_id == line_id) {
            let missing = || invalid(line_id, LineProblem::NotFound);
            let state = self.order.lines.get(&line_id).ok_or_else(missing)?;
            self.lines.push(state.line.clone());
        }
        let found = self.lines.iter_mut().find(|l| l.line_id == line_id);
        found.ok_or_else(|| invalid(line_id, LineProblem::NotFound))
    }

    /// The changes that are left when all are made, each line with its new amounts.
    fn resolved(mut self) -> Result<Vec<LineChange>, Refusal> {
        self.spread_anew()?;
        let mut changes = Vec::with_capacity(self.lines.len());
        for mut line in self.lines {
            price::compute(&mut line, self.order.currency, self.order.rounding)?;
            match self.order.lines.get(&line.line_id) {
                None => changes.push(LineChange::Added { line }),
                Some(before) if before.line == line => {}
                Some(before) => {
                    fits(before, &line)?;
                    changes.push(LineChange::Changed { line });
                }
            }
        }
        Ok(changes)
    }
}

impl Draft<'_> {
    /// The order's discount is spread anew over the lines of which nothing was cancelled, left or is on its way; the others keep their shares.
    fn spread_anew(&mut self) -> Result<(), Refusal> {
        let discount = self.order.discount;
        let untouched = |line_id: LineId| self.order.lines.get(&line_id).is_none_or(|state| state.taken().units == 0);
        if discount == 0 {
            return Ok(());
        }
        let kept = self.order.lines.iter().filter(|(line_id, _)| !untouched(**line_id));
        let kept: Minor = kept.map(|(_, state)| state.line.order_discount).sum();
        let mut free: Vec<Line> = self.lines.iter().filter(|line| untouched(line.line_id)).cloned().collect();
        let others =
            self.order.lines.iter().filter(|(line_id, _)| {
                untouched(**line_id) && !self.lines.iter().any(|line| line.line_id == **line_id)
            });
        free.extend(others.map(|(_, state)| state.line.clone()));
        free.sort_by_key(|line| line.line_id);
        for line in &mut free {
            line.order_discount = 0;
            price::compute(line, self.order.currency, self.order.rounding)?;
        }
        let nets: Vec<Minor> = free.iter().map(|line| line.subtotal - line.discount).collect();
        let most = money::sum(nets.iter().copied()).map_err(price::too_large(None))?;
        for (line, share) in free.iter_mut().zip(money::spread((discount - kept).clamp(0, most), &nets)) {
            line.order_discount = share;
        }
        for line in free {
            match self.lines.iter_mut().find(|there| there.line_id == line.line_id) {
                Some(there) => *there = line,
                None => self.lines.push(line),
            }
        }
        Ok(())
    }
}

/// Refuses a change that would take away what left, is on its way or was cancelled, or the value that it was given.
fn fits(before: &LineState, line: &Line) -> Result<(), Refusal> {
    let taken = before.taken();
    let (line_id, open) = (line.line_id, before.free());
    if line.qty < taken.units {
        let asked = before.line.qty - line.qty;
        return Err(Refusal::QuantityExceedsOpen { line_id, asked, open });
    }
    if open == 0 && line.qty == before.line.qty {
        return Err(refused(line_id, EditProblem::LineClosed));
    }
    let closed = line.qty == taken.units;
    if line.total < taken.value || (closed && line.total != taken.value) {
        return Err(refused(line_id, EditProblem::ValueTaken));
    }
    Ok(())
}
