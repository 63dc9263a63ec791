//! A handle that only reads: it makes nothing, and works where nothing can be written.

use std::time::Duration;

use event_store::append::Expectation;
use event_store::postgres::{OpenError, Store};
use event_store::{Direction, Error, EventStore, verify};
use servers::Postgres;

use crate::contract::{appended, keyed, put, stream, write};
use crate::{number, options};

#[tokio::test]
async fn reading_makes_no_schema() {
    let url = Postgres::shared().database();
    assert!(matches!(Store::open_read_only(options(&url)).await, Err(OpenError::Absent)));
    let schemas = "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname LIKE 'daybook%'";
    assert_eq!(number(&url, schemas).await, 0);
}

#[tokio::test]
async fn a_handle_that_only_reads_reads_everything_and_writes_nothing() {
    let url = Postgres::shared().database();
    let store = Store::open(options(&url)).await.unwrap();
    let sent = keyed("key", vec![write(&stream("one"), Expectation::NoStream, &["a", "b"])]);
    let receipt = appended(store.append(sent.clone()).await.unwrap());
    let beside = Store::open_read_only(options(&url)).await.unwrap();
    put(&*store, &stream("two"), &["c"]).await;
    let head = tokio::time::timeout(Duration::from_secs(30), async {
        beside.head().wait_for(|head| head.position == 3).await.map(|head| *head)
    });
    let head = head.await.unwrap().unwrap();
    assert_eq!(verify::chain(&*beside, 0, |_| {}).await.unwrap().position, 3);
    assert_eq!(beside.command(sent.command_id).await.unwrap(), Some(receipt));
    assert_eq!(beside.position_at(head.recorded_at).await.unwrap(), 3);
    assert_eq!(beside.read_stream(&stream("one"), 1, Direction::Forwards, 9).await.unwrap().len(), 2);
    assert_eq!(beside.stream_head(&stream("two")).await.unwrap().map(|head| head.0), Some(1));
    let refused = beside.append(keyed("other", vec![write(&stream("one"), Expectation::Any, &["d"])])).await;
    assert!(matches!(refused, Err(Error::Never(_))), "{refused:?}");
    beside.close().await.unwrap();
    store.close().await.unwrap();
}
