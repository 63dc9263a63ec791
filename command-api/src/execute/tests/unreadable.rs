//! An unreadable record in one of the streams: its commands have no outcome until it is set aside, and all others
//! continue.

use event_store::append::{Batch, Expectation, NewEvent, StreamWrite};
use schemas::registry;

use super::*;

/// Writes an event to the stock of a SKU past the executor, as a later version of the program would.
async fn written(house: &House, name: &str, kind: &str, data: &[u8]) {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        kind: kind.into(),
        schema_version: 1,
        data: bytes::Bytes::copy_from_slice(data),
        metadata: fresh().metadata.encode(),
    };
    let stream = crate::execute::stream_id(&tenant(), &shelf(name));
    let write = StreamWrite { stream, expected: Expectation::Any, events: vec![event] };
    let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes: vec![write] };
    house.store.append(batch).await.unwrap();
}

async fn set_aside(house: &House, name: &str, version: u64) {
    let it = domain::record::SetAside {
        position: version,
        version,
        kind: "StockDreamt".into(),
        unreadable: "not known".into(),
        reason: "a test".into(),
    };
    let event = domain::Event::Record(domain::record::Event::SetAside(it));
    let encoded = registry::encode(&event).unwrap();
    written(house, name, &encoded.kind, &encoded.data).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_to_a_stream_that_cannot_be_read_wait_and_those_to_others_go_on() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 5).await;
    stocked(&executor, "B", 5).await;
    written(&house, "A", "StockDreamt", b"{}").await;
    written(&house, "A", "StockReceived", b"{\"qty\":7,\"delivered\":").await;

    // The executor has folded the stream before: it finds out from the conflict.
    for _ in 0..2 {
        match executor.execute(fresh(), one("A", receive("A", 1))).await {
            Err(Error::Unreadable(unreadable)) => assert_eq!((unreadable.position, unreadable.version), (5, 3)),
            other => panic!("{other:?}"),
        }
    }
    let both =
        one("A", reserve("A", 1, Uuid::from_u128(1))).and::<Stock>(shelf("B"), reserve("B", 1, Uuid::from_u128(1)));
    assert!(matches!(executor.execute(fresh(), both).await, Err(Error::Unreadable(_))));
    let done = stocked(&executor, "B", 2).await;
    assert_eq!(done.state::<Stock>(&shelf("B")).unwrap().on_hand, 7, "the other took nothing of the plan with both");

    set_aside(&house, "A", 3).await;
    assert!(matches!(executor.execute(fresh(), one("A", receive("A", 1))).await, Err(Error::Unreadable(_))));
    set_aside(&house, "A", 4).await;
    let done = stocked(&executor, "A", 1).await;
    assert_eq!(done.state::<Stock>(&shelf("A")).unwrap().on_hand, 6);
    assert_eq!(done.version(&shelf("A")), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_does_not_outlive_the_record_that_it_rests_on() {
    let house = House::new();
    let executor = house.executor_with(Options { snapshot_every: 2, ..Options::default() });
    for _ in 0..8 {
        stocked(&executor, "A", 1).await;
    }
    // Another version of the program could not read the third one.
    set_aside(&house, "A", 3).await;
    let (stock, version) = house.executor().load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!((stock.on_hand, version), (7, 10));
}
