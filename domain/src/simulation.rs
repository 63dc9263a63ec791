//! The whole system as a function call: customers, clerks, sagas, stock, payments and a provider that is late, silent or says no, in
//! whatever order a seed gives. The laws are checked after every event, and once all has come to rest. Never built into the product.
#![expect(clippy::unwrap_used, reason = "tests")]

mod asks;
mod baskets;
mod clerks;
mod provider;
mod rest;
mod run;
mod shop;
mod tally;
mod wishes;
mod witness;
mod world;

use std::ops::Range;

use self::tally::Tally;
use self::world::World;

/// How many things happen in one world before it comes to rest.
const MOMENTS: u32 = 500;

fn lived(seed: u64, moments: u32) -> World {
    let mut world = World::new(seed);
    for _ in 0..moments {
        world.moment();
    }
    world.rest();
    world
}

/// Which worlds there are: as many as `DAYBOOK_SIMULATION_SEEDS` says, so that a long run has more, or the one of `DAYBOOK_SIMULATION_SEED`,
/// so that a failure can be looked at again.
#[expect(clippy::disallowed_methods, reason = "worlds are named to a test, not to the product")]
fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    match number("DAYBOOK_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DAYBOOK_SIMULATION_SEEDS").unwrap_or(400),
    }
}

/// What happens in so many worlds, and where their orders end.
fn history(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let mut world = World::new(seed);
        for rest in [false, true] {
            if rest {
                world.release_holds();
            } else {
                (0..MOMENTS).for_each(|_| world.moment());
            }
            world.rest();
            let unfinished = world.unfinished();
            assert!(unfinished.is_empty(), "seed {seed}: {unfinished:#?}");
            let verdicts = world.verdicts();
            let ends: Vec<_> = verdicts.iter().map(|(order, open)| (order.status.name(), !open && rest)).collect();
            for (end, at_rest) in ends {
                world.tally.count(end, at_rest);
            }
        }
        tally.add(&world.tally);
    }
    tally
}

#[test]
fn the_laws_hold_at_every_moment_and_at_rest() {
    let seeds = seeds();
    let tally = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
        let seeds = &seeds;
        let own = |n| scope.spawn(move || history(seeds.clone().filter(|seed| seed % threads == n)));
        let all: Vec<_> = (0..threads).map(own).collect();
        all.into_iter().fold(Tally::default(), |mut sum, one| {
            sum.add(&one.join().unwrap());
            sum
        })
    });
    // A world in which nothing happens proves nothing; one alone is looked at, and proves nothing else.
    if seeds.end - seeds.start == 1 {
        return;
    }
    let rare: Vec<_> = tally::KINDS.iter().filter(|kind| tally.of(kind) < 3).collect();
    assert!(rare.is_empty(), "{rare:?} of {tally:?}");
}

#[test]
fn the_same_seed_is_the_same_world() {
    let (one, other) = (lived(7, MOMENTS), lived(7, MOMENTS));
    assert_eq!(one.told, other.told);
    assert_ne!(one.told, lived(8, MOMENTS).told);
}
