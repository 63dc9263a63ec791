//! What stock answers to those who bring, count and return units. Whatever makes units free gives them to those who were promised some
//! first: nobody who comes later is served before them.

use super::allocate::{ALONE, TOGETHER};
use super::command::Command;
use super::event::{
    Adjusted, Counted, Event, Received, Registered, ReservationExpired, ReservationExtended, Returned, WrittenOff,
};
use super::refusal::Refusal;
use super::state::{Held, Stock};
use super::{defer, put_back, reserve, take};
use crate::ids::{LocationId, ReservationId, Sku, fingerprint};
use crate::time::Timestamp;

pub(super) type Decision = Result<Vec<Event>, Refusal>;

/// The most units of a SKU at one location, so that no sum comes near what fits.
pub(super) const MOST: u32 = 1_000_000_000;

/// How many reservations a refusal names.
const NAMED: usize = 100;

impl Stock {
    pub(super) fn answer(&self, command: &Command) -> Decision {
        match command {
            Command::Register { sku, location, safety_stock, backorder_limit } => self.register(&Registered {
                sku: sku.clone(),
                location: location.clone(),
                safety_stock: *safety_stock,
                backorder_limit: *backorder_limit,
            }),
            Command::Receive { sku, location, qty, source_ref } => {
                self.receive(sku, location, *qty, source_ref.as_deref())
            }
            Command::Reserve(wish) => reserve::reserve(self, wish),
            Command::Extend { reservation_id, expires_at } => self.extend(*reservation_id, *expires_at),
            Command::Release { .. } => take::release(self, command),
            Command::Expire { reservation_id } => Ok(self.expire(*reservation_id)),
            Command::Allocate {} => Ok(self.next_allocations()),
            Command::Ship { shipment_id, reservation_id, order_id, lines } => {
                take::ship(self, *shipment_id, *reservation_id, *order_id, lines)
            }
            Command::PutBack { .. } => put_back::put_back(self, command),
            Command::Defer { .. } => defer::defer(self, command),
            Command::CheckAvailable { sku, location, lines, backorder_ok } => {
                reserve::check(self, (sku, location), lines, backorder_ok)
            }
            Command::CheckShippable { qty } => take::check(self, *qty),
            Command::CheckKept { sku, location } => self.kept(sku, location).map(|()| vec![]),
            Command::Return { .. } => self.take_back(command),
            Command::Adjust { .. } => self.adjust(command),
            Command::Count { counted, accept_shortage } => self.count(*counted, *accept_shortage),
        }
    }

    fn register(&self, wish: &Registered) -> Decision {
        let same =
            self.of.is_some() && wish.safety_stock == self.safety_stock && wish.backorder_limit == self.backorder_limit;
        if same {
            return Ok(vec![]);
        }
        at_most(i64::from(wish.safety_stock.max(wish.backorder_limit)))?;
        Ok(self.with_allocations(vec![Event::Registered(wish.clone())], ALONE))
    }

    /// The event that registers the SKU, where it is not yet registered.
    fn first(&self, sku: &Sku, location: &LocationId) -> Vec<Event> {
        if self.of.is_some() {
            return vec![];
        }
        vec![Event::Registered(Registered {
            sku: sku.clone(),
            location: location.clone(),
            safety_stock: 0,
            backorder_limit: 0,
        })]
    }

    fn receive(&self, sku: &Sku, location: &LocationId, qty: u32, source_ref: Option<&str>) -> Decision {
        at_least_one(qty)?;
        self.room_for(qty)?;
        let mut events = self.first(sku, location);
        events.push(Event::Received(Received { qty, source_ref: source_ref.map(str::to_owned) }));
        Ok(self.with_allocations(events, ALONE))
    }

    fn extend(&self, reservation_id: ReservationId, expires_at: Timestamp) -> Decision {
        match self.reservations.get(&reservation_id) {
            Some(Held { expires_at: Some(end), .. }) if *end < expires_at => {
                Ok(vec![Event::ReservationExtended(ReservationExtended { reservation_id, expires_at })])
            }
            Some(_) => Ok(vec![]),
            None if self.is_over(reservation_id) => Err(Refusal::ReservationEnded { reservation_id }),
            None => Err(Refusal::ReservationNotFound { reservation_id }),
        }
    }

    /// Whether the reservation ended here or was let go before it began, as far as that is remembered.
    pub(super) fn is_over(&self, reservation_id: ReservationId) -> bool {
        self.tombstones.contains_key(&reservation_id) || self.end_of(reservation_id).is_some()
    }

