//! Many commands on few stocks, by two executors, while syncs fail: answers and log agree.

use std::collections::HashMap;

use schemas::StoredEvent;

use super::*;
use crate::execute::Verdict;

const NAMES: [&str; 3] = ["A", "B", "C"];

/// A command of the storm: more stock, or units of one to three shelves for a reservation.
fn wish(dice: &mut SmallRng, n: u32) -> Plan {
    if dice.random_bool(0.2) {
        let name = NAMES[dice.random_range(0..3)];
        return one(name, receive(name, dice.random_range(1..4)));
    }
    let reservation = Uuid::from_u128(u128::from(n) + 1);
    let shelves = dice.random_range(1..=3);
    let first = dice.random_range(0..3);
    (0..shelves).fold(Plan::new(), |plan, at| {
        let name = NAMES[(first + at) % 3];
        plan.and::<Stock>(shelf(name), reserve(name, dice.random_range(1..4), reservation))
    })
}

async fn storm(seed: u64, share: f64) -> HashMap<&'static str, u32> {
    let house = House::new();
    let sides = [house.executor(), house.executor()];
    for name in NAMES {
        stocked(&sides[0], name, 20).await;
    }
    house.gate.flaky(share, seed);
    let mut dice = SmallRng::seed_from_u64(seed);
    let calls: Vec<_> = (0..400)
        .map(|n| {
            let request = keyed(&format!("{n}"));
            let plan = wish(&mut dice, n);
            let id = request.command_id;
            (id, begin(&sides[dice.random_range(0..2)], request, plan))
        })
        .collect();
    let mut answers = HashMap::new();
    for (id, call) in calls {
        answers.insert(id, call.await.unwrap());
    }
    house.gate.flaky(0.0, seed);

    let mut written: HashMap<Uuid, Vec<(u64, String)>> = HashMap::new();
    let mut shelves: HashMap<String, Stock> = HashMap::new();
    let page = house.store.read_log(0, &Filter::default(), 100_000).await.unwrap();
    for record in page.records {
        let kind = record.kind.to_string();
        written.entry(record.command_id).or_default().push((record.position, kind));
        if &*record.stream.category == stream::STOCK {
            let event = stock::Event::decode(&record.kind, record.schema_version, &record.data).unwrap();
            let stock = shelves.entry(record.stream.id.to_string()).or_default();
            domain::Aggregate::evolve(stock, &event);
            assert!(stock.reserved <= stock.on_hand, "oversold: {stock:?}");
        }
    }
    let mut seen = HashMap::new();
    for (id, answer) in answers {
        let records = written.remove(&id).unwrap_or_default();
        let settled = records.iter().any(|(_, kind)| kind == "CommandSettled");
        *seen.entry(tell(&answer)).or_default() += 1;
        match answer {
            Ok(done) => {
                let last = records.last().map(|(position, _)| *position);
                assert_eq!(last, Some(done.position), "{done:?}");
                assert_eq!(settled, done.verdict != Verdict::Applied, "{done:?}");
                assert!(!settled || records.len() == 1, "{records:?}");
            }
            Err(error) => assert!(records.is_empty(), "{error:?}, and yet {records:?}"),
        }
    }
    for executor in sides {
        for name in NAMES {
            let (stock, _) = executor.load::<Stock>(&tenant(), &shelf(name)).await.unwrap();
            assert_eq!(*stock, shelves[&shelf(name).id]);
        }
    }
    seen
}

fn tell(answer: &Result<Done, Error>) -> &'static str {
    match answer {
        Ok(done) => done.label(),
        Err(error) => error.label(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_what_is_in_the_log() {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for seed in 0..8 {
        println_seed(seed);
        for (outcome, count) in storm(seed, 0.3).await {
            *seen.entry(outcome).or_default() += count;
        }
    }
    for outcome in ["applied", "refused", "not_written"] {
        assert!(seen.contains_key(outcome), "no {outcome} in {seen:?}");
    }
}

/// A failing test prints its last seed.
fn println_seed(seed: u64) {
    use std::io::Write as _;
    writeln!(io::stderr(), "seed {seed}").unwrap();
}
