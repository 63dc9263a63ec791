//! How a checkout takes over the reservation that its order was placed on: in the batch that reserves for the order, at every stock that
//! the reservation asked for something of. Where the order gets nothing, all of it is released.

use super::checkout::Input;
use super::goods::{self, Part};
use super::state::State;
use super::step::{Step, When};
use crate::command::StockCommand;
use crate::order::Basket;
use crate::reservation::Item;
use crate::time::Timestamp;
use crate::{Command, stock};

/// The step that releases the basket where the order has not got its units.
pub(super) const FREE: &str = "free_basket";

impl Input {
    /// The closing step that the basket asks for. Nobody holds the basket's units for the order once it has been taken over.
    pub(super) fn free_step(&self, state: &State) -> Option<Step> {
        let kept = self.basket.is_some() && !state.is_done("reserve");
        kept.then(|| Step::new(FREE, &[]).when(When::Closing).patient())
    }

    /// Releases all that the basket holds.
    pub(super) fn free_basket(&self, reason: &str) -> Option<Command> {
        let basket = self.basket.as_ref()?;
        let stock = basket.items.iter().map(|item| self.release(basket, item, reason));
        Some(Command::Inventory { reservation: None, stock: stock.collect() })
    }

    /// Holds what the order needs, out of the basket as far as that has it. What else the basket holds is released in the same batch.
    pub(super) fn reserve(&self, now: Timestamp) -> Command {
        let until = Some(self.held_until());
        let mut reserve = goods::reserve(&self.parts, self.reservation_id(), self.order_id, until, now);
        let (Command::Inventory { stock: asked, .. }, Some(basket)) = (&mut reserve, &self.basket) else {
            return reserve;
        };
        for part in asked.iter_mut() {
            if let stock::Command::Reserve(wish) = &mut part.command {
                wish.basket = basket.asks_for(&wish.location, &wish.sku).then_some(basket.reservation_id);
            }
        }
        let unneeded = basket.items.iter().filter(|item| !self.parts.iter().any(|part| is_of(item, part)));
        asked.extend(unneeded.map(|item| self.release(basket, item, "ordered")));
        reserve
    }

    fn release(&self, basket: &Basket, item: &Item, reason: &str) -> StockCommand {
        StockCommand {
            location: item.location.clone(),
            sku: item.sku.clone(),
            command: stock::Command::Release {
                reservation_id: basket.reservation_id,
                order_id: None,
                qty: None,
                lines: Vec::new(),
                release_id: self.order_id.0,
                expires_at: Some(self.held_until()),
                reason: reason.to_owned(),
            },
        }
    }
}

fn is_of(item: &Item, part: &Part) -> bool {
    item.location == part.location && item.sku == part.sku
}
