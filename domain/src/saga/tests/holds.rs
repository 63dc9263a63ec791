//! Holds that have an end.

use super::*;

const HOLD: HoldId = HoldId(Uuid::from_u128(50));

fn place_hold(until: Option<crate::time::Timestamp>) -> order::Command {
    order::Command::PlaceHold { hold_id: HOLD, reason: "fraud_check".into(), note: None, until }
}

fn release_hold(resolution: &str) -> order::Command {
    order::Command::ReleaseHold { hold_id: HOLD, resolution: resolution.into() }
}

impl World {
    fn resolution(&self) -> Option<&str> {
        self.placed().released_holds.get(&HOLD).map(|released| released.resolution.as_str())
    }
}

#[test]
fn a_hold_with_an_end_is_released_when_its_time_is_over_and_what_waited_for_it_goes_on() {
    for seed in 0..20 {
        let mut world = World::confirmed(seed, Capture::AtShipment, "capture-late");
        world.ask_order(order::Command::RequestShipment {
            shipment_id: ShipmentId(derived(ORDER.0, "shipment")),
            lines: None,
            location: None,
            carrier: None,
            tracking: None,
        });
        world.ask_order(place_hold(Some(world.now.plus_seconds(600))));
        world.run(590);
        assert!(world.placed().holds.contains_key(&HOLD), "seed {seed}");
        assert_eq!(world.placed().status, Status::Confirmed);
        world.run(700);
        assert_eq!(world.resolution(), Some("until"));
        assert_eq!(world.placed().status, Status::Completed);
        assert_eq!(world.ends("hold"), ["until"]);
        world.at_rest();
    }
}

#[test]
fn a_hold_that_somebody_released_before_is_over_at_once() {
    let mut world = World::confirmed(1, Capture::AtShipment, "");
    world.ask_order(place_hold(Some(world.now.plus_seconds(600))));
    world.run(300);
    world.ask_order(release_hold("cleared"));
    world.run(1);
    assert_eq!(world.ends("hold"), ["released"]);
    world.run(HOUR);
    assert_eq!(world.resolution(), Some("cleared"));
    world.at_rest();
}

/// A release by a person at any moment around its end: the hold is released once, and its saga ends.
#[test]
fn a_release_that_crosses_the_end_of_a_hold_is_the_only_one() {
    let mut by = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut world = World::confirmed(seed, Capture::AtShipment, "");
        world.ask_order(place_hold(Some(world.now.plus_seconds(600))));
        world.run(599);
        world.now = world.now.plus_seconds(700);
        for _ in 0..seed % 4 {
            if !world.step() {
                world.fire();
            }
        }
        let _too_late = world.order(ORDER, release_hold("cleared"));
        world.run(24 * HOUR);
        assert!(world.placed().holds.is_empty(), "seed {seed}");
        let [end] = <[String; 1]>::try_from(world.ends("hold")).unwrap();
        by.insert((world.resolution().unwrap().to_owned(), end));
        world.at_rest();
    }
    let own = |resolution: &str, end: &str| (resolution.to_owned(), end.to_owned());
    assert_eq!(by, [own("cleared", "released"), own("until", "until")].into());
}

#[test]
fn a_hold_without_an_end_has_no_process() {
    let mut world = World::confirmed(1, Capture::AtShipment, "");
    world.ask_order(place_hold(None));
    world.run(24 * HOUR);
    assert!(world.placed().holds.contains_key(&HOLD));
    assert!(world.ends("hold").is_empty() && world.open().is_empty());
}

/// A hold's id is its caller's: the same one on two orders is two holds.
#[test]
fn equal_hold_ids_on_two_orders_do_not_meet() {
    let mut world = World::confirmed(1, Capture::AtShipment, "");
    let other = OrderId(Uuid::from_u128(2));
    world.send(place_as(other, Capture::AtShipment, "", vec![line(1, "A", 1)])).unwrap();
    world.run(60);
    for (order_id, wait) in [(ORDER, 600), (other, 60)] {
        world.order(order_id, place_hold(Some(world.now.plus_seconds(wait)))).unwrap();
    }
    world.run(HOUR);
    assert!(world.orders.values().all(|order| order.placed().unwrap().holds.is_empty()));
    assert_eq!(world.ends("hold"), ["until", "until"]);
    world.at_rest();
}
