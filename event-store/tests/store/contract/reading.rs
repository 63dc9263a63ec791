//! Reading streams and the log, and what only reads.

use std::time::Duration;

use event_store::append::Expectation;
use event_store::record::StreamId;
use event_store::snapshot::Snapshot;
use event_store::{Direction, Error, Filter};
use uuid::Uuid;

use super::{Backend, appended, batch, log, put, stream, versions, write};

pub(crate) async fn a_stream_is_read_from_both_ends(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    for text in ["a", "b", "c", "d", "e"] {
        put(&*store, &one, &[text]).await;
        put(&*store, &stream("other"), &[text]).await;
    }
    for (from, direction, limit, wanted) in [
        (1, Direction::Forwards, 10, vec![1, 2, 3, 4, 5]),
        (0, Direction::Forwards, 2, vec![1, 2]),
        (4, Direction::Forwards, 10, vec![4, 5]),
        (6, Direction::Forwards, 10, vec![]),
        (u64::MAX, Direction::Forwards, 10, vec![]),
        (u64::MAX, Direction::Backwards, 2, vec![5, 4]),
        (3, Direction::Backwards, 10, vec![3, 2, 1]),
        (0, Direction::Backwards, 10, vec![]),
        (1, Direction::Forwards, 0, vec![]),
    ] {
        let records = store.read_stream(&one, from, direction, limit).await.unwrap();
        let found: Vec<_> = records.iter().map(|record| record.version).collect();
        assert_eq!(found, wanted, "{from} {direction:?} {limit}");
    }
    let (version, id) = store.stream_head(&one).await.unwrap().unwrap();
    let last = store.read_stream(&one, 5, Direction::Forwards, 1).await.unwrap();
    assert_eq!((version, id), (5, last[0].event_id));
    store.close().await.unwrap();
}

