//! Random appends, conflicts, repetitions, crashes and reopenings against a plain model. In every case the log matches
//! the model: it contains all acknowledged batches, and of the unacknowledged ones a whole number, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_store::append::{Batch, Expectation, Outcome, Receipt, StreamReceipt, StreamWrite};
use event_store::record::StreamId;
use event_store::sqlite::Step;
use event_store::{Direction, Error, EventStore, Filter, verify};
use proptest::prelude::*;
use uuid::Uuid;

use crate::contract::{event, log, stream};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    Right,
    NoStream,
    Any,
    Stale,
    OtherId,
    Ahead,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Id {
    /// As the server makes them.
    New,
    /// As clients make them.
    Random(u64),
    /// That of an earlier batch, with its fingerprint or another.
    Earlier { which: usize, same: bool },
}

#[derive(Clone, Debug)]
pub(crate) struct Append {
    id: Id,
    writes: Vec<(u8, Expect, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Sent all at once, then awaited.
    Send(Vec<Append>),
    /// The same, with the process dying at a step.
    Crash(Step, Vec<Append>),
    /// The same, while no group can be written: none of them is, and nothing shows them.
    Fail(Vec<Append>),
    Reopen,
    LoseIndex,
    Read {
        stream: u8,
        from: u64,
        limit: usize,
    },
}

fn appends() -> impl Strategy<Value = Vec<Append>> {
    let expect = prop_oneof![
        6 => Just(Expect::Right), 2 => Just(Expect::Any), 1 => Just(Expect::NoStream),
        1 => Just(Expect::Stale), 1 => Just(Expect::OtherId), 1 => Just(Expect::Ahead),
    ];
    let id = prop_oneof![
        4 => Just(Id::New), 4 => any::<u64>().prop_map(Id::Random),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, same)| Id::Earlier { which, same }),
    ];
    let writes = proptest::collection::vec((0..7_u8, expect, 0..4_usize), 1..4);
    let append = (id, writes).prop_map(|(id, writes)| Append { id, writes });
    proptest::collection::vec(append, 1..12)
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => appends().prop_map(Op::Send),
        3 => (proptest::sample::select(Step::ALL.to_vec()), appends()).prop_map(|(step, sent)| Op::Crash(step, sent)),
        2 => appends().prop_map(Op::Fail),
        1 => Just(Op::Reopen),
        1 => Just(Op::LoseIndex),
        3 => (0..7_u8, 0..12_u64, 0..9_usize).prop_map(|(stream, from, limit)| Op::Read { stream, from, limit }),
    ];
    proptest::collection::vec(op, 1..14)
}

/// What the store is, said in the plainest way.
#[derive(Clone, Default)]
struct Model {
    /// The records: their stream, version, id and command.
    log: Vec<(StreamId, u64, Uuid, Uuid)>,
    streams: HashMap<StreamId, Vec<Uuid>>,
    commands: HashMap<Uuid, Receipt>,
}

impl Model {
    fn head(&self, stream: &StreamId) -> Option<(u64, Uuid)> {
        let ids = self.streams.get(stream)?;
        Some((ids.len() as u64, *ids.last()?))
    }

    fn append(&mut self, batch: &Batch) -> Outcome {
        if let Some(receipt) = self.commands.get(&batch.command_id).cloned() {
            let same = receipt.fingerprint == batch.fingerprint;
            return if same { Outcome::AlreadyAppended(receipt) } else { Outcome::CommandIdReused(receipt) };
        }
        for write in &batch.writes {
            let actual = self.head(&write.stream);
            let fits = match write.expected {
                Expectation::Any => true,
                Expectation::NoStream => actual.is_none(),
                Expectation::At { version, event_id } => actual == Some((version, event_id)),
            };
            if !fits {
                return Outcome::Conflict { stream: write.stream.clone(), expected: write.expected, actual };
            }
        }
        let first_position = self.log.len() as u64 + 1;
        let mut streams = Vec::new();
        for StreamWrite { stream, events, .. } in &batch.writes {
            if events.is_empty() {
                continue;
            }
            let ids = self.streams.entry(stream.clone()).or_default();
            let first_version = ids.len() as u64 + 1;
            for event in events {
                ids.push(event.event_id);
                self.log.push((stream.clone(), ids.len() as u64, event.event_id, batch.command_id));
            }
            streams.push(StreamReceipt { stream: stream.clone(), first_version, last_version: ids.len() as u64 });
        }
        let receipt = Receipt {
            command_id: batch.command_id,
            fingerprint: batch.fingerprint,
            first_position,
            last_position: self.log.len() as u64,
            recorded_at: 0,
            streams,
        };
        self.commands.insert(batch.command_id, receipt.clone());
        Outcome::Appended(receipt)
    }

