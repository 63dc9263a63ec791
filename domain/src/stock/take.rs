//! Taking units out of reservations: to let them go, or because they leave. Units come out of the reservation that is named first, then
//! out of the order's others here, since what an edit added has a reservation of its own and only the order knows them as one.

use std::collections::BTreeMap;

use super::allocate::TOGETHER;
use super::command::Command;
use super::decide::{Decision, at_least_one, at_most};
use super::event::{Event, LetGo, LineShare, ReservationReleased, Shipped};
use super::refusal::Refusal;
use super::state::{End, Held, HeldLine, Stock};
use crate::ids::{LineId, OrderId, ReservationId, ShipmentId};

/// What is taken, by line.
type Taken = BTreeMap<LineId, HeldLine>;

pub(super) fn release(stock: &Stock, command: &Command) -> Decision {
    let Command::Release { reservation_id, order_id, qty, lines, release_id, expires_at, reason } = command else {
        return Ok(vec![]);
    };
    let reservation_id = *reservation_id;
    let whole = qty.is_none() && lines.is_empty();
    // A release of some units may have taken them from any reservation of the order.
    let again = stock.releases.iter().any(|known| {
        let same_order = !whole && order_id.is_some() && known.order_id == *order_id;
        known.release_id == *release_id && (known.reservation_id == reservation_id || same_order)
    });
    if again || stock.tombstones.contains_key(&reservation_id) {
        return Ok(vec![]);
    }
    let event = |id: ReservationId, held: Option<&Held>, taken: &Taken, whole: bool| {
        Event::ReservationReleased(ReservationReleased {
            reservation_id: id,
            order_id: held.map_or(*order_id, |held| held.order_id),
            qty: sum(taken, |line| line.reserved),
            backordered: sum(taken, |line| line.backordered),
            lines: if whole { vec![] } else { let_go(taken) },
            whole,
            release_id: *release_id,
            expires_at: if held.is_none() { *expires_at } else { None },
            reason: reason.clone(),
        })
    };
    let held = stock.reservations.get(&reservation_id);
    if held.is_some_and(|held| held.order_id != *order_id) {
        // It is another's, under the same id: there is nothing of the caller's to let go.
        return Ok(vec![]);
    }
    if whole {
        return match (held, stock.end_of(reservation_id)) {
            (Some(held), _) => {
                Ok(stock.with_allocations(vec![event(reservation_id, Some(held), &held.lines, true)], TOGETHER))
            }
            // Units that left are no longer anyone's to let go.
            (None, Some(End::Shipped)) => Err(Refusal::ReservationEnded { reservation_id }),
            (None, Some(End::Released | End::Expired | End::Ordered)) => Ok(vec![]),
            (None, None) => Ok(vec![event(reservation_id, None, &Taken::new(), true)]),
        };
    }
    let mut left = Wanted::of(*qty, lines)?;
    let sources = left.sources(stock, reservation_id, *order_id, Units::HeldAndPromised);
    let sources = sources.iter().filter(|source| !source.taken.is_empty());
    let events = sources.map(|source| {
        let whole = sum(&source.left, units_of) == 0;
        event(source.id, Some(source.held), &source.taken, whole)
    });
    Ok(stock.with_allocations(events.collect(), TOGETHER))
}

pub(super) fn ship(
    stock: &Stock,
    shipment_id: ShipmentId,
    reservation_id: ReservationId,
    order_id: Option<OrderId>,
    lines: &[LineShare],
) -> Decision {
    match stock.taken_for(shipment_id) {
        Some([]) => return Err(Refusal::ShipmentPutBack { shipment_id }),
        Some(_) => return Ok(vec![]),
        None => {}
    }
    let taken = held(stock, reservation_id, order_id, lines)?;
    here(stock, taken.iter().map(|part| part.qty).sum())?;
    let events = taken.into_iter().map(|part| {
        Event::Shipped(Shipped {
            shipment_id,
            reservation_id: part.reservation_id,
            order_id,
            qty: part.qty,
            lines: part.lines,
        })
    });
    Ok(events.collect())
}

/// What is taken out of a reservation.
pub(super) struct Part {
    pub(super) reservation_id: ReservationId,
    pub(super) qty: u32,
    pub(super) lines: Vec<LineShare>,
}

/// Held units, out of a reservation and where that has not enough out of the order's others here.
///
/// # Errors
/// If not so many are held.
pub(super) fn held(
    stock: &Stock,
    reservation_id: ReservationId,
    order_id: Option<OrderId>,
    lines: &[LineShare],
) -> Result<Vec<Part>, Refusal> {
    let mut left = Wanted::of(None, lines)?;
    let wanted = left.units();
    let sources = left.sources(stock, reservation_id, order_id, Units::Held);
    if left.units() > 0 {
        let reserved = wanted - left.units();
        return Err(Refusal::NotReserved { wanted, reserved });
    }
    let sources = sources.iter().filter(|source| !source.taken.is_empty());
    let parts = sources.map(|source| Part {
        reservation_id: source.id,
        qty: sum(&source.taken, |line| line.reserved),
        lines: shares(&source.taken),
    });
    Ok(parts.collect())
}

/// Whether so many units can leave, whosever they are.
pub(super) fn check(stock: &Stock, wanted: u32) -> Decision {
    at_least_one(wanted)?;
    here(stock, wanted)?;
    Ok(vec![])
}