pub(crate) async fn a_stream_is_whole_wherever_its_parts_are_kept(backend: &impl Backend) {
    let mut length = 0;
    for _ in 0..4 {
        let store = backend.open().await;
        for n in 0..25 {
            put(&*store, &stream("one"), &["x"]).await;
            length += 1;
            if n % 5 == 0 {
                // Long enough for the store to move what it has to where it keeps it.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            assert_eq!(versions(&*store, &stream("one")).await, (1..=length).collect::<Vec<_>>());
            let last = store.read_stream(&stream("one"), u64::MAX, Direction::Backwards, 7).await.unwrap();
            assert_eq!(last.len() as u64, length.min(7));
            assert_eq!(last[0].version, length);
        }
        store.close().await.unwrap();
    }
}

pub(crate) async fn the_log_is_read_in_pages(backend: &impl Backend) {
    let store = backend.open().await;
    for n in 0..50 {
        put(&*store, &stream(&format!("s{n}")), &["x"]).await;
    }
    let page = store.read_log(10, &Filter::default(), 7).await.unwrap();
    assert_eq!((page.records.len(), page.records[0].position, page.next, page.head), (7, 11, 17, 50));
    let end = store.read_log(50, &Filter::default(), 7).await.unwrap();
    assert_eq!((end.records.len(), end.next, end.head), (0, 50, 50));
    let beyond = store.read_log(99, &Filter::default(), 7).await.unwrap();
    assert_eq!((beyond.records.len(), beyond.next), (0, 99));
    assert_eq!(log(&*store, &Filter::default(), 9).await.len(), 50);
    store.close().await.unwrap();
}

pub(crate) async fn a_page_never_cuts_a_batch(backend: &impl Backend) {
    let store = backend.open().await;
    for n in 0..30 {
        let texts = vec!["x"; n % 5 + 1];
        put(&*store, &stream("one"), &texts).await;
    }
    for limit in [1, 2, 3, 4, 7] {
        let mut after = 0;
        loop {
            let page = store.read_log(after, &Filter::default(), limit).await.unwrap();
            let Some(last) = page.records.last() else {
                break;
            };
            let receipt = store.command(last.command_id).await.unwrap().unwrap();
            assert_eq!(receipt.last_position, last.position, "the page ends where the batch ends");
            assert_eq!(page.next, last.position);
            after = page.next;
        }
        assert_eq!(after, 90);
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_filter_takes_only_what_it_wants(backend: &impl Backend) {
    let store = backend.open().await;
    for tenant in ["a", "b"] {
        for category in ["order", "stock", "payment"] {
            for kind in ["Placed", "Paid"] {
                let mut batch =
                    batch(vec![write(&StreamId::new(tenant, category, "x"), Expectation::Any, &["x", "y"])]);
                for event in &mut batch.writes[0].events {
                    event.kind = kind.into();
                }
                appended(store.append(batch).await.unwrap());
            }
        }
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (tenants, categories, kinds, wanted) in [
        (vec![], vec![], vec![], 24),
        (vec!["a"], vec![], vec![], 12),
        (vec![], vec!["stock", "payment"], vec![], 16),
        (vec!["b"], vec!["order"], vec!["Paid"], 2),
        (vec!["c"], vec![], vec![], 0),
    ] {
        let filter = Filter { tenants: names(&tenants), categories: names(&categories), kinds: names(&kinds) };
        for limit in [1, 3, 100] {
            assert_eq!(log(&*store, &filter, limit).await.len(), wanted, "{filter:?}");
        }
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_filter_that_wants_little_still_gets_to_the_end(backend: &impl Backend) {
    let store = backend.open().await;
    let texts = vec!["x"; 8_000];
    for _ in 0..5 {
        put(&*store, &stream("many"), &texts).await;
    }
    put(&*store, &StreamId::new("acme", "rare", "x"), &["y"]).await;
    let filter = Filter { categories: vec!["rare".into()], ..Filter::default() };
    let found = log(&*store, &filter, 10).await;
    assert_eq!((found.len(), found[0].position), (1, 40_001));
    store.close().await.unwrap();
}

pub(crate) async fn the_head_moves_with_what_is_durable(backend: &impl Backend) {
    let store = backend.open().await;
    let mut head = store.head();
    assert_eq!(head.borrow_and_update().position, 0);
    let receipt = put(&*store, &stream("one"), &["a", "b"]).await;
    head.changed().await.unwrap();
    let seen = *head.borrow_and_update();
    assert_eq!((seen.position, seen.recorded_at), (2, receipt.recorded_at));
    let page = store.read_log(0, &Filter::default(), 10).await.unwrap();
    assert_eq!(page.records[1].hash, seen.hash);
    store.close().await.unwrap();
    let store = backend.open().await;
    assert_eq!(*store.head().borrow(), seen);
    store.close().await.unwrap();
}

pub(crate) async fn an_empty_store_has_nothing(backend: &impl Backend) {
    let store = backend.open().await;
    assert_eq!(store.head().borrow().position, 0);
    assert_eq!(store.read_log(0, &Filter::default(), 10).await.unwrap().records.len(), 0);
    assert_eq!(store.stream_head(&stream("one")).await.unwrap(), None);
    assert!(versions(&*store, &stream("one")).await.is_empty());
    assert_eq!(store.position_at(store.now()).await.unwrap(), 0);
    assert_eq!(store.snapshot(&stream("one"), 1).await.unwrap(), None);
    store.close().await.unwrap();
}

pub(crate) async fn a_closed_store_takes_nothing(backend: &impl Backend) {
    let store = backend.open().await;
    let pending: Vec<_> = (0..100)
        .map(|n| store.append(batch(vec![write(&stream(&format!("s{n}")), Expectation::NoStream, &["x"])])))
        .collect();
    store.close().await.unwrap();
    for pending in pending {
        appended(pending.await.unwrap());
    }
    let late = store.append(batch(vec![write(&stream("late"), Expectation::NoStream, &["x"])])).await;
    assert!(matches!(late, Err(Error::Closed)));
    assert!(matches!(store.command(Uuid::now_v7()).await, Err(Error::Closed)));
    assert!(store.read_log(0, &Filter::default(), 10).await.is_err());
    store.close().await.unwrap();
    let store = backend.open().await;
    assert_eq!(store.head().borrow().position, 100);
    store.close().await.unwrap();
}

pub(crate) async fn the_incarnation_stays(backend: &impl Backend) {
    let store = backend.open().await;
    let incarnation = store.incarnation();
    assert!(!incarnation.is_nil());
    store.close().await.unwrap();
    let store = backend.open().await;
    assert_eq!(store.incarnation(), incarnation);
    store.close().await.unwrap();
}

pub(crate) async fn a_snapshot_is_found_by_its_fold(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    put(&*store, &one, &["x"; 9]).await;
    let records = store.read_stream(&one, 1, Direction::Forwards, 20).await.unwrap();
    let at = |fold, version: u64| {
        let event_id = records[version as usize - 1].event_id;
        Snapshot { fold, version, event_id, state: vec![fold as u8; 9].into() }
    };
    let (old, new, other) = (at(1, 5), at(1, 9), at(2, 3));
    for snapshot in [&new, &old, &other] {
        store.keep_snapshot(one.clone(), snapshot.clone());
    }
    for _ in 0..2 {
        assert_eq!(store.snapshot(&one, 1).await.unwrap(), Some(new.clone()), "an older one does not replace it");
        assert_eq!(store.snapshot(&one, 2).await.unwrap(), Some(other.clone()));
        assert_eq!(store.snapshot(&one, 3).await.unwrap(), None);
        assert_eq!(store.snapshot(&stream("two"), 1).await.unwrap(), None);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    store.close().await.unwrap();
}
