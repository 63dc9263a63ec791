//! All readers of a stream read it in the same way: where they stop, and how they continue.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed; this says where")]

use std::sync::Arc;

use bytes::Bytes;
use domain::{Event, record, reference, stream};
use event_store::EventStore;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::{StreamId, Version};
use event_store::sqlite::{Options, Store};
use schemas::{Actor, Metadata, registry};
use streams::{Error, Start, Until};
use tempfile::TempDir;
use uuid::Uuid;

/// A log with one stream of names.
struct Log {
    store: Arc<Store>,
    stream: StreamId,
    _dir: TempDir,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path())).unwrap();
        Self { store, stream: StreamId::new("shop", stream::REFERENCE, "web-1"), _dir: dir }
    }

    async fn write(&self, kind: &str, schema_version: u32, data: &[u8], metadata: Bytes) -> Version {
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            kind: kind.into(),
            schema_version,
            data: Bytes::copy_from_slice(data),
            metadata,
        };
        let write = StreamWrite { stream: self.stream.clone(), expected: Expectation::Any, events: vec![event] };
        let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes: vec![write] };
        match self.store.append(batch).await.unwrap() {
            Outcome::Appended(receipt) => receipt.streams[0].last_version,
            other => panic!("{other:?}"),
        }
    }

    async fn happens(&self, event: Event) -> Version {
        let encoded = registry::encode(&event).unwrap();
        self.write(&encoded.kind, encoded.schema_version, &encoded.data, metadata()).await
    }

    async fn claim(&self, order: u128) -> Version {
        let order_id = domain::ids::OrderId(Uuid::from_u128(order));
        self.happens(Event::Reference(reference::Event::Claimed(reference::Claimed { order_id }))).await
    }

    async fn set_aside(&self, version: Version) -> Version {
        self.happens(Event::Record(record::Event::SetAside(record::SetAside {
            position: version,
            version,
            kind: "Dreamt".into(),
            unreadable: "not known".into(),
            reason: "a test".into(),
        })))
        .await
    }

    /// Which orders the stream names, folded.
    async fn orders(&self, until: Until, start: Option<Start<Vec<u128>>>) -> Result<Vec<u128>, Error> {
        streams::fold(&*self.store, &self.stream, until, start, Vec::new, |orders, _, event| {
            if let Some(Event::Reference(reference::Event::Claimed(it))) = event {
                orders.push(it.order_id.0.as_u128());
            }
        })
        .await
    }

    async fn stopped_at(&self, until: Until) -> Version {
        match self.orders(until, None).await {
            Err(Error::Unreadable(unreadable)) => unreadable.version,
            other => panic!("{other:?}"),
        }
    }
}

fn metadata() -> Bytes {
    Metadata::new(Actor { id: "clerk".into(), via: "test".into(), on_behalf_of: None }, Uuid::nil()).encode()
}

#[tokio::test]
async fn a_record_of_each_unreadable_sort_stops_the_reading_of_its_stream_there() {
    let claimed = br#"{"order_id":"01890a5d-ac96-774b-bcce-b302099a8057"}"#;
    let sorts: [(&str, u32, &[u8], Bytes); 5] = [
        ("Dreamt", 1, b"{}", metadata()),
        ("ReferenceClaimed", 2, claimed, metadata()),
        ("ReferenceClaimed", 1, b"{\"order_id\":", metadata()),
        ("ReferenceClaimed", 1, claimed, Bytes::from_static(b"{}")),
        ("OrderCompleted", 1, b"{}", metadata()),
    ];
    for (kind, schema_version, data, metadata) in sorts {
        let log = Log::new();
        log.claim(1).await;
        assert_eq!(log.write(kind, schema_version, data, metadata).await, 2);
        log.claim(3).await;
        assert_eq!(log.stopped_at(Until::End).await, 2, "{kind} {schema_version}");
        assert_eq!(log.orders(Until::Version(1), None).await.unwrap(), [1]);
        assert!(matches!(streams::after(&*log.store, &log.stream, 1).await, Err(Error::Unreadable(_))));
        assert!(streams::entries(&*log.store, &log.stream, Until::End).await.is_err());
        assert_eq!(streams::first_unreadable(&*log.store, &log.stream).await.unwrap().unwrap().version, 2);

        assert_eq!(log.set_aside(2).await, 4);
        assert_eq!(log.orders(Until::End, None).await.unwrap(), [1, 3], "{kind} {schema_version}");
        assert_eq!(
            log.orders(Until::Version(3), None).await.unwrap(),
            [1, 3],
            "what it was before is known now as well"
        );
        let entries = streams::after(&*log.store, &log.stream, 1).await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.event.is_some()).collect::<Vec<_>>(), [false, true, true]);
        assert!(streams::first_unreadable(&*log.store, &log.stream).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn each_unreadable_record_has_to_be_set_aside_by_itself() {
    let log = Log::new();
    log.write("Dreamt", 1, b"{}", metadata()).await;
    log.write("Dreamt", 1, b"{}", metadata()).await;
    log.claim(3).await;
    log.set_aside(2).await;
    assert_eq!(log.stopped_at(Until::End).await, 1);
    log.set_aside(1).await;
    assert_eq!(log.orders(Until::End, None).await.unwrap(), [3]);
}

#[tokio::test]
async fn what_was_set_aside_stays_so_when_a_later_version_can_read_it() {
    let log = Log::new();
    log.claim(1).await;
    // To an earlier version of the program this was not known.
    log.claim(2).await;
    log.claim(3).await;
    log.set_aside(2).await;
    log.claim(5).await;
    assert_eq!(log.orders(Until::End, None).await.unwrap(), [1, 3, 5]);
    // A snapshot that includes the record, made before it was set aside.
    let start = Start { state: vec![1, 2, 3], version: 3 };
    assert_eq!(log.orders(Until::End, Some(start)).await.unwrap(), [1, 3, 5]);
    let start = Start { state: vec![1, 3], version: 4 };
    assert_eq!(log.orders(Until::End, Some(start)).await.unwrap(), [1, 3, 5]);
}

#[tokio::test]
async fn a_fold_that_panics_at_a_record_stops_there() {
    let log = Log::new();
    log.claim(1).await;
    log.claim(2).await;
    let folded = streams::fold(
        &*log.store,
        &log.stream,
        Until::End,
        None,
        || 0_u32,
        |_, record, _| {
            assert!(record.version < 2, "no");
        },
    );
    match folded.await {
        Err(Error::Unreadable(unreadable)) => assert_eq!(unreadable.version, 2),
        other => panic!("{other:?}"),
    }
}
