//! Baskets: stock that is held before anything is ordered. Some become orders, also with more or less in them, some are prolonged,
//! released, or forgotten until their time is over; several of these at once.

use uuid::Uuid;

use super::run::{No, no, recorded};
use super::wishes::Wishes;
use super::world::{Sent, World};
use crate::command::StockCommand;
use crate::ids::{LineId, OrderId, ReservationId};
use crate::laws::crossing;
use crate::order::command::NewLine;
use crate::order::{self, Basket};
use crate::reservation::{End, Item, Opened, Reservation};
use crate::stock::event::LineShare;
use crate::{Aggregate, Command, Event, reservation, stock, stream};

impl World {
    /// Somebody fills a basket, or does something with one.
    pub(super) fn basket(&mut self) {
        let open: Vec<Opened> = self.reservations.values().filter_map(open).cloned().collect();
        match self.roll(8) {
            0..=4 => self.fill_basket(),
            _ if open.is_empty() => {}
            5 => {
                let opened = &open[self.roll(open.len())];
                let expires_at = opened.expires_at.plus_seconds(600);
                let own = reservation::Command::Prolong { expires_at };
                let reservation_id = opened.reservation_id;
                self.at_basket(opened, own, |_| stock::Command::Extend { reservation_id, expires_at });
            }
            6 => {
                let opened = &open[self.roll(open.len())];
                let own = reservation::Command::Close { end: End::Released };
                let release = stock::Command::Release {
                    reservation_id: opened.reservation_id,
                    order_id: None,
                    qty: None,
                    lines: Vec::new(),
                    release_id: opened.reservation_id.0,
                    expires_at: Some(opened.expires_at),
                    reason: "released".into(),
                };
                self.at_basket(opened, own, |_| release.clone());
            }
            _ => self.fire_basket(),
        }
    }

    fn fill_basket(&mut self) {
        let (sku, other) = (self.wishes.sku(), self.wishes.sku());
        let mut items = vec![Item { sku, location: Wishes::location(), qty: self.wishes.number(1, 6) }];
        if items[0].sku != other {
            items.push(Item { sku: other, location: Wishes::location(), qty: self.wishes.number(1, 3) });
        }
        let hold_for_s = self.wishes.number(10, 900);
        let opened = Opened {
            reservation_id: ReservationId(self.new_id()),
            items: items.clone(),
            opened_at: self.now,
            expires_at: self.now.plus_seconds(hold_for_s),
            reference: None,
            hold_for_s: Some(hold_for_s),
        };
        let (reservation_id, expires_at, now) = (opened.reservation_id, opened.expires_at, self.now);
        let own = reservation::Command::Open {
            reservation_id,
            items,
            opened_at: now,
            expires_at,
            hold_for_s,
            reference: None,
        };
        self.at_basket(&opened, own, |item| {
            stock::Command::Reserve(stock::command::Reserve {
                reservation_id,
                sku: item.sku.clone(),
                location: item.location.clone(),
                order_id: None,
                lines: vec![LineShare { line_id: LineId(0), qty: item.qty }],
                backorder_ok: Vec::new(),
                allow_partial: false,
                expires_at: Some(expires_at),
                now,
                basket: None,
            })
        });
    }

    fn at_basket(&mut self, of: &Opened, own: reservation::Command, each: impl Fn(&Item) -> stock::Command) {
        let id = self.new_id();
        let stock = of.items.iter().map(|item| StockCommand {
            location: item.location.clone(),
            sku: item.sku.clone(),
            command: each(item),
        });
        let reservation = Some((of.reservation_id, own));
        self.run(id, of.reservation_id.0, &Command::Inventory { reservation, stock: stock.collect() });
    }

    /// The time of a basket is over, whatever else is still on its way.
    fn fire_basket(&mut self) {
        let waits = |(kind, _): &&(String, Uuid)| *kind == *crate::saga::reservation::KIND;
        let open = self.sagas.iter().filter(|(_, saga)| saga.state().ended.is_none());
        let timers = open.filter(|(key, _)| waits(key)).flat_map(|(key, saga)| {
            saga.state().timers.iter().map(|(timer, due_at)| (*due_at, key.clone(), timer.clone()))
        });
        let next = timers.min();
        next.into_iter().for_each(|(due_at, key, timer)| self.fire_timer(due_at, &key, &timer));
    }