    fn expire(&self, reservation_id: ReservationId) -> Vec<Event> {
        let Some(held) = self.reservations.get(&reservation_id) else {
            return vec![];
        };
        let expired = ReservationExpired {
            reservation_id,
            order_id: held.order_id,
            qty: held.reserved(),
            backordered: held.backordered(),
        };
        self.with_allocations(vec![Event::ReservationExpired(expired)], TOGETHER)
    }

    /// Refuses a place where the SKU was never kept. Only a delivery opens one: what comes back once left from somewhere.
    fn kept(&self, sku: &Sku, location: &LocationId) -> Result<(), Refusal> {
        match self.of {
            Some(_) => Ok(()),
            None => Err(Refusal::NeverKept { sku: sku.clone(), location: location.clone() }),
        }
    }

    fn take_back(&self, command: &Command) -> Decision {
        let Command::Return { sku, location, return_id, receipt, order_id, restock, damaged } = command else {
            return Ok(vec![]);
        };
        let (return_id, receipt) = (*return_id, *receipt);
        if self.returns.holds(&(return_id, receipt)) {
            return Ok(vec![]);
        }
        let qty = restock.saturating_add(*damaged);
        at_least_one(qty)?;
        self.kept(sku, location)?;
        self.room_for(qty)?;
        let mut events = vec![Event::Returned(Returned { return_id, receipt, order_id: *order_id, qty })];
        if *damaged > 0 {
            events.push(Event::WrittenOff(WrittenOff {
                return_id,
                receipt,
                qty: *damaged,
                reason: "damaged".to_owned(),
            }));
        }
        Ok(self.with_allocations(events, TOGETHER))
    }

    fn adjust(&self, command: &Command) -> Decision {
        let Command::Adjust { delta, reason, expected, accept_shortage, adjustment_id } = command else {
            return Ok(vec![]);
        };
        let delta = *delta;
        let asked = Some(fingerprint(*adjustment_id, &(delta, reason, expected, accept_shortage)));
        if let Some(there) = self.adjustments.iter().find(|there| there.adjustment_id == *adjustment_id) {
            let same = there.asked.is_none() || there.asked == asked;
            let adjustment_id = *adjustment_id;
            return if same { Ok(vec![]) } else { Err(Refusal::IdTaken { adjustment_id }) };
        }
        if self.of.is_none() {
            return Err(Refusal::NotFound);
        }
        if delta == 0 || delta.unsigned_abs() > u64::from(MOST) {
            return Err(Refusal::InvalidQuantity { qty: delta });
        }
        if *expected != self.on_hand {
            return Err(Refusal::StockChanged { expected: *expected, on_hand: self.on_hand });
        }
        let Ok(after) = u32::try_from(i64::from(self.on_hand) + delta) else {
            return Err(Refusal::BelowZero { on_hand: self.on_hand, delta });
        };
        at_most(i64::from(after))?;
        self.keeps_promises(after, *accept_shortage)?;
        let adjusted = Adjusted { adjustment_id: *adjustment_id, delta, reason: reason.clone(), asked };
        Ok(self.with_allocations(vec![Event::Adjusted(adjusted)], ALONE))
    }

    fn count(&self, counted: u32, accept_shortage: bool) -> Decision {
        if self.of.is_none() {
            return Err(Refusal::NotFound);
        }
        at_most(i64::from(counted))?;
        self.keeps_promises(counted, accept_shortage)?;
        let counted = Counted { counted, difference: i64::from(counted) - i64::from(self.on_hand) };
        Ok(self.with_allocations(vec![Event::Counted(counted)], ALONE))
    }

    /// A change for the worse must not take stock from under reservations unless somebody accepts that.
    fn keeps_promises(&self, after: u32, accept_shortage: bool) -> Result<(), Refusal> {
        if accept_shortage || after >= self.on_hand.min(self.reserved) {
            return Ok(());
        }
        let mut reservations = self.shortage_at(after);
        reservations.truncate(NAMED);
        Err(Refusal::WouldBreakReservations { short: self.reserved.saturating_sub(after), reservations })
    }

    pub(super) fn room_for(&self, qty: u32) -> Result<(), Refusal> {
        at_most(i64::from(self.on_hand) + i64::from(qty))
    }
}

pub(super) fn at_least_one(qty: u32) -> Result<(), Refusal> {
    if qty == 0 {
        return Err(Refusal::InvalidQuantity { qty: 0 });
    }
    Ok(())
}

pub(super) fn at_most(qty: i64) -> Result<(), Refusal> {
    if qty > i64::from(MOST) {
        return Err(Refusal::InvalidQuantity { qty });
    }
    Ok(())
}
