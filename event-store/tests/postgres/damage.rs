//! Data that was altered in the database behind the store's back is never served as valid.

use event_store::append::Expectation;
use event_store::postgres::{Options, Store};
use event_store::{Direction, Error, EventStore, Filter};
use servers::Postgres;

use crate::contract::{appended, keyed, put, stream, versions, write};
use crate::{execute, options};

/// Twenty records in ten batches of two streams, and the changes of the thirteenth.
const CHANGED: [&str; 9] = [
    "recorded_at = recorded_at + 1",
    "category = 'other'",
    "version = version + 100",
    "event_id = gen_random_uuid()",
    "command_id = gen_random_uuid()",
    "fingerprint = sha256('other')",
    "metadata = 'x'",
    "data = 'x'",
    "hash = sha256('other')",
];

#[tokio::test]
async fn a_changed_record_is_never_served() {
    for change in CHANGED {
        let url = Postgres::shared().database();
        // What a process has in memory is as it was written.
        let store = Store::open(Options { recent_bytes: 0, ..options(&url) }).await.unwrap();
        for n in 0..10 {
            put(&*store, &stream(&format!("s{}", n % 2)), &["the payload", "another payload"]).await;
        }
        let writes = vec![write(&stream("s2"), Expectation::NoStream, &["a", "b"])];
        let sent = keyed("key", writes);
        appended(store.append(sent.clone()).await.unwrap());
        let sql = format!("UPDATE daybook.events SET {change} WHERE position = 13");
        execute(&url, &format!("SET session_replication_role = replica; {sql}")).await.unwrap();
        let damaged = |error: &Error| matches!(error, Error::Damaged { position: 13 | 14, .. });
        let before = store.read_log(0, &Filter::default(), 100).await.unwrap();
        assert_eq!((before.records.len(), before.next), (12, 12), "{change}: what is whole is served");
        let read = store.read_log(12, &Filter::default(), 100).await;
        assert!(read.as_ref().is_err_and(damaged), "{change}: {read:?}");
        let all = Filter { tenants: vec!["acme".into()], ..Filter::default() };
        let read = store.read_log(12, &all, 100).await;
        assert!(read.as_ref().is_err_and(damaged), "{change}: {read:?}");
        if !change.starts_with("category") {
            let read = store.read_stream(&stream("s0"), 1, Direction::Forwards, 100).await;
            assert!(read.is_err(), "{change}: {read:?}");
        }
        assert_eq!(versions(&*store, &stream("s1")).await.len(), 10, "{change}: others are served");
        assert!(store.command(sent.command_id).await.unwrap().is_some(), "{change}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn no_receipt_and_no_instant_rest_on_a_changed_record() {
    let url = Postgres::shared().database();
    let store = Store::open(options(&url)).await.unwrap();
    let sent = keyed("key", vec![write(&stream("one"), Expectation::NoStream, &["a", "b"])]);
    appended(store.append(sent.clone()).await.unwrap());
    put(&*store, &stream("two"), &["c"]).await;
    let records = store.read_log(0, &Filter::default(), 9).await.unwrap().records;
    execute(&url, "SET session_replication_role = replica; UPDATE daybook.events SET version = 7 WHERE position = 2")
        .await
        .unwrap();
    let known = store.command(sent.command_id).await;
    assert!(matches!(known, Err(Error::Damaged { position: 2, .. })), "{known:?}");
    let again = store.append(sent).await;
    assert!(matches!(again, Err(Error::Damaged { position: 2, .. })), "{again:?}");
    let head = store.stream_head(&stream("one")).await;
    assert!(matches!(head, Err(Error::Damaged { position: 2, .. })), "{head:?}");
    let then = store.position_at(records[0].recorded_at).await;
    assert!(matches!(then, Err(Error::Damaged { position: 2, .. })), "{then:?}");
    store.close().await.unwrap();
}
