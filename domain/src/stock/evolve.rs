//! How stock moves past each fact. Total: history is never refused, and no sum can overflow.

use std::collections::BTreeMap;

use super::event::{
    Adjusted, BackorderAllocated, Backordered, Event, Registered, ReservationDeferred, ReservationExpired,
    ReservationOrdered, ReservationReleased, Reserved, ShipmentPutBack, Shipped,
};
use super::state::{Adjustment, End, Held, HeldLine, Release, Stock, Taken, TakenOut};
use crate::ids::{LineId, OrderId, ReservationId};
use crate::time::Timestamp;

/// The line of a reservation that no order asked for.
const NO_LINE: LineId = LineId(0);

impl Stock {
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Registered(registered) => self.registered(registered),
            Event::Received(received) => {
                self.on_hand = self.on_hand.saturating_add(received.qty);
                self.book.received += i64::from(received.qty);
            }
            Event::Reserved(reserved) => self.reserved(reserved),
            Event::Backordered(backordered) => self.backordered(backordered),
            Event::ReservationExtended(extended) => {
                if let Some(held) = self.reservations.get_mut(&extended.reservation_id) {
                    held.expires_at = Some(extended.expires_at);
                }
            }
            Event::ReservationReleased(released) => self.released(released),
            Event::ReservationExpired(expired) => self.expired(expired),
            Event::Shipped(shipped) => self.shipped(shipped),
            Event::ShipmentPutBack(back) => self.put_back(back),
            Event::ReservationDeferred(deferred) => self.deferred(deferred),
            Event::ReservationOrdered(ordered) => self.ordered(ordered),
            Event::Returned(returned) => {
                self.on_hand = self.on_hand.saturating_add(returned.qty);
                self.book.returned += i64::from(returned.qty);
                self.returns.remember((returned.return_id, returned.receipt));
            }
            Event::WrittenOff(written_off) => {
                self.on_hand = self.on_hand.saturating_sub(written_off.qty);
                self.book.written_off += i64::from(written_off.qty);
            }
            Event::Adjusted(adjusted) => {
                self.on_hand = moved(self.on_hand, adjusted.delta);
                self.book.adjusted = self.book.adjusted.saturating_add(adjusted.delta);
                let Adjusted { adjustment_id, asked, .. } = *adjusted;
                self.adjustments.remember(Adjustment { adjustment_id, asked });
            }
            Event::Counted(counted) => {
                self.on_hand = counted.counted;
                self.book.counted = self.book.counted.saturating_add(counted.difference);
            }
            Event::BackorderAllocated(allocated) => self.allocated(allocated),
        }
        self.settle_bounds(matches!(event, Event::Adjusted(_) | Event::Counted(_) | Event::WrittenOff(_)));
    }

    /// What is accepted beyond the rules never grows back once it has shrunk, except where it is accepted again.
    fn settle_bounds(&mut self, accepts_shortage: bool) {
        let short = self.reserved.saturating_sub(self.on_hand);
        self.short_accepted = if accepts_shortage { short } else { self.short_accepted.min(short) };
        self.allocating &= self.available() > 0 && self.backordered > 0;
        let promised = self.backorder_allowed.min(self.backordered);
        self.backorder_allowed = self.backorder_limit.max(promised);
    }

    fn registered(&mut self, registered: &Registered) {
        self.of = Some((registered.sku.clone(), registered.location.clone()));
        self.safety_stock = registered.safety_stock;
        self.backorder_limit = registered.backorder_limit;
    }

    fn open(
        &mut self,
        reservation_id: ReservationId,
        order_id: Option<OrderId>,
        expires_at: Option<Timestamp>,
    ) -> &mut Held {
        let promises = &mut self.promises;
        self.reservations.entry(reservation_id).or_insert_with(|| {
            *promises += 1;
            Held { order_id, lines: Default::default(), expires_at, promise: *promises }
        })
    }

    fn reserved(&mut self, reserved: &Reserved) {
        let held = self.open(reserved.reservation_id, reserved.order_id, reserved.expires_at);
        for share in &reserved.lines {
            let line = held.lines.entry(share.line_id).or_default();
            line.reserved = line.reserved.saturating_add(share.qty);
        }
        self.reserved = self.reserved.saturating_add(reserved.qty);
        if let Some(until) = reserved.forgotten_until {
            self.tombstones.retain(|_, expires_at| !over(*expires_at, until));
        }
    }

    fn backordered(&mut self, backordered: &Backordered) {
        let held = self.open(backordered.reservation_id, backordered.order_id, None);
        for share in &backordered.lines {
            let line = held.lines.entry(share.line_id).or_default();
            line.backordered = line.backordered.saturating_add(share.qty);
        }
        self.backordered = self.backordered.saturating_add(backordered.qty);
    }

    fn allocated(&mut self, allocated: &BackorderAllocated) {
        if let Some(held) = self.reservations.get_mut(&allocated.reservation_id) {
            let line_id = allocated.line_id.unwrap_or(NO_LINE);
            let line = held.lines.entry(line_id).or_default();
            line.backordered = line.backordered.saturating_sub(allocated.qty);
            line.reserved = line.reserved.saturating_add(allocated.qty);
            self.backordered = self.backordered.saturating_sub(allocated.qty);
            self.reserved = self.reserved.saturating_add(allocated.qty);
        }
        self.allocating = allocated.more;
    }

    fn released(&mut self, released: &ReservationReleased) {
        let id = released.reservation_id;
        self.releases.remember(Release {
            release_id: released.release_id,
            reservation_id: id,
            order_id: released.order_id,
        });
        self.reserved = self.reserved.saturating_sub(released.qty);
        self.backordered = self.backordered.saturating_sub(released.backordered);
        let Some(held) = self.reservations.get_mut(&id) else {
            self.tombstones.insert(id, released.expires_at);
            return;
        };
        for let_go in &released.lines {
            take(&mut held.lines, let_go.line_id, let_go.qty, let_go.backordered);
        }
        if released.whole {
            self.end(id, End::Released);
        }
    }

    fn expired(&mut self, expired: &ReservationExpired) {
        self.reserved = self.reserved.saturating_sub(expired.qty);
        self.backordered = self.backordered.saturating_sub(expired.backordered);
        self.end(expired.reservation_id, End::Expired);
    }

    fn shipped(&mut self, shipped: &Shipped) {
        self.on_hand = self.on_hand.saturating_sub(shipped.qty);
        self.book.shipped += i64::from(shipped.qty);
        self.reserved = self.reserved.saturating_sub(shipped.qty);
        let id = shipped.reservation_id;
        let out_of = TakenOut {
            reservation_id: id,
            order_id: shipped.order_id,
            promise: self.reservations.get(&id).map_or(0, |held| held.promise),
            lines: shipped.lines.clone(),
        };
        match self.shipments.find_mut(|taken| taken.shipment_id == shipped.shipment_id) {
            Some(taken) => taken.out_of.push(out_of),
            None => self.shipments.remember(Taken { shipment_id: shipped.shipment_id, out_of: vec![out_of] }),
        }
        if let Some(held) = self.reservations.get_mut(&id) {
            for share in &shipped.lines {
                take(&mut held.lines, share.line_id, share.qty, 0);
            }
            if held.reserved() == 0 && held.backordered() == 0 {
                self.end(id, End::Shipped);
            }
        }
    }

    fn put_back(&mut self, back: &ShipmentPutBack) {
        self.on_hand = self.on_hand.saturating_add(back.qty);
        self.book.shipped -= i64::from(back.qty);
        let id = back.reservation_id;
        let mut promise = None;
        match self.shipments.find_mut(|taken| taken.shipment_id == back.shipment_id) {
            Some(taken) => taken.out_of.retain(|out_of| {
                let this = out_of.reservation_id == id;
                promise = promise.or(this.then_some(out_of.promise));
                !this
            }),
            None => self.shipments.remember(Taken { shipment_id: back.shipment_id, out_of: vec![] }),
        }
        if back.released || back.qty == 0 {
            return;
        }
        self.reserved = self.reserved.saturating_add(back.qty);
        let held = match promise {
            // The reservation may have ended with the units that left: it goes on where it was.
            Some(promise) => self.reservations.entry(id).or_insert_with(|| Held {
                order_id: back.order_id,
                lines: BTreeMap::new(),
                expires_at: None,
                promise,
            }),
            None => self.open(id, back.order_id, None),
        };
        for share in &back.lines {
            let line = held.lines.entry(share.line_id).or_default();
            line.reserved = line.reserved.saturating_add(share.qty);
        }
        self.ended.forget(|(ended, _)| *ended == id);
        self.tombstones.remove(&id);
    }

    fn deferred(&mut self, deferred: &ReservationDeferred) {
        self.reserved = self.reserved.saturating_sub(deferred.qty);
        self.backordered = self.backordered.saturating_add(deferred.qty);
        // Somebody accepts it beyond the limit.
        self.backorder_allowed = self.backorder_allowed.max(self.backordered);
        if let Some(held) = self.reservations.get_mut(&deferred.reservation_id) {
            for share in &deferred.lines {
                let line = held.lines.entry(share.line_id).or_default();
                line.reserved = line.reserved.saturating_sub(share.qty);
                line.backordered = line.backordered.saturating_add(share.qty);
            }
        }
    }

    /// The order's reservation takes the place in the order of promises that the other had, unless it has one here already: what was held
    /// early is not what a shortage takes first.
    fn ordered(&mut self, ordered: &ReservationOrdered) {
        let basket = self.reservations.get(&ordered.reservation_id).map(|basket| basket.promise);
        self.reserved = self.reserved.saturating_sub(ordered.freed);
        self.backordered = self.backordered.saturating_sub(ordered.backordered);
        self.end(ordered.reservation_id, End::Ordered);
        let is_new = !self.reservations.contains_key(&ordered.held_by);
        let held = self.open(ordered.held_by, Some(ordered.order_id), ordered.expires_at);
        held.promise = basket.filter(|_| is_new).unwrap_or(held.promise);
        held.expires_at = held.expires_at.or(ordered.expires_at);
        for share in &ordered.lines {
            let line = held.lines.entry(share.line_id).or_default();
            line.reserved = line.reserved.saturating_add(share.qty);
        }
    }

    fn end(&mut self, reservation_id: ReservationId, end: End) {
        self.reservations.remove(&reservation_id);
        self.ended.remember((reservation_id, end));
    }
}

/// Whether a tombstone's time was over at an instant.
pub(super) fn over(expires_at: Option<Timestamp>, at: Timestamp) -> bool {
    expires_at.is_some_and(|expires_at| expires_at <= at)
}

pub(super) fn take(lines: &mut BTreeMap<LineId, HeldLine>, line_id: LineId, reserved: u32, backordered: u32) {
    if let Some(line) = lines.get_mut(&line_id) {
        line.reserved = line.reserved.saturating_sub(reserved);
        line.backordered = line.backordered.saturating_sub(backordered);
    }
}

fn moved(on_hand: u32, delta: i64) -> u32 {
    let after = i64::from(on_hand).saturating_add(delta);
    u32::try_from(after.max(0)).unwrap_or(u32::MAX)
}
