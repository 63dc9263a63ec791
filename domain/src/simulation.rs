//! The whole system as a function call: customers, clerks, sagas, stock, payments and a provider that is late, silent or says no, in
//! whatever order a seed gives. The laws are checked after every event, and once all has come to rest. Never built into the product.
#![expect(clippy::unwrap_used, reason = "tests")]

mod provider;
mod shop;
mod world;

use std::collections::BTreeMap;

use crate::order::state::Status;

use self::world::World;

/// How many things happen in one world before it comes to rest.
const MOMENTS: u32 = 300;

fn lived(seed: u64, moments: u32) -> World {
    let mut world = World::new(seed);
    for _ in 0..moments {
        world.moment();
    }
    world.rest();
    world
}

#[test]
fn the_laws_hold_at_every_moment_and_at_rest() {
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..100 {
        let world = lived(seed, MOMENTS);
        for (order, on_its_way) in world.verdicts() {
            let at_rest = u32::from(!on_its_way);
            *ends.entry(order.status.name()).or_default() += at_rest;
        }
        let unfinished = world.unfinished();
        assert!(unfinished.is_empty(), "seed {seed}: {unfinished:#?}");
    }
    // A world in which nothing happens proves nothing.
    for status in [Status::Completed, Status::Rejected, Status::Cancelled, Status::Confirmed] {
        assert!(ends.get(status.name()) > Some(&20), "{status:?} in {ends:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    let (one, other) = (lived(7, MOMENTS), lived(7, MOMENTS));
    assert_eq!(one.told, other.told);
    assert_ne!(one.told, lived(8, MOMENTS).told);
}
