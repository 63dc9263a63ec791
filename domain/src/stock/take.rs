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
    let mut left = Wanted::released(*qty, lines)?;
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
    let mut left = Wanted::held(lines)?;
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
    /// Those that are held, and those that are promised.
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
    lines: Taken,
    any: HeldLine,
}

impl Wanted {
    fn held(lines: &[LineShare]) -> Result<Self, Refusal> {
        let held = |share: &LineShare| LetGo { line_id: share.line_id, qty: share.qty, backordered: 0 };
        Self::of(lines.iter().map(held))
    }

    /// Units of no named line are wanted as promised ones, and what is missing of these as held ones: as little stock as possible changes
    /// hands.
    fn released(qty: Option<u32>, lines: &[LetGo]) -> Result<Self, Refusal> {
        match qty {
            Some(qty) if lines.is_empty() => {
                at_least_one(qty)?;
                Ok(Self { lines: Taken::new(), any: HeldLine { reserved: 0, backordered: qty } })
            }
            _ => Self::of(lines.iter().copied()),
        }
    }

    fn of(lines: impl Iterator<Item = LetGo>) -> Result<Self, Refusal> {
        let mut wanted = Self { lines: Taken::new(), any: HeldLine::default() };
        let mut total = 0_i64;
        for LetGo { line_id, qty, backordered } in lines {
            at_least_one(qty.saturating_add(backordered))?;
            total += i64::from(qty) + i64::from(backordered);
            at_most(total)?;
            add(wanted.lines.entry(line_id).or_default(), &HeldLine { reserved: qty, backordered });
        }
        at_least_one(wanted.units())?;
        Ok(wanted)
    }

    fn units(&self) -> u32 {
        sum(&self.lines, units_of).saturating_add(units_of(&self.any))
    }

    /// Takes what is wanted: of the lines named, in the reservation named and then in the order's others here, oldest promise first; then
    /// of whichever lines have some left, since one unit of a SKU is as good as another. Held units are taken where held ones are wanted
    /// and promised ones where those are, whichever reservation they are in; what is wanted of one kind and is not there comes out of the
    /// other, since the order may not have heard yet that a promise was served.
    fn sources<'a>(
        &mut self,
        stock: &'a Stock,
        named: ReservationId,
        order_id: Option<OrderId>,
        units: Units,
    ) -> Vec<Source<'a>> {
        let mut sources = self.candidates(stock, named, order_id);
        // Which kind is wanted, and which is taken for it.
        let passes: &[(Kind, Kind)] = match units {
            Units::Held => &[(HELD, HELD)],
            Units::HeldAndPromised => &[(PROMISED, PROMISED), (HELD, HELD), (HELD, PROMISED), (PROMISED, HELD)],
        };
        for _ in 0..2 {
            for (wanted, taken) in passes {
                for source in &mut sources {
                    self.take_from(source, *wanted, *taken);
                }
            }
            for line in std::mem::take(&mut self.lines).values() {
                add(&mut self.any, line);
            }
        }
        sources
    }

    fn candidates<'a>(&self, stock: &'a Stock, named: ReservationId, order_id: Option<OrderId>) -> Vec<Source<'a>> {
        let first = stock.reservations.get(&named).filter(|held| held.order_id == order_id);
        let mut found: Vec<_> = first.into_iter().map(|held| (named, held)).collect();
        if order_id.is_some() && !first.is_some_and(|held| self.is_in(held)) {
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

    /// Whether a reservation has all that is wanted, of the lines and the kinds that are named. Units of no named line may come out of every
    /// reservation of the order.
    fn is_in(&self, held: &Held) -> bool {
        let has = |(line_id, want): (&LineId, &HeldLine)| {
            let there = held.lines.get(line_id);
            there.is_some_and(|there| there.reserved >= want.reserved && there.backordered >= want.backordered)
        };
        units_of(&self.any) == 0 && self.lines.iter().all(has)
    }

    /// Takes units of a kind for units of a kind that are wanted, the highest line first.
    fn take_from(&mut self, source: &mut Source<'_>, wanted: Kind, taken: Kind) {
        for (line_id, line) in source.left.iter_mut().rev() {
            let want = wanted(self.lines.get_mut(line_id).unwrap_or(&mut self.any));
            let there = taken(line);
            let qty = (*there).min(*want);
            *there -= qty;
            *want -= qty;
            if qty > 0 {
                let sum = taken(source.taken.entry(*line_id).or_default());
                *sum = sum.saturating_add(qty);
            }
        }
    }
}

/// One of the two kinds of units of a line.
type Kind = fn(&mut HeldLine) -> &mut u32;

const HELD: Kind = |line| &mut line.reserved;
const PROMISED: Kind = |line| &mut line.backordered;

fn add(to: &mut HeldLine, more: &HeldLine) {
    to.reserved = to.reserved.saturating_add(more.reserved);
    to.backordered = to.backordered.saturating_add(more.backordered);
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