fn here(stock: &Stock, wanted: u32) -> Result<(), Refusal> {
    let on_hand = stock.on_hand;
    if wanted > on_hand { Err(Refusal::ExceedsOnHand { wanted, on_hand }) } else { Ok(()) }
}

/// Which units may be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Units {
    /// Those that are held.
    Held,
    /// Those that are promised, before those that are held: as little stock as possible changes hands.
    HeldAndPromised,
}

/// A reservation that units are taken out of.
struct Source<'a> {
    id: ReservationId,
    held: &'a Held,
    left: Taken,
    taken: Taken,
}

/// The units still to be taken: so many of these lines, or so many of any.
struct Wanted {
    lines: BTreeMap<LineId, u32>,
    any: u32,
}

impl Wanted {
    fn of(qty: Option<u32>, lines: &[LineShare]) -> Result<Self, Refusal> {
        let mut wanted = Self { lines: BTreeMap::new(), any: 0 };
        let mut total = 0_i64;
        for share in lines {
            at_least_one(share.qty)?;
            total += i64::from(share.qty);
            at_most(total)?;
            let line = wanted.lines.entry(share.line_id).or_default();
            *line = line.saturating_add(share.qty);
        }
        if lines.is_empty() {
            wanted.any = qty.unwrap_or(0);
            at_least_one(wanted.any)?;
        }
        Ok(wanted)
    }

    fn units(&self) -> u32 {
        let lines = self.lines.values();
        lines.fold(self.any, |sum, qty| sum.saturating_add(*qty))
    }

    /// Takes what is wanted: of the lines named, in the reservation named and then in the order's others here, oldest promise first; then
    /// of whichever lines have some left, since one unit of a SKU is as good as another. Promised units are taken from all of these
    /// before any held unit is: the order counts by line, and takes them in that order too, whichever reservation they are in.
    fn sources<'a>(
        &mut self,
        stock: &'a Stock,
        named: ReservationId,
        order_id: Option<OrderId>,
        units: Units,
    ) -> Vec<Source<'a>> {
        let mut sources = self.candidates(stock, named, order_id, units);
        for _ in 0..2 {
            if units == Units::HeldAndPromised {
                for source in &mut sources {
                    self.take_from(source, |line| &mut line.backordered);
                }
            }
            for source in &mut sources {
                self.take_from(source, |line| &mut line.reserved);
            }
            self.any = self.units();
            self.lines.clear();
        }
        sources
    }

    fn candidates<'a>(
        &self,
        stock: &'a Stock,
        named: ReservationId,
        order_id: Option<OrderId>,
        units: Units,
    ) -> Vec<Source<'a>> {
        let first = stock.reservations.get(&named).filter(|held| held.order_id == order_id);
        let promised_here = first.map_or(0, Held::backordered);
        let elsewhere = units == Units::HeldAndPromised && stock.backordered > promised_here;
        let mut found: Vec<_> = first.into_iter().map(|held| (named, held)).collect();
        if order_id.is_some() && (elsewhere || !first.is_some_and(|held| self.is_in(held, units))) {
            let others = stock.reservations.iter();
            let others = others.filter(|(id, held)| **id != named && held.order_id == order_id);
            let mut others: Vec<_> = others.map(|(id, held)| (*id, held)).collect();
            others.sort_unstable_by_key(|(_, held)| held.promise);
            found.extend(others);
        }
        let source =
            |(id, held): (ReservationId, &'a Held)| Source { id, held, left: held.lines.clone(), taken: Taken::new() };
        found.into_iter().map(source).collect()
    }

    /// Whether a reservation has all that is wanted, of the lines that are named.
    fn is_in(&self, held: &Held, units: Units) -> bool {
        let there = |line: &HeldLine| match units {
            Units::Held => line.reserved,
            Units::HeldAndPromised => units_of(line),
        };
        let mut lines = self.lines.iter();
        self.any <= sum(&held.lines, there)
            && lines.all(|(line_id, want)| held.lines.get(line_id).map_or(0, there) >= *want)
    }

    fn take_from(&mut self, source: &mut Source<'_>, kind: fn(&mut HeldLine) -> &mut u32) {
        for (line_id, line) in source.left.iter_mut().rev() {
            let there = kind(line);
            let qty = self.take(*line_id, *there);
            *there -= qty;
            if qty > 0 {
                let taken = kind(source.taken.entry(*line_id).or_default());
                *taken = taken.saturating_add(qty);
            }
        }
    }

    /// Takes up to `there` units of a line.
    fn take(&mut self, line_id: LineId, there: u32) -> u32 {
        let want = match self.lines.get_mut(&line_id) {
            Some(want) => want,
            None => &mut self.any,
        };
        let qty = there.min(*want);
        *want -= qty;
        qty
    }
}

fn shares(taken: &Taken) -> Vec<LineShare> {
    let lines = taken.iter();
    lines.map(|(line_id, line)| LineShare { line_id: *line_id, qty: line.reserved }).collect()
}

fn let_go(taken: &Taken) -> Vec<LetGo> {
    let lines = taken.iter();
    lines
        .map(|(line_id, line)| LetGo { line_id: *line_id, qty: line.reserved, backordered: line.backordered })
        .collect()
}

fn units_of(line: &HeldLine) -> u32 {
    line.reserved.saturating_add(line.backordered)
}

fn sum(taken: &Taken, units: impl Fn(&HeldLine) -> u32) -> u32 {
    let lines = taken.values();
    lines.fold(0, |sum, line| sum.saturating_add(units(line)))
}
