//! What wishes are made of: a seed, the ids that it gives, and the instruments there are. The simulation's people wish so, and those of the
//! runner's own tests, which include this file, `shop.rs` and `clerks.rs`: both are the same shop.

use std::collections::BTreeSet;

use domain::ids::{OrderId, PaymentId};
use domain::instrument::Instrument;
use domain::order::state::Placed;
use domain::{order, payment};
use uuid::Uuid;

/// What is decided together, of one order and its payment, or of one order and another.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) orders: Vec<(OrderId, order::Command)>,
    pub(super) payment: Option<(PaymentId, payment::Command)>,
}

impl Plan {
    pub(super) fn of(order_id: OrderId, command: order::Command) -> Self {
        Self { orders: vec![(order_id, command)], payment: None }
    }

    pub(super) fn and(mut self, order_id: OrderId, command: order::Command) -> Self {
        self.orders.push((order_id, command));
        self
    }

    pub(super) fn with(mut self, payment_id: PaymentId, command: payment::Command) -> Self {
        self.payment = Some((payment_id, command));
        self
    }
}

/// A seed, and what was made of it.
pub(super) struct Wishes {
    random: u64,
    ids: u128,
    /// Ids of orders that a shipment or a return has as well.
    claimed: BTreeSet<Uuid>,
    /// What the wish that is made of some orders just now is called.
    named: Uuid,
    instruments: &'static [&'static str],
}

impl Wishes {
    pub(super) fn new(seed: u64, instruments: &'static [&'static str]) -> Self {
        Self { random: seed, ids: 0, claimed: BTreeSet::new(), named: Uuid::nil(), instruments }
    }

    /// A number below `bound` (SplitMix64).
    pub(super) fn roll(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap()
    }

    pub(super) fn number(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.roll((most - least + 1) as usize)).unwrap()
    }

    pub(super) fn new_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// The next wish is made of some orders, under one id.
    pub(super) fn name_next(&mut self) {
        self.named = Uuid::from_u128((1 << 100) + self.roll(60) as u128);
    }

    pub(super) fn instrument(&mut self) -> Instrument {
        self.instruments[self.roll(self.instruments.len())].into()
    }

    /// An id as callers name them within an order: shared by orders and kinds, and sometimes the order's own.
    pub(super) fn named_id(&mut self, order: &Placed) -> Uuid {
        match self.roll(10) {
            0..=1 => self.new_id(),
            2 => order.order_id.0,
            _ => self.named,
        }
    }

    /// An id that leads to its order, and so is taken once: sometimes the order's own.
    pub(super) fn claimed_id(&mut self, order: &Placed) -> Uuid {
        if self.roll(3) == 0 && self.claimed.insert(order.order_id.0) { order.order_id.0 } else { self.new_id() }
    }
}
