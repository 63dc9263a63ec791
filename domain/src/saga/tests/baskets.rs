//! Orders that are placed on a reservation: what it holds becomes the order's, whatever happens at the same moment.

use super::*;
use crate::order::Basket;
use crate::stock::event::LineShare;

const BASKET: ReservationId = ReservationId(Uuid::from_u128(77));

fn items(units: &[(&str, u32)]) -> Vec<Item> {
    units.iter().map(|(name, qty)| Item { sku: sku(name), location: main(), qty: *qty }).collect()
}

fn place_on(order_id: OrderId, basket: &[(&str, u32)], instrument: &str, lines: Vec<NewLine>) -> Command {
    let placing = place_as(order_id, Capture::AtShipment, instrument, lines);
    let Command::Order { order_id, command: order::Command::Place(mut place) } = placing else { return placing };
    place.basket = Some(Basket { reservation_id: BASKET, items: items(basket) });
    Command::Order { order_id, command: order::Command::Place(place) }
}

impl World {
    fn take(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn fill(&mut self, units: &[(&str, u32)], hold_for_s: u32) {
        let (now, items) = (self.now, items(units));
        let expires_at = now.plus_seconds(hold_for_s);
        let reserve = |item: &Item| {
            stock::Command::Reserve(stock::command::Reserve {
                reservation_id: BASKET,
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
        };
        let stock = items.iter().map(|item| StockCommand {
            location: item.location.clone(),
            sku: item.sku.clone(),
            command: reserve(item),
        });
        let stock = stock.collect();
        let open = reservation::Command::Open {
            reservation_id: BASKET,
            items,
            opened_at: now,
            expires_at,
            hold_for_s,
            reference: None,
        };
        self.send(Command::Inventory { reservation: Some((BASKET, open)), stock }).unwrap();
    }
}

#[test]
fn the_last_units_in_a_basket_become_an_order_and_the_rest_of_it_is_free() {
    let units: &[_] = &[("A", 3), ("B", 2)];
    for seed in 0..20 {
        let mut world = World::with_stock(seed, 3);
        world.fill(units, 600);
        let other = OrderId(Uuid::from_u128(2));
        world.send(place_as(other, Capture::AtShipment, "", vec![line(1, "A", 1)])).unwrap();
        world.send(place_on(ORDER, units, "", vec![line(1, "A", 2), line(2, "A", 1)])).unwrap();
        let again = place_on(OrderId(Uuid::from_u128(3)), units, "", vec![line(1, "B", 1)]);
        assert_eq!(world.send(again), Err("reservation-ordered".to_owned()));
        world.run(HOUR);
        assert_eq!(world.placed().status, Status::Confirmed);
        assert_eq!(world.orders[&other].placed().unwrap().status, Status::Rejected);
        assert_eq!(world.held(), 3);
        assert_eq!(world.ends("reservation"), ["ordered"]);
        world.at_rest();
        world.ship();
        assert_eq!((world.placed().status, world.held()), (Status::Completed, 0));
        world.at_rest();
    }
}

#[test]
fn a_basket_that_ends_while_it_is_ordered_is_had_by_one_of_both() {
    let units: &[_] = &[("A", 3), ("B", 2)];
    let mut ordered = 0;
    for steps in 0..40 {
        let mut world = World::with_stock(steps, 3);
        world.fill(units, 1);
        world.now = world.now.plus_seconds(1);
        let before = steps % 4;
        world.take(before);
        world.fire();
        world.take(steps / 4);
        let placed = world.send(place_on(ORDER, units, "", vec![line(1, "A", 3)]));
        world.run(HOUR);
        match placed {
            Ok(()) => {
                assert_eq!((world.placed().status, world.held()), (Status::Confirmed, 3));
                assert_eq!(world.ends("reservation"), ["ordered"]);
                ordered += 1;
            }
            Err(code) => {
                assert_eq!((code.as_str(), world.held()), ("reservation-ended", 0));
                assert_eq!(world.ends("reservation"), ["expired"]);
            }
        }
        world.at_rest();
    }
    assert!((1..40).contains(&ordered), "{ordered} of 40");
}

#[test]
fn an_order_that_comes_to_nothing_leaves_nothing_of_its_basket() {
    let units: &[_] = &[("A", 3), ("B", 2)];
    let lines = || vec![line(1, "A", 3)];
    let unstocked = || NewLine { stocked: false, ..line(1, "A", 3) };
    for seed in 0..10 {
        for (instrument, lines, reason) in [
            ("", vec![line(1, "A", 4)], RejectReason::OutOfStock),
            ("authorise-declines", lines(), RejectReason::PaymentDeclined),
            ("authorise-declines", vec![unstocked()], RejectReason::PaymentDeclined),
            ("authorise-slow", lines(), RejectReason::Expired),
        ] {
            let mut world = World::with_stock(seed, 3);
            world.fill(units, 60);
            world.send(place_on(ORDER, units, instrument, lines)).unwrap();
            world.run(HOUR);
            let rejection = world.placed().rejection.clone().unwrap();
            assert_eq!((rejection.reason, world.held()), (reason, 0));
            world.at_rest();
        }
    }
}

#[test]
fn called_off_at_any_moment_it_leaves_nothing_of_its_basket() {
    let units: &[_] = &[("A", 3), ("B", 2)];
    for steps in 0..30 {
        let mut world = World::with_stock(steps, 3);
        world.fill(units, 60);
        world.send(place_on(ORDER, units, "authorise-late", vec![line(1, "A", 2)])).unwrap();
        world.take(steps);
        world.cancel(None);
        world.run(HOUR);
        assert_eq!((world.placed().status, world.held()), (Status::Cancelled, 0));
        world.at_rest();
    }
}

#[test]
fn an_order_of_nothing_that_is_kept_in_stock_frees_the_basket() {
    let units: &[_] = &[("A", 3), ("B", 2)];
    let mut world = World::with_stock(1, 3);
    world.fill(units, 60);
    world.send(place_on(ORDER, units, "", vec![NewLine { stocked: false, ..line(1, "A", 3) }])).unwrap();
    world.run(HOUR);
    assert_eq!((world.placed().status, world.held()), (Status::Confirmed, 0));
    world.at_rest();
}
