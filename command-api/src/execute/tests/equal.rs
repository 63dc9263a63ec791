//! Equal requests always get one outcome.

use super::*;
use crate::execute::{Expected, Verdict};

/// What a caller sees of an answer.
fn seen(done: &Done) -> (Verdict, u64, Timestamp, Vec<(StreamName, u64)>, Option<Stock>) {
    let state = done.first::<Stock>().map(|(_, _, state)| Stock::clone(&state));
    (done.verdict.clone(), done.position, done.recorded_at, done.streams.clone(), state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_equal_requests_take_effect_once_and_are_told_the_same() {
    let mut house = House::new();
    let executor = house.executor();
    let calls: Vec<_> = (0..50).map(|_| begin(&executor, keyed("k1"), one("A", receive("A", 5)))).collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().unwrap());
    }
    assert_eq!(house.count("StockReceived").await, 1);
    let first = seen(&answers[0]);
    assert_eq!(first.0, Verdict::Applied);
    assert_eq!(first.4.as_ref().unwrap().on_hand, 5);
    assert!(answers.iter().all(|answer| seen(answer) == first));
    let told_first = answers.iter().filter(|answer| !answer.replayed).count();
    assert_eq!(told_first, 1);

    stocked(&executor, "A", 9).await;
    drop(executor);
    house.reopen().await;
    for executor in [house.executor(), house.executor()] {
        let again = executor.execute(keyed("k1"), one("A", receive("A", 5))).await.unwrap();
        assert!(again.replayed);
        assert_eq!(seen(&again), first);
    }
    assert_eq!(house.count("StockReceived").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_recorded_and_stays_the_answer() {
    let mut house = House::new();
    let executor = house.executor();
    let wish = || one("A", reserve("A", 3, Uuid::from_u128(1)));
    stocked(&executor, "A", 1).await;
    let first = executor.execute(keyed("k1"), wish()).await.unwrap();
    let refused = first.refused().unwrap().clone();
    assert_eq!((refused.class, &*refused.code), (domain::Class::Conflict, "out-of-stock"));
    assert_eq!(
        serde_json::Value::Object(refused.details),
        serde_json::json!({"shortfalls": [
            {"sku": "A", "location": "north", "wanted": 3, "available": 1}
        ]})
    );
    assert_eq!(first.streams, [(shelf("A"), 2)]);
    assert!(!first.replayed);

    stocked(&executor, "A", 10).await;
    drop(executor);
    house.reopen().await;
    let later = house.executor();
    let again = later.execute(keyed("k1"), wish()).await.unwrap();
    assert!(again.replayed);
    assert_eq!(seen(&again), seen(&first));
    assert_eq!(house.count("CommandSettled").await, 1);
    assert_eq!(house.count("StockReserved").await, 0);

    let looked_up = later.outcome(&tenant(), command_id(&tenant(), "k1")).await.unwrap().unwrap();
    assert_eq!(looked_up.verdict, first.verdict);
    assert_eq!(looked_up.position, first.position);
    let other = Tenant::try_new("other").unwrap();
    let foreign = later.outcome(&other, command_id(&tenant(), "k1")).await;
    assert!(foreign.unwrap().is_none());
    let never = later.outcome(&tenant(), command_id(&tenant(), "k2")).await;
    assert!(never.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_changes_nothing_says_so_for_ever() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 5).await;
    let wish = || one("A", reserve("A", 1, Uuid::from_u128(1)));
    let done = executor.execute(fresh(), wish()).await.unwrap();
    assert_eq!(done.verdict, Verdict::Applied);
    for replayed in [false, true] {
        let again = executor.execute(keyed("again"), wish()).await.unwrap();
        assert_eq!(again.verdict, Verdict::NothingToDo);
        assert_eq!(again.replayed, replayed);
        assert_eq!(again.streams, [(shelf("A"), 3)]);
        assert_eq!(again.first::<Stock>().unwrap().2.reserved, 1);
    }
    assert_eq!(house.count("CommandSettled").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stands_for_one_request() {
    let house = House::new();
    let executor = house.executor();
    let other = Request { fingerprint: fingerprint(&[b"another"]), ..keyed("k1") };
    house.gate.shut();
    let first = begin(&executor, keyed("k1"), one("A", receive("A", 5)));
    folded_to(&executor, &shelf("A"), 2).await;
    let meanwhile = begin(&executor, other.clone(), one("A", receive("A", 6)));
    house.gate.open(None);
    assert!(first.await.unwrap().is_ok());
    assert_eq!(meanwhile.await.unwrap().unwrap_err(), Error::KeyReused);
    let later = executor.execute(other, one("A", receive("A", 6))).await;
    assert_eq!(later.unwrap_err(), Error::KeyReused);
    assert_eq!(house.count("StockReceived").await, 1);
    let (stock, version) = executor.load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!((stock.on_hand, version), (5, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_request_does_not_wait_for_ever() {
    let house = House::new();
    let executor = house.executor_with(Options { equal_wait: Duration::ZERO, ..Options::default() });
    house.gate.shut();
    let first = begin(&executor, keyed("k1"), one("A", receive("A", 5)));
    folded_to(&executor, &shelf("A"), 2).await;
    let second = executor.execute(keyed("k1"), one("A", receive("A", 5))).await;
    assert_eq!(second.unwrap_err(), Error::InProgress);
    house.gate.open(None);
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_over_is_refused_and_the_refusal_recorded() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 5).await;
    let knowing = |key, version| Request { if_match: Some((shelf("A"), Expected::Version(version))), ..keyed(key) };
    let wish = || one("A", receive("A", 1));
    let stale = executor.execute(knowing("k1", 1), wish()).await.unwrap();
    let refused = stale.refused().unwrap();
    assert_eq!((refused.class, &*refused.code), (domain::Class::Stale, "version-mismatch"));
    assert_eq!(serde_json::Value::Object(refused.details.clone()), serde_json::json!({"expected": 1, "actual": 2}));
    let right = executor.execute(knowing("k2", 2), wish()).await.unwrap();
    assert_eq!(right.version(&shelf("A")), Some(3));
    let again = executor.execute(knowing("k1", 1), wish()).await.unwrap();
    assert!(again.replayed);
    assert_eq!(seen(&again), seen(&stale));
}