    /// The batch that an [`Append`] stands for, as things are.
    fn batch(&self, append: &Append, sent: &[Batch]) -> Batch {
        let mut writes: Vec<StreamWrite> = Vec::new();
        for &(number, expect, events) in &append.writes {
            let stream = stream(&format!("s{number}"));
            if writes.iter().any(|write| write.stream == stream) {
                continue;
            }
            let head = self.head(&stream);
            let at = |version, event_id| Expectation::At { version, event_id };
            let expected = match (expect, head) {
                (Expect::Any, _) => Expectation::Any,
                (Expect::NoStream, _) | (Expect::Right, None) => Expectation::NoStream,
                (Expect::Right, Some((version, id))) => at(version, id),
                (Expect::Stale, Some((version, _))) if version > 1 => {
                    at(version - 1, self.streams[&stream][version as usize - 2])
                }
                (Expect::Ahead, Some((version, id))) => at(version + 1, id),
                (Expect::OtherId, Some((version, _))) => at(version, Uuid::now_v7()),
                (Expect::Stale | Expect::Ahead | Expect::OtherId, _) => at(1, Uuid::now_v7()),
            };
            let events = (0..events).map(|n| event(&format!("{n}"))).collect();
            writes.push(StreamWrite { stream, expected, events });
        }
        if writes.iter().all(|write| write.events.is_empty()) {
            writes[0].events.push(event("one at least"));
        }
        let (command_id, fingerprint) = match append.id {
            Id::Earlier { which, same } if !sent.is_empty() => {
                let earlier = &sent[which % sent.len()];
                (earlier.command_id, if same { earlier.fingerprint } else { [0; 32] })
            }
            Id::Random(key) => (Uuid::new_v5(&Uuid::NAMESPACE_OID, &key.to_be_bytes()), [1; 32]),
            _ => (Uuid::now_v7(), [2; 32]),
        };
        Batch { command_id, fingerprint, writes }
    }
}

/// Where the store is.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// Opens it; the one before is gone.
    async fn open(&self) -> Arc<dyn EventStore>;

    /// Makes the process die the next time that it reaches this step, or never; false if it cannot.
    fn arm(&self, step: Option<Step>) -> bool;

    /// Whether it is still to die.
    fn is_armed(&self) -> bool;

    /// Lets every group fail before its commit, or none; false if it cannot.
    fn fill(&self, full: bool) -> bool;

    /// Loses what can be rebuilt from the log.
    fn lose_index(&self);

    /// The same log, opened for reading, with nothing of it in memory.
    async fn on_disk(&self) -> Arc<dyn EventStore>;
}

/// The current store, the model beside it, and everything that was sent.
struct Run<'a> {
    place: &'a dyn Place,
    store: Option<Arc<dyn EventStore>>,
    model: Model,
    sent: Vec<Batch>,
}

/// Does the steps and compares everything that can be read at the end.
pub(crate) async fn run(place: &dyn Place, ops: Vec<Op>) {
    let mut run = Run { store: Some(place.open().await), place, model: Model::default(), sent: Vec::new() };
    for op in ops {
        run.step(op).await;
    }
    run.compare().await;
    run.store().close().await.unwrap();
}

