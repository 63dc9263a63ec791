//! What an append does to streams and to the log.

use bytes::Bytes;
use event_store::append::{Expectation, NewEvent, Outcome};
use event_store::record::StreamId;
use event_store::{Direction, Error, Filter, hash, verify};
use uuid::Uuid;

use super::{Backend, after, appended, batch, event, log, put, stream, versions, write};

pub(crate) async fn versions_and_positions_have_no_holes(backend: &impl Backend) {
    let store = backend.open().await;
    let (one, other) = (stream("one"), stream("other"));
    let first = put(&*store, &one, &["a", "b"]).await;
    let second = put(&*store, &other, &["c"]).await;
    let third = put(&*store, &one, &["d"]).await;
    assert_eq!((first.first_position, first.last_position), (1, 2));
    assert_eq!((second.first_position, second.last_position), (3, 3));
    assert_eq!((third.streams[0].first_version, third.streams[0].last_version), (3, 3));
    assert_eq!(versions(&*store, &one).await, [1, 2, 3]);
    let positions: Vec<_> = log(&*store, &Filter::default(), 2).await.iter().map(|record| record.position).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
    store.close().await.unwrap();
}

pub(crate) async fn a_batch_over_streams_is_all_or_nothing(backend: &impl Backend) {
    let store = backend.open().await;
    let (one, other) = (stream("one"), stream("other"));
    put(&*store, &other, &["there"]).await;
    let writes = vec![write(&one, Expectation::NoStream, &["a"]), write(&other, Expectation::NoStream, &["b"])];
    let outcome = store.append(batch(writes)).await.unwrap();
    assert!(matches!(outcome, Outcome::Conflict { stream, .. } if stream == other));
    assert_eq!(store.stream_head(&one).await.unwrap(), None);
    let writes = vec![write(&one, Expectation::NoStream, &["a", "b"]), write(&other, Expectation::Any, &["c"])];
    let receipt = appended(store.append(batch(writes)).await.unwrap());
    assert_eq!((receipt.first_position, receipt.last_position), (2, 4));
    let written: Vec<_> =
        receipt.streams.iter().map(|stream| (&*stream.stream.id, stream.first_version, stream.last_version)).collect();
    assert_eq!(written, [("one", 1, 2), ("other", 2, 2)]);
    store.close().await.unwrap();
}

pub(crate) async fn a_stream_that_is_only_checked_gets_no_event(backend: &impl Backend) {
    let store = backend.open().await;
    let (checked, written) = (stream("checked"), stream("written"));
    let absent =
        batch(vec![write(&checked, Expectation::NoStream, &[]), write(&written, Expectation::NoStream, &["a"])]);
    let receipt = appended(store.append(absent.clone()).await.unwrap());
    assert_eq!(receipt.streams.len(), 1, "a stream that is only checked is not in the receipt");
    assert_eq!(store.stream_head(&checked).await.unwrap(), None);
    let at = Expectation::At { version: 1, event_id: absent.writes[1].events[0].event_id };
    let checks = batch(vec![write(&written, at, &[]), write(&checked, Expectation::NoStream, &["b"])]);
    appended(store.append(checks).await.unwrap());
    let late = batch(vec![write(&checked, Expectation::NoStream, &[]), write(&written, at, &["c"])]);
    let outcome = store.append(late).await.unwrap();
    assert!(matches!(outcome, Outcome::Conflict { stream, .. } if stream == checked));
    assert_eq!(versions(&*store, &written).await, [1]);
    store.close().await.unwrap();
}

pub(crate) async fn no_stream_is_refused_where_there_is_one(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    let first = batch(vec![write(&one, Expectation::NoStream, &["a"])]);
    appended(store.append(first.clone()).await.unwrap());
    let outcome = store.append(batch(vec![write(&one, Expectation::NoStream, &["b"])])).await.unwrap();
    let actual = Some((1, first.writes[0].events[0].event_id));
    assert_eq!(outcome, Outcome::Conflict { stream: one, expected: Expectation::NoStream, actual });
    store.close().await.unwrap();
}

pub(crate) async fn a_version_with_another_event_id_is_a_conflict(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    let first = batch(vec![write(&one, Expectation::NoStream, &["a"])]);
    appended(store.append(first.clone()).await.unwrap());
    let other = Expectation::At { version: 1, event_id: Uuid::now_v7() };
    let outcome = store.append(batch(vec![write(&one, other, &["b"])])).await.unwrap();
    assert!(matches!(outcome, Outcome::Conflict { actual: Some((1, _)), .. }));
    appended(store.append(batch(vec![write(&one, after(&first, 1), &["b"])])).await.unwrap());
    store.close().await.unwrap();
}

pub(crate) async fn a_version_that_is_not_there_is_a_conflict(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    for version in [0, 1, 2, u64::MAX] {
        let at = Expectation::At { version, event_id: Uuid::nil() };
        let outcome = store.append(batch(vec![write(&one, at, &["a"])])).await.unwrap();
        assert_eq!(outcome, Outcome::Conflict { stream: one.clone(), expected: at, actual: None });
    }
    store.close().await.unwrap();
}

