//! Allocating: units that become free go to those who were promised some, the oldest promise first, in the batch that frees them.
//! Where more wait than one batch can serve, its last allocation says so, and a process asks for the next ones.
//! It never copies a whole state: a SKU may have thousands of open reservations.

use std::collections::BTreeMap;

use super::event::{BackorderAllocated, Event};
use super::evolve::take;
use super::state::{Held, Stock};
use crate::aggregate::Aggregate;
use crate::ids::{LineId, ReservationId};

/// How many allocations follow from a command to one stock: a batch has at most 8,192 events, and each of these starts a process.
pub(super) const ALONE: usize = 1_000;
/// How many follow from a command that may be one of 2,000 to as many stocks in one batch, with two events of its own each.
pub(super) const TOGETHER: usize = 2;

/// Reservations that the events of this batch changed; `None` for those that they ended.
type Changed = BTreeMap<ReservationId, Option<Held>>;

impl Stock {
    /// These events, and at most `most` of the allocations that they make possible.
    pub(super) fn with_allocations(&self, mut events: Vec<Event>, most: usize) -> Vec<Event> {
        if self.backordered == 0 || events.is_empty() {
            return events;
        }
        let free = self.free_after(&events);
        if free > 0 {
            let changed = self.changed_by(&events);
            events.extend(self.allocations(free, &changed, most));
        }
        events
    }

    /// The next of the allocations that are possible.
    pub(super) fn next_allocations(&self) -> Vec<Event> {
        match self.free_after(&[]) {
            0 => Vec::new(),
            free => self.allocations(free, &Changed::new(), ALONE),
        }
    }

    fn free_after(&self, events: &[Event]) -> u32 {
        let mut numbers = Self {
            safety_stock: self.safety_stock,
            on_hand: self.on_hand,
            reserved: self.reserved,
            backordered: self.backordered,
            ..Self::default()
        };
        for event in events {
            numbers.evolve(event);
        }
        numbers.available().min(numbers.backordered)
    }

    fn changed_by(&self, events: &[Event]) -> Changed {
        let mut changed = Changed::new();
        for event in events {
            match event {
                Event::ReservationExpired(expired) => {
                    changed.insert(expired.reservation_id, None);
                }
                Event::ReservationOrdered(ordered) => {
                    changed.insert(ordered.reservation_id, None);
                }
                Event::ReservationReleased(released) if released.whole => {
                    changed.insert(released.reservation_id, None);
                }
                Event::ReservationReleased(released) => {
                    let id = released.reservation_id;
                    let mut held = self.reservations.get(&id).cloned();
                    if let Some(held) = &mut held {
                        for line in &released.lines {
                            take(&mut held.lines, line.line_id, line.qty, line.backordered);
                        }
                    }
                    changed.insert(id, held);
                }
                _ => {}
            }
        }
        changed
    }

    fn allocations(&self, mut free: u32, changed: &Changed, most: usize) -> Vec<Event> {
        let open = self.reservations.iter();
        let open = open.filter_map(|(id, held)| match changed.get(id) {
            Some(changed) => changed.as_ref().map(|held| (id, held)),
            None => Some((id, held)),
        });
        let mut oldest_first: Vec<_> = open.filter(|(_, held)| held.backordered() > 0).collect();
        oldest_first.sort_unstable_by_key(|(_, held)| held.promise);
        let lines = oldest_first.into_iter().flat_map(|(id, held)| held.lines.iter().map(move |line| (id, held, line)));
        let mut served: Vec<BackorderAllocated> = Vec::new();
        for (reservation_id, held, (line_id, line)) in lines.filter(|(.., (_, line))| line.backordered > 0) {
            if free == 0 {
                break;
            }
            if served.len() == most {
                if let Some(last) = served.last_mut() {
                    last.more = true;
                }
                break;
            }
            let qty = line.backordered.min(free);
            free -= qty;
            served.push(BackorderAllocated {
                reservation_id: *reservation_id,
                order_id: held.order_id,
                line_id: Some(*line_id).filter(|line_id| *line_id != LineId(0)),
                qty,
                more: false,
            });
        }
        served.into_iter().map(Event::BackorderAllocated).collect()
    }
}