impl Run<'_> {
    fn store(&self) -> &dyn EventStore {
        &**self.store.as_ref().unwrap()
    }

    async fn open(&mut self) {
        self.store = Some(self.place.open().await);
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Send(appends) => {
                for (expected, outcome) in self.send(appends).await {
                    assert_eq!(plain(outcome.unwrap()), expected.1);
                }
            }
            Op::Crash(step, appends) => self.crash(step, appends).await,
            Op::Fail(appends) => self.fail(appends).await,
            Op::Reopen => {
                self.store().close().await.unwrap();
                self.store = None;
                self.open().await;
                self.compare().await;
            }
            Op::LoseIndex => {
                // Without a close: the threads write what is queued, and the files stay as they are then.
                self.store = None;
                self.place.lose_index();
                self.open().await;
                self.compare().await;
            }
            Op::Read { stream: number, from, limit } => {
                let stream = stream(&format!("s{number}"));
                let ids = self.model.streams.get(&stream).cloned().unwrap_or_default();
                let all: Vec<(u64, Uuid)> = (1..).zip(ids).collect();
                let wanted: Vec<_> = all.iter().filter(|(version, _)| *version >= from).take(limit).copied().collect();
                assert_eq!(self.read(&stream, from, Direction::Forwards, limit).await, wanted);
                let wanted: Vec<_> =
                    all.iter().rev().filter(|(version, _)| *version <= from).take(limit).copied().collect();
                assert_eq!(self.read(&stream, from, Direction::Backwards, limit).await, wanted);
            }
        }
    }

    async fn read(&self, stream: &StreamId, from: u64, direction: Direction, limit: usize) -> Vec<(u64, Uuid)> {
        let records = self.store().read_stream(stream, from, direction, limit).await.unwrap();
        records.iter().map(|record| (record.version, record.event_id)).collect()
    }

    /// Sends all, then waits for all: what the model says (with the model as it was before), and what the store says.
    async fn send(&mut self, appends: Vec<Append>) -> Vec<((Model, Outcome), Result<Outcome, Error>)> {
        let mut pending = Vec::new();
        for append in appends {
            let batch = self.model.batch(&append, &self.sent);
            let before = self.model.clone();
            let expected = self.model.append(&batch);
            pending.push(((before, expected), self.store().append(batch.clone())));
            self.sent.push(batch);
        }
        let mut answers = Vec::new();
        for (expected, pending) in pending {
            answers.push((expected, pending.await));
        }
        answers
    }

    /// Sends while the disk is full: what is answered rests on nothing of this.
    async fn fail(&mut self, appends: Vec<Append>) {
        if !self.place.fill(true) {
            return;
        }
        let before = self.model.clone();
        for (_, outcome) in self.send(appends).await {
            let right = matches!(outcome, Err(Error::NotNow(_)) | Ok(Outcome::Conflict { .. }))
                || matches!(outcome, Ok(Outcome::AlreadyAppended(_) | Outcome::CommandIdReused(_)));
            assert!(right, "{outcome:?}");
        }
        self.place.fill(false);
        self.model = before;
        self.compare().await;
    }

    /// Sends while a step is armed, opens again, and finds out how much went in.
    async fn crash(&mut self, step: Step, appends: Vec<Append>) {
        if !self.place.arm(Some(step)) {
            for (expected, outcome) in self.send(appends).await {
                assert_eq!(plain(outcome.unwrap()), expected.1);
            }
            return;
        }
        let answers = self.send(appends).await;
        if matches!(step, Step::IndexWritten | Step::IndexCommitted) {
            for _ in 0..50 {
                if !self.place.is_armed() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        self.place.arm(None);
        self.store = None;
        self.open().await;
        let length = self.store().head().borrow().position;

        let mut least = 0;
        let after_all = self.model.clone();
        let mut befores: Vec<Model> = Vec::new();
        for ((before, expected), outcome) in answers {
            match outcome {
                Ok(outcome) => {
                    assert_eq!(plain(outcome.clone()), expected);
                    if let Outcome::Appended(receipt) = outcome {
                        least = least.max(receipt.last_position);
                    }
                }
                Err(Error::Closed) => {
                    assert!(length <= before.log.len() as u64, "a batch that was surely not taken is in the log");
                }
                Err(Error::Unknown(_)) => {}
                Err(other) => panic!("{other}"),
            }
            befores.push(before);
        }
        befores.push(after_all);
        assert!(length >= least, "acknowledged up to {least}, but the log ends at {length}");
        let landed = befores.into_iter().rfind(|model| model.log.len() as u64 == length);
        self.model = landed.expect("the log ends where a batch ends");
        self.compare().await;
        // Sending all of them again finds those that are there, and puts the others in or refuses them: once.
        for batch in self.sent.clone() {
            let outcome = self.store().append(batch.clone()).await.unwrap();
            assert_eq!(plain(outcome), self.model.append(&batch));
        }
        self.compare().await;
    }

    /// Everything that can be read is what the model says.
    async fn compare(&self) {
        let records = log(self.store(), &Filter::default(), 5).await;
        let found: Vec<_> = records
            .into_iter()
            .map(|record| (record.stream, record.version, record.event_id, record.command_id))
            .collect();
        assert_eq!(found, self.model.log);
        // What followers get from memory is what the database has.
        let disk = self.place.on_disk().await;
        let some = Filter { kinds: vec!["Other".into()], ..Filter::default() };
        for (filter, limit) in [(Filter::default(), 1), (Filter::default(), 7), (some, 1)] {
            assert_eq!(log(self.store(), &filter, limit).await, log(&*disk, &filter, limit).await);
        }
        disk.close().await.unwrap();
        for (stream, ids) in &self.model.streams {
            let all: Vec<(u64, Uuid)> = (1..).zip(ids.iter().copied()).collect();
            assert_eq!(self.read(stream, 1, Direction::Forwards, usize::MAX).await, all);
            assert_eq!(self.store().stream_head(stream).await.unwrap(), self.model.head(stream));
        }
        for batch in &self.sent {
            let receipt = self.store().command(batch.command_id).await.unwrap();
            let receipt = receipt.map(|receipt| Receipt { recorded_at: 0, ..receipt });
            assert_eq!(receipt.as_ref(), self.model.commands.get(&batch.command_id));
        }
        verify::chain(self.store(), 0, |_| {}).await.unwrap();
    }
}

/// An outcome without the instant, which the model cannot know.
fn plain(outcome: Outcome) -> Outcome {
    let timeless = |receipt: Receipt| Receipt { recorded_at: 0, ..receipt };
    match outcome {
        Outcome::Appended(receipt) => Outcome::Appended(timeless(receipt)),
        Outcome::AlreadyAppended(receipt) => Outcome::AlreadyAppended(timeless(receipt)),
        Outcome::CommandIdReused(receipt) => Outcome::CommandIdReused(timeless(receipt)),
        conflict @ Outcome::Conflict { .. } => conflict,
    }
}
