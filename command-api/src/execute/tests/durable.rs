//! No answer before the sync, and nothing lost when a caller is dropped.

use futures_util::FutureExt;

use super::*;
use crate::execute::Verdict;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_what_it_rests_on_is_durable() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 5).await;
    house.gate.shut();
    let mut applied = begin(&executor, fresh(), one("A", reserve("A", 5, Uuid::from_u128(1))));
    folded_to(&executor, &shelf("A"), 3).await;
    until("the sync has begun", || house.gate.is_waiting()).await;
    let mut refused = begin(&executor, fresh(), one("A", reserve("A", 1, Uuid::from_u128(2))));
    let mut nothing = begin(&executor, fresh(), one("A", reserve("A", 5, Uuid::from_u128(1))));
    let mut rehearsed =
        begin(&executor, Request { dry_run: true, ..fresh() }, one("A", reserve("A", 1, Uuid::from_u128(3))));
    let loading = executor.clone();
    let mut loaded = tokio::spawn(async move { loading.load::<Stock>(&tenant(), &shelf("A")).await });
    // Long enough for any of them to have gone wrong, were it able to.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
        assert!((&mut applied).now_or_never().is_none());
        assert!((&mut refused).now_or_never().is_none());
        assert!((&mut nothing).now_or_never().is_none());
        assert!((&mut rehearsed).now_or_never().is_none());
        assert!((&mut loaded).now_or_never().is_none());
    }
    assert_eq!(house.count("StockReserved").await, 0);
    house.gate.open(None);
    assert_eq!(applied.await.unwrap().unwrap().verdict, Verdict::Applied);
    assert!(refused.await.unwrap().unwrap().refused().is_some());
    assert_eq!(nothing.await.unwrap().unwrap().verdict, Verdict::NothingToDo);
    assert!(rehearsed.await.unwrap().unwrap().refused().is_some());
    assert_eq!(loaded.await.unwrap().unwrap().0.reserved, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_no_success_and_what_rested_on_it_is_decided_again() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 1).await;
    house.gate.shut();
    let more = begin(&executor, keyed("more"), one("A", receive("A", 10)));
    folded_to(&executor, &shelf("A"), 3).await;
    until("the sync has begun", || house.gate.is_waiting()).await;
    let greedy = begin(&executor, fresh(), one("A", reserve("A", 5, Uuid::from_u128(1))));
    folded_to(&executor, &shelf("A"), 4).await;
    house.gate.open(Some(io::ErrorKind::StorageFull));
    assert!(matches!(more.await.unwrap().unwrap_err(), Error::NotWritten(_)));
    let greedy = greedy.await.unwrap().unwrap();
    assert_eq!(greedy.refused().unwrap().code, "out-of-stock");
    let (stock, version) = executor.load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!((stock.on_hand, stock.reserved, version), (1, 0, 2));
    let again = executor.execute(keyed("more"), one("A", receive("A", 10))).await.unwrap();
    assert!(!again.replayed);
    assert_eq!(house.count("StockReceived").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_said_to_be_unknown_and_the_key_tells_later() {
    let mut house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 1).await;
    house.gate.open(Some(io::ErrorKind::Other));
    let lost = executor.execute(keyed("k1"), one("A", receive("A", 10))).await;
    assert!(matches!(lost.unwrap_err(), Error::Unknown(_)));
    let after = executor.execute(fresh(), one("A", receive("A", 1))).await;
    assert!(matches!(after.unwrap_err(), Error::Closed | Error::Unknown(_)));
    drop(executor);
    house.reopen().await;
    let executor = house.executor();
    for _ in 0..2 {
        let told = executor.execute(keyed("k1"), one("A", receive("A", 10))).await.unwrap();
        assert_eq!(told.first::<Stock>().unwrap().2.on_hand, 11);
    }
    assert_eq!(house.count("StockReceived").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_cancels_nothing() {
    let house = House::new();
    let executor = house.executor();
    for n in 0..100_u32 {
        let plan = one("A", receive("A", 1));
        let mut call = Box::pin(executor.execute(keyed(&format!("k{n}")), plan));
        // The first look begins the work; there is no second one.
        let _ = (&mut call).now_or_never();
        drop(call);
    }
    house.tracker.close();
    house.tracker.wait().await;
    assert_eq!(house.count("StockReceived").await, 100);
    let (stock, _) = executor.load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!(stock.on_hand, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_what_would_be_written_and_writes_nothing() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 5).await;
    let wish = || one("A", reserve("A", 2, Uuid::from_u128(1)));
    let before = house.log().await;
    let dry = Request { dry_run: true, ..keyed("k1") };
    let rehearsed = executor.execute(dry, wish()).await.unwrap();
    assert_eq!(house.log().await, before);
    assert_eq!(rehearsed.verdict, Verdict::Applied);
    assert_eq!(rehearsed.first::<Stock>().unwrap().2.reserved, 2);

    let done = executor.execute(keyed("k1"), wish()).await.unwrap();
    assert!(!done.replayed);
    assert_eq!(done.streams, rehearsed.streams);
    let page = house.store.read_log(before.len() as u64, &Filter::default(), 10).await.unwrap();
    let written: Vec<_> =
        page.records.iter().map(|record| (record.version, record.kind.clone(), record.data.clone())).collect();
    let planned: Vec<_> =
        rehearsed.events.iter().map(|event| (event.version, event.kind.clone(), event.data.clone())).collect();
    assert_eq!(written, planned);
    assert_eq!(written.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_said_at_once_and_leaves_no_trace() {
    let house = House::with_queue(8);
    let executor = house.executor();
    stocked(&executor, "A", 1).await;
    house.gate.shut();
    let first = begin(&executor, fresh(), one("A", receive("A", 1)));
    until("the sync has begun", || house.gate.is_waiting()).await;
    let mut calls = vec![first];
    let mut told_busy = 0;
    for _ in 0..20 {
        let mut call = begin(&executor, fresh(), one("A", receive("A", 1)));
        let at = 2 + calls.len() as u64 + 1;
        let id = crate::execute::stream_id(&tenant(), &shelf("A"));
        until("it is on the queue, or there is no room", || {
            call.is_finished() || executor.0.cache.there(&id).is_some_and(|slot| slot.try_peek() == Some(at))
        })
        .await;
        match (&mut call).now_or_never() {
            Some(answer) => {
                assert!(matches!(answer.unwrap().unwrap_err(), Error::Busy { .. }));
                told_busy += 1;
            }
            None => calls.push(call),
        }
    }
    assert!(told_busy > 0 && calls.len() > 1, "{told_busy} were told so");
    house.gate.open(None);
    let taken = u32::try_from(calls.len()).unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().verdict, Verdict::Applied);
    }
    let (stock, _) = executor.load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!(stock.on_hand, 1 + taken);
}