    /// A basket to order from, now and then one that has ended, and lines that want what it holds, or not.
    pub(super) fn some_basket(&mut self) -> Option<(Basket, Vec<NewLine>)> {
        let known: Vec<_> = self.reservations.values().filter(|it| open(it).is_some()).cloned().collect();
        let known =
            if known.is_empty() || self.roll(6) == 0 { self.reservations.values().cloned().collect() } else { known };
        if known.is_empty() || self.roll(3) == 0 {
            return None;
        }
        let (Reservation::Open(opened) | Reservation::Ended { opened, .. }) = &known[self.roll(known.len())] else {
            return None;
        };
        let items = opened.items.iter().filter(|_| self.roll(5) > 0).collect::<Vec<_>>();
        let mut lines = Vec::new();
        for item in items {
            let number = u32::try_from(lines.len()).unwrap() + 1;
            let qty = (item.qty + self.wishes.number(0, 2)).saturating_sub(self.wishes.number(0, 2)).max(1);
            lines.push(NewLine { sku: item.sku.clone(), qty, ..self.wishes.new_line(number) });
        }
        if lines.is_empty() || self.roll(3) == 0 {
            let number = u32::try_from(lines.len()).unwrap() + 1;
            lines.push(self.wishes.new_line(number));
        }
        let basket = Basket { reservation_id: opened.reservation_id, items: opened.items.clone() };
        Some((basket, lines))
    }

    /// What a reservation is asked together with others.
    pub(super) fn decide_reservation(
        &self,
        (id, command): &(ReservationId, reservation::Command),
    ) -> Result<Vec<(ReservationId, reservation::Event)>, No> {
        let absent = Reservation::Absent;
        let known = self.reservations.get(id).unwrap_or(&absent);
        let events = known.decide(command).map_err(|refusal| no(&refusal))?;
        Ok(events.into_iter().map(|event| (*id, event)).collect())
    }

    pub(super) fn reservation_events(&mut self, events: Vec<(ReservationId, reservation::Event)>) -> Vec<Sent> {
        let sent = events.into_iter().map(|(id, event)| {
            if let reservation::Event::Closed(closed) = &event {
                let kind = match closed.end {
                    End::Ordered { .. } => "basket ordered",
                    End::Expired => "basket expired",
                    End::Released => "basket released",
                };
                self.tally.count(kind, true);
            }
            self.reservations.entry(id).or_default().evolve(&event);
            let history = self.history.entry(stream::reservation(id).id).or_default();
            let version = history.len() as u64 + 1;
            let recorded = recorded(&stream::reservation(id).id, version, Event::Reservation(event));
            history.push(recorded.clone());
            Sent { recorded, event_id: Uuid::nil(), correlation: id.0, order: None }
        });
        sent.collect()
    }

    /// What a plan's orders are placed on, ended with them.
    pub(super) fn decide_baskets(
        &self,
        orders: &[(OrderId, order::Command)],
    ) -> Result<Vec<(ReservationId, reservation::Event)>, No> {
        let mut events = Vec::new();
        for (order_id, command) in orders {
            if let order::Command::Place(place) = command
                && let Some(basket) = &place.basket
            {
                events.extend(self.decide_reservation(&(basket.reservation_id, Basket::close(*order_id)))?);
            }
        }
        Ok(events)
    }

    /// The laws of all baskets, once nothing is on its way.
    pub(super) fn check_baskets(&self) {
        let none = crossing::Holdings::new();
        for (id, reservation) in &self.reservations {
            let held = self.basket_holdings.get(id).unwrap_or(&none);
            let order_id = reservation.ordered_by();
            let told = || order_id.map(|id| self.story(id)).unwrap_or_default();
            let verdict = crossing::check_reservation(reservation, held, false);
            assert_eq!(verdict, Ok(()), "{reservation:?}\n{}", told());
            if let Some(order_id) = order_id {
                let order = self.orders[&order_id].state.state();
                assert_eq!(crossing::check_taken_over(reservation, order), Ok(()), "{}", told());
            }
        }
        for order in self.orders.values().map(|it| it.state.state()) {
            if let Some(basket) = order.placed().and_then(|order| order.basket) {
                let reservation = &self.reservations[&basket];
                assert_eq!(crossing::check_taken_over(reservation, order), Ok(()));
            }
        }
    }
}

fn open(reservation: &Reservation) -> Option<&Opened> {
    match reservation {
        Reservation::Open(opened) => Some(opened),
        Reservation::Absent | Reservation::Ended { .. } => None,
    }
}

impl World {
    /// What came of a stock's event that concerns baskets.
    pub(super) fn tally_basket(&mut self, event: &stock::Event) {
        match event {
            stock::Event::ReservationOrdered(ordered) => {
                self.tally.count("taken over", true);
                self.tally.count("taken over in part", ordered.freed > 0);
            }
            stock::Event::ReservationReleased(it) if it.order_id.is_none() && it.reason != "released" => {
                self.tally
                    .count(if it.reason == "ordered" { "released beside" } else { "released with its order" }, true);
            }
            _ => {}
        }
    }
}
