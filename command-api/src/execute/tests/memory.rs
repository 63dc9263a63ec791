//! What is kept in memory: bounded, and never the only place of anything.

use super::*;
use crate::execute::fold::Type;
use crate::execute::load;
use crate::execute::stream_id;
use streams::Until;

fn small() -> Options {
    Options { cached: 8, snapshot_every: 10, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_folds_are_let_go_and_those_ahead_of_the_log_are_not() {
    let house = House::new();
    let executor = house.executor_with(small());
    for n in 0..60 {
        let name = format!("S{n}");
        stocked(&executor, &name, n + 1).await;
    }
    assert!(executor.0.cache.len() <= 8 + 1);

    house.gate.shut();
    let names: Vec<String> = (0..40).map(|n| format!("S{n}")).collect();
    let calls: Vec<_> = names.iter().map(|name| begin(&executor, fresh(), one(name, receive(name, 1)))).collect();
    for name in &names {
        folded_to(&executor, &shelf(name), 3).await;
    }
    assert!(executor.0.cache.len() >= 40);
    house.gate.open(None);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    for n in 0..60 {
        let (stock, _) = executor.load::<Stock>(&tenant(), &shelf(&format!("S{n}"))).await.unwrap();
        assert_eq!(stock.on_hand, n + 1 + u32::from(n < 40));
    }
    assert!(executor.0.cache.len() <= 8 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_events_after_it_are_the_fold_of_all_events() {
    let house = House::new();
    let executor = house.executor_with(small());
    for n in 0..47_u128 {
        let wish = if n % 2 == 0 { receive("A", 3) } else { reserve("A", 1, Uuid::from_u128(n)) };
        executor.execute(fresh(), one("A", wish)).await.unwrap();
    }
    house.tracker.close();
    house.tracker.wait().await;
    let id = stream_id(&tenant(), &shelf("A"));
    let of = Type::of::<Stock>();
    let kept = house.store.snapshot(&id, of.fold).await.unwrap().unwrap();
    assert_eq!(kept.version, 40);
    let (quick, version) = house.executor().load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!(version, 48);
    let mut slow = (of.fresh)();
    let records = house.store.read_stream(&id, 1, event_store::Direction::Forwards, 1_000).await.unwrap();
    for record in &records {
        slow.apply(&streams::event(record).unwrap());
    }
    let slow: Arc<Stock> = slow.shown().downcast().unwrap();
    assert_eq!(quick, slow);

    // A version before the snapshot is folded without it.
    let earlier = load::fold(&*house.store, &id, of, Until::Version(12)).await.unwrap();
    assert_eq!(earlier.version, 12);
    let position = records[20].position;
    let before = load::fold(&*house.store, &id, of, Until::Position(position - 1)).await.unwrap();
    assert_eq!(before.version, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_another_history_is_not_believed() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 5).await;
    let id = stream_id(&tenant(), &shelf("A"));
    let of = Type::of::<Stock>();
    let lie = Stock { on_hand: 1_000, ..Stock::default() };
    for (version, event_id) in [(2, Uuid::from_u128(1)), (9, Uuid::from_u128(2))] {
        house.store.keep_snapshot(
            id.clone(),
            event_store::snapshot::Snapshot {
                fold: of.fold,
                version,
                event_id,
                state: serde_json::to_vec(&lie).unwrap().into(),
            },
        );
        // On its way into the store it is believed no more than later, when the store has not taken it.
        let (stock, version) = house.executor().load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
        assert_eq!((stock.on_hand, version), (5, 2));
    }
}
