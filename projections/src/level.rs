//! The number of units of a SKU at a location: the few numbers of the stock fold that lists show. It keeps no
//! reservations and decides nothing, so a SKU with a million reservations takes no more memory than one without.

use domain::stock::Event;

/// The numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Units that are here.
    pub on_hand: u32,
    /// Reserved units of `on_hand`.
    pub reserved: u32,
    /// Units promised once stock comes.
    pub backordered: u32,
    /// Units that are never promised.
    pub safety_stock: u32,
    /// How many units may be promised beyond the stock.
    pub backorder_limit: u32,
}

impl Level {
    /// Units that can be promised without a backorder.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.on_hand.saturating_sub(self.reserved).saturating_sub(self.safety_stock)
    }

    /// Held units that there is no stock for.
    #[must_use]
    pub fn short(&self) -> u32 {
        self.reserved.saturating_sub(self.on_hand)
    }

    /// Moves past one fact.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Registered(it) => {
                self.safety_stock = it.safety_stock;
                self.backorder_limit = it.backorder_limit;
            }
            Event::Received(it) => self.on_hand = self.on_hand.saturating_add(it.qty),
            Event::Reserved(it) => self.reserved = self.reserved.saturating_add(it.qty),
            Event::Backordered(it) => self.backordered = self.backordered.saturating_add(it.qty),
            Event::ReservationExtended(_) => {}
            Event::ReservationReleased(it) => self.let_go(it.qty, it.backordered),
            Event::ReservationExpired(it) => self.let_go(it.qty, it.backordered),
            Event::Shipped(it) => {
                self.on_hand = self.on_hand.saturating_sub(it.qty);
                self.reserved = self.reserved.saturating_sub(it.qty);
            }
            Event::ShipmentPutBack(it) => {
                self.on_hand = self.on_hand.saturating_add(it.qty);
                if !it.released {
                    self.reserved = self.reserved.saturating_add(it.qty);
                }
            }
            Event::ReservationDeferred(it) => {
                self.reserved = self.reserved.saturating_sub(it.qty);
                self.backordered = self.backordered.saturating_add(it.qty);
            }
            Event::ReservationOrdered(it) => self.let_go(it.freed, it.backordered),
            Event::Returned(it) => self.on_hand = self.on_hand.saturating_add(it.qty),
            Event::WrittenOff(it) => self.on_hand = self.on_hand.saturating_sub(it.qty),
            Event::Adjusted(it) => self.on_hand = self.on_hand.saturating_add_signed(small(it.delta)),
            Event::Counted(it) => self.on_hand = it.counted,
            Event::BackorderAllocated(it) => {
                self.backordered = self.backordered.saturating_sub(it.qty);
                self.reserved = self.reserved.saturating_add(it.qty);
            }
        }
    }

    fn let_go(&mut self, reserved: u32, backordered: u32) {
        self.reserved = self.reserved.saturating_sub(reserved);
        self.backordered = self.backordered.saturating_sub(backordered);
    }
}

/// A difference of two quantities, each of which fits 32 bits.
fn small(delta: i64) -> i32 {
    i32::try_from(delta).unwrap_or(if delta < 0 { i32::MIN } else { i32::MAX })
}