pub(crate) async fn any_takes_what_is_there(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    put(&*store, &one, &["a"]).await;
    put(&*store, &one, &["b", "c"]).await;
    assert_eq!(versions(&*store, &one).await, [1, 2, 3]);
    let proven = verify::chain(&*store, 0, |_| {}).await.unwrap();
    assert_eq!(proven.position, 3);
    store.close().await.unwrap();
}

pub(crate) async fn names_and_bytes_come_back_as_they_went_in(backend: &impl Backend) {
    let names = ["a/b", "stra\u{df}e", "\u{1F980}", "nul\0in\0it", " ", "'; DROP TABLE log; --", "a-b:c", "%_\\"];
    let store = backend.open().await;
    let streams: Vec<_> = names.iter().flat_map(|a| names.map(|b| StreamId::new(*a, b, format!("{a}{b}")))).collect();
    for stream in &streams {
        let odd = NewEvent {
            kind: stream.category.clone(),
            schema_version: u32::MAX,
            data: Bytes::from(vec![0, 255, 0]),
            metadata: Bytes::new(),
            ..event("")
        };
        let mut one = batch(vec![write(stream, Expectation::NoStream, &[])]);
        one.writes[0].events.push(odd);
        appended(store.append(one).await.unwrap());
    }
    store.close().await.unwrap();
    let store = backend.open().await;
    for stream in &streams {
        let records = store.read_stream(stream, 1, Direction::Forwards, 10).await.unwrap();
        assert_eq!(records.len(), 1, "{stream:?}");
        let record = &records[0];
        assert_eq!((&record.stream, &record.kind), (stream, &stream.category));
        assert_eq!((&record.data[..], &record.metadata[..]), (&[0, 255, 0][..], &[][..]));
        assert_eq!(record.schema_version, u32::MAX);
    }
    store.close().await.unwrap();
}

pub(crate) async fn what_is_too_large_or_malformed_is_never_taken(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    let big = |bytes: usize| NewEvent { data: vec![0; bytes].into(), metadata: Bytes::new(), ..event("") };
    let of = |events: Vec<NewEvent>| {
        let mut batch = batch(vec![write(&one, Expectation::Any, &[])]);
        batch.writes[0].events = events;
        batch
    };
    let twice = event("twice");
    let long = StreamId::new("acme", "order", "x".repeat(5_000));
    let refused = [
        of(vec![]),
        of(vec![big(1024 * 1024 + 1)]),
        of((0..17).map(|_| big(1024 * 1024)).collect()),
        of((0..8_193).map(|_| big(0)).collect()),
        of(vec![NewEvent { kind: "".into(), ..event("") }]),
        of(vec![twice.clone(), twice]),
        batch(vec![write(&one, Expectation::Any, &["a"]), write(&one, Expectation::Any, &["b"])]),
        batch(vec![write(&long, Expectation::Any, &["a"])]),
        batch(vec![write(&StreamId::new("", "order", "x"), Expectation::Any, &["a"])]),
    ];
    for (n, batch) in refused.into_iter().enumerate() {
        assert!(matches!(store.append(batch).await, Err(Error::Never(_))), "batch {n}");
    }
    appended(store.append(of(vec![big(1024 * 1024)])).await.unwrap());
    assert_eq!(store.head().borrow().position, 1);
    store.close().await.unwrap();
}

pub(crate) async fn the_largest_batch_goes_in(backend: &impl Backend) {
    let store = backend.open().await;
    let streams: Vec<_> = (0..4_096).map(|n| stream(&format!("s{n}"))).collect();
    let writes = streams.iter().map(|stream| write(stream, Expectation::NoStream, &["a", "b"])).collect();
    let receipt = appended(store.append(batch(writes)).await.unwrap());
    assert_eq!((receipt.first_position, receipt.last_position, receipt.streams.len()), (1, 8_192, 4_096));
    assert_eq!(store.read_log(0, &Filter::default(), 1).await.unwrap().records.len(), 8_192);
    store.close().await.unwrap();
}

pub(crate) async fn the_chain_holds_over_the_stored_bytes(backend: &impl Backend) {
    let store = backend.open().await;
    for n in 0..5 {
        put(&*store, &stream(&format!("s{}", n % 2)), &["a", "b"]).await;
    }
    let mut hash = hash::START;
    for record in log(&*store, &Filter::default(), 3).await {
        hash = hash::chain(&hash, record.position, record.recorded_at, &hash::leaf_of(&record));
        assert_eq!(hash, record.hash);
    }
    assert_eq!(store.head().borrow().hash, hash);
    assert_eq!(verify::chain(&*store, 4, |_| {}).await.unwrap().hash, hash);
    store.close().await.unwrap();
}
