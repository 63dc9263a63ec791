//! A store with a few commands in it, and the answers that their clients ought to have got.

use std::sync::Arc;

use event_store::EventStore;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, Receipt, StreamWrite};
use event_store::record::{StreamId, Version};
use event_store::sqlite::{Options, Store};
use uuid::Uuid;

use crate::{Answer, Call, History, Invariant, Report, check, command_id};

pub(super) const TENANT: &str = "acme";

/// A stream of orders.
pub(super) fn order(id: &str) -> StreamId {
    StreamId::new(TENANT, "order", id)
}

/// The command of a key.
pub(super) fn id(key: &str) -> Uuid {
    command_id(TENANT, key)
}

/// A call of a key whose request is the key itself.
pub(super) fn call(key: &str) -> Call {
    Call::keyed(TENANT, key, key, &[key.as_bytes()])
}

/// A history, a store, and what holds them together.
pub(super) struct Given {
    pub(super) history: History,
    pub(super) store: Arc<Store>,
    _folder: tempfile::TempDir,
}

impl Given {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path())).unwrap();
        Self { history: History::new(), store, _folder: folder }
    }

    async fn append(&self, key: &str, writes: Vec<StreamWrite>) -> Receipt {
        let batch = Batch { command_id: id(key), fingerprint: [7; 32], writes };
        match self.store.append(batch).await.unwrap() {
            Outcome::Appended(receipt) => receipt,
            other => panic!("{other:?}"),
        }
    }

    /// What a command of this key writes: so many events to an order.
    pub(super) async fn wrote(&self, key: &str, stream: &str, events: usize) -> Answer {
        let stream = order(stream);
        let events = (0..events).map(|number| event("OrderNoted", format!("{{\"number\":{number}}}"))).collect();
        let write = StreamWrite { stream: stream.clone(), expected: self.now(&stream).await, events };
        let receipt = self.append(key, vec![write]).await;
        Answer {
            status: 200,
            position: Some(receipt.last_position),
            versions: vec![(stream, receipt.streams[0].last_version)],
            body: key.into(),
            ..Answer::default()
        }
    }

    /// A refusal of this key, put on record as resting on a version of an order.
    pub(super) async fn refused(&self, key: &str, stream: &str, rests_on: Version) -> Answer {
        let data = format!(
            "{{\"verdict\":\"refused\",\"class\":\"conflict\",\"code\":\"order-state\",\"message\":\"no\",\"details\":{{}},\
             \"rests_on\":[{{\"category\":\"order\",\"id\":\"{stream}\",\"version\":{rests_on}}}]}}"
        );
        let write = StreamWrite {
            stream: StreamId::new(TENANT, "outcome", id(key).to_string()),
            expected: Expectation::NoStream,
            events: vec![event("CommandSettled", data)],
        };
        let receipt = self.append(key, vec![write]).await;
        Answer {
            status: 409,
            code: Some("order-state".into()),
            position: Some(receipt.last_position),
            body: key.into(),
            ..Answer::default()
        }
    }

    /// A command that takes effect and is acknowledged.
    pub(super) async fn done(&self, client: &str, key: &str, stream: &str, events: usize) -> Answer {
        let invocation = self.history.invoke(client, call(key));
        let answer = self.wrote(key, stream, events).await;
        invocation.ok(answer.clone());
        answer
    }

    async fn now(&self, stream: &StreamId) -> Expectation {
        match self.store.stream_head(stream).await.unwrap() {
            Some((version, event_id)) => Expectation::At { version, event_id },
            None => Expectation::NoStream,
        }
    }

    pub(super) async fn check(&self) -> Report {
        check(&self.history, &*self.store).await.unwrap()
    }

    pub(super) async fn check_against(&self, store: &dyn EventStore) -> Report {
        check(&self.history, store).await.unwrap()
    }
}

fn event(kind: &str, data: String) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        kind: kind.into(),
        schema_version: 1,
        data: data.into(),
        metadata: "{}".into(),
    }
}

/// That one promise is broken, so often, and no other.
#[track_caller]
pub(super) fn only(report: &Report, invariant: Invariant, times: u64) {
    let found: Vec<_> = report.totals.iter().map(|(name, n)| (*name, *n)).collect();
    assert_eq!(found, [(invariant, times)], "{report}");
}
