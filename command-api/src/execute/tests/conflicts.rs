//! Two executors on one store, and one contended stock.

use futures_util::FutureExt;

use super::*;
use crate::execute::Verdict;

/// What decides the matter: an expectation names the event, not its version alone. Another event has taken the version on which the
/// batch rests by the time it is judged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_rests_on_what_failed_is_decided_again_and_never_oversells() {
    let house = House::new();
    let (one_side, other_side) = (house.executor(), house.executor());
    stocked(&one_side, "A", 1).await;
    house.gate.shut();
    // Ten more come in: folded, and about to fail.
    let more = begin(&one_side, fresh(), one("A", receive("A", 10)));
    folded_to(&one_side, &shelf("A"), 3).await;
    until("the sync has begun", || house.gate.is_waiting()).await;
    // The other side knows nothing of them, and takes the one unit that there is: version 3, as well.
    let last = begin(&other_side, fresh(), one("A", reserve("A", 1, Uuid::from_u128(1))));
    folded_to(&other_side, &shelf("A"), 3).await;
    // This side believes in the ten, and gives five of them away: it rests on a version 3 that will never be.
    let greedy = begin(&one_side, fresh(), one("A", reserve("A", 5, Uuid::from_u128(2))));
    folded_to(&one_side, &shelf("A"), 4).await;
    house.gate.open(Some(io::ErrorKind::StorageFull));

    assert!(matches!(more.await.unwrap().unwrap_err(), Error::NotWritten(_)));
    assert_eq!(last.await.unwrap().unwrap().verdict, Verdict::Applied);
    let greedy = greedy.await.unwrap().unwrap();
    assert_eq!(greedy.refused().map(|refused| &*refused.code), Some("out-of-stock"));
    for executor in [one_side, other_side, house.executor()] {
        let (stock, version) = executor.load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
        assert_eq!((stock.on_hand, stock.reserved, version), (1, 1, 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_rests_on_what_failed_is_decided_again() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 1).await;
    house.gate.shut();
    let first = begin(&executor, fresh(), one("A", reserve("A", 1, Uuid::from_u128(1))));
    folded_to(&executor, &shelf("A"), 3).await;
    until("the sync has begun", || house.gate.is_waiting()).await;
    let wish = one("A", reserve("A", 1, Uuid::from_u128(2)));
    let mut second = Box::pin(executor.execute(keyed("k1"), wish));
    assert!((&mut second).now_or_never().is_none());
    // Once a third one has had its turn on the fold, the second one has had it too: turns are in order.
    let third = begin(&executor, fresh(), one("A", receive("A", 1)));
    folded_to(&executor, &shelf("A"), 4).await;
    house.gate.open(Some(io::ErrorKind::StorageFull));
    assert!(matches!(first.await.unwrap().unwrap_err(), Error::NotWritten(_)));
    assert_eq!(second.await.unwrap().verdict, Verdict::Applied);
    assert_eq!(third.await.unwrap().unwrap().verdict, Verdict::Applied);
    assert_eq!(house.count("CommandSettled").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executors_that_write_the_same_streams_agree_in_the_end() {
    let house = House::new();
    let sides = [house.executor(), house.executor(), house.executor()];
    let mut calls = Vec::new();
    for n in 0..120_usize {
        let name = ["A", "B"][n % 2];
        let executor = sides[n % 3].clone();
        calls.push(tokio::spawn(async move {
            // Too much at once is said, and means that nothing was written.
            loop {
                match executor.execute(fresh(), one(name, receive(name, 1))).await {
                    Err(Error::Busy { .. }) => tokio::task::yield_now().await,
                    other => return other,
                }
            }
        }));
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().verdict, Verdict::Applied);
    }
    for executor in sides {
        for name in ["A", "B"] {
            stocked(&executor, name, 1).await;
        }
    }
    let (stock, version) = house.executor().load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!((stock.on_hand, version), (63, 64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_buyers_of_a_hundred_units_get_a_hundred() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 100).await;
    let calls: Vec<_> = (0..1_000_u128)
        .map(|n| {
            let wish = reserve("A", 1, Uuid::from_u128(n + 1));
            let plan = Plan::new().and_unseen::<Stock>(shelf("A"), wish);
            begin(&executor, keyed(&format!("buyer {n}")), plan)
        })
        .collect();
    let (mut sold, mut refused) = (0, 0);
    for call in calls {
        match call.await.unwrap().unwrap().verdict {
            Verdict::Applied => sold += 1,
            Verdict::Refused(_) => refused += 1,
            Verdict::NothingToDo => {}
        }
    }
    assert_eq!((sold, refused), (100, 900));
    assert_eq!(house.count("StockReserved").await, 100);
    assert_eq!(house.count("CommandSettled").await, 900);
    let (stock, _) = house.executor().load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!((stock.on_hand, stock.reserved), (100, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_executor_wrote_is_seen_by_who_only_looks() {
    let house = House::new();
    let (one_side, other_side) = (house.executor(), house.executor());
    for qty in 1..4 {
        stocked(&one_side, "A", 1).await;
        let there = other_side.load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
        assert_eq!(there.0.on_hand, qty);
        stocked(&one_side, "B", 1).await;
        let dry = Request { dry_run: true, ..fresh() };
        let wish = reserve("B", qty, Uuid::from_u128(u128::from(qty)));
        let rehearsed = other_side.execute(dry, one("B", wish)).await.unwrap();
        assert_eq!(rehearsed.verdict, Verdict::Applied);
    }
}
