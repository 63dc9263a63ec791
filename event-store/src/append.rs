//! The input and the outcome of an append. A batch is all or nothing; an outcome is never reported before the sync.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::heads::StreamHead;
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::store::Error;

/// What a stream must look like for the batch to go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The stream has no event.
    NoStream,
    /// The last event of the stream has this version *and* this id: a version alone does not identify a state.
    At {
        /// The version of the stream's last event.
        version: Version,
        /// The id of the event that has that version.
        event_id: Uuid,
    },
    /// No expectation; for imports of foreign logs only.
    Any,
}

/// An event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Unique over the whole log, permanently.
    pub event_id: Uuid,
    /// The stored type name.
    pub kind: std::sync::Arc<str>,
    /// The version of that type's schema.
    pub schema_version: u32,
    /// The payload's exact bytes.
    pub data: Bytes,
    /// The metadata's exact bytes.
    pub metadata: Bytes,
}

/// One stream's part in a batch. Without events the expectation is only checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// What it must look like.
    pub expected: Expectation,
    /// What to write to it, in order.
    pub events: Vec<NewEvent>,
}

impl StreamWrite {
    /// The version of its first event, if the stream's last event is as expected; otherwise the outcome to report.
    pub(crate) fn place(&self, last: Option<StreamHead>) -> Result<Version, Outcome> {
        let fits = match self.expected {
            Expectation::Any => true,
            Expectation::NoStream => last.is_none(),
            Expectation::At { version, event_id } => last == Some(StreamHead { version, event_id }),
        };
        if fits {
            return Ok(last.map_or(1, |last| last.version + 1));
        }
        Err(Outcome::Conflict {
            stream: self.stream.clone(),
            expected: self.expected,
            actual: last.map(|last| (last.version, last.event_id)),
        })
    }

    /// The stream's last event once this is written from a version on; `None` if nothing is.
    pub(crate) fn head_after(&self, first: Version) -> Option<StreamHead> {
        self.events
            .last()
            .map(|last| StreamHead { version: first + self.events.len() as u64 - 1, event_id: last.event_id })
    }

    /// How many bytes its events have.
    pub(crate) fn bytes(&self) -> usize {
        let events = self.events.iter();
        events.map(|event| event.data.len() + event.metadata.len()).sum()
    }
}

/// Everything that one command writes. Each stream occurs once; at least one event is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The command's id. A version 7 id means that this process has just generated it and that no earlier append can
    /// have used it, so the writer does not look it up in the durable index of command ids (it still checks the ids in
    /// flight and in memory).
    pub command_id: Uuid,
    /// A fingerprint of the request: the same command id with another fingerprint is refused.
    pub fingerprint: [u8; 32],
    /// The streams, with their expectations and new events.
    pub writes: Vec<StreamWrite>,
}

/// Where the events of one stream went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReceipt {
    /// The stream.
    pub stream: StreamId,
    /// The version of the first event written.
    pub first_version: Version,
    /// The version of the last event written.
    pub last_version: Version,
}

/// Where a batch went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The command.
    pub command_id: Uuid,
    /// The request's fingerprint.
    pub fingerprint: [u8; 32],
    /// The first position of the batch.
    pub first_position: Position,
    /// The last position of the batch.
    pub last_position: Position,
    /// When it was committed.
    pub recorded_at: Micros,
    /// The streams written, in the order of the batch (check-only streams left out).
    pub streams: Vec<StreamReceipt>,
}

impl Receipt {
    /// Adds the next record of the command's batch.
    pub(crate) fn add(receipt: &mut Option<Self>, record: Record) {
        let Record { position, version, stream, .. } = record;
        let receipt = receipt.get_or_insert_with(|| Self {
            command_id: record.command_id,
            fingerprint: record.fingerprint.unwrap_or_default(),
            first_position: position,
            last_position: position,
            recorded_at: record.recorded_at,
            streams: Vec::new(),
        });
        receipt.last_position = position;
        match receipt.streams.last_mut() {
            Some(last) if last.stream == stream => last.last_version = version,
            _ => receipt.streams.push(StreamReceipt { stream, first_version: version, last_version: version }),
        }
    }

    /// The outcome of a repetition of the command.
    pub(crate) fn repeated(self, fingerprint: &[u8; 32]) -> Outcome {
        if self.fingerprint == *fingerprint { Outcome::AlreadyAppended(self) } else { Outcome::CommandIdReused(self) }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log, durably.
    Appended(Receipt),
    /// The same command had been appended before, durably: its first receipt.
    AlreadyAppended(Receipt),
    /// A stream was not as expected; nothing was written.
    Conflict {
        /// The first stream of the batch that was not as expected.
        stream: StreamId,
        /// What was expected of it.
        expected: Expectation,
        /// Its last version and the id of that event, `None` if it has no event.
        actual: Option<(Version, Uuid)>,
    },
    /// The command id was used before with another fingerprint; nothing was written.
    CommandIdReused(Receipt),
}

/// An append on its way. Its place among the appends of this handle is fixed already; dropping it does not cancel the write.
#[derive(Debug)]
pub struct Pending(Inner);

#[derive(Debug)]
enum Inner {
    Waiting(oneshot::Receiver<Result<Outcome, Error>>),
    Returning(oneshot::Receiver<Answer>),
    Ready(Option<Result<Outcome, Error>>),
}

/// An outcome, with the batch that the store no longer needs: dropping it is the caller's work and not the writer's.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Result<Outcome, Error>,
    pub(crate) spent: Option<Spent>,
}

/// The values of a decided append that the caller drops.
pub(crate) type Spent = (Batch, Vec<u128>, Vec<[u8; 32]>);

impl Pending {
    /// An append whose outcome arrives with the values to drop.
    pub(crate) fn returning(receiver: oneshot::Receiver<Answer>) -> Self {
        Self(Inner::Returning(receiver))
    }

    /// An append whose outcome comes through `receiver`.
    pub fn waiting(receiver: oneshot::Receiver<Result<Outcome, Error>>) -> Self {
        Self(Inner::Waiting(receiver))
    }

    /// An append that is already decided, for example because the queue was full.
    pub fn ready(outcome: Result<Outcome, Error>) -> Self {
        Self(Inner::Ready(Some(outcome)))
    }
}

impl Future for Pending {
    type Output = Result<Outcome, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = || Err(Error::Unknown("the writer stopped before it answered".into()));
        match &mut self.0 {
            Inner::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|answer| answer.unwrap_or_else(|_| gone())),
            Inner::Returning(receiver) => Pin::new(receiver).poll(cx).map(|answer| match answer {
                Ok(Answer { outcome, spent }) => {
                    drop(spent);
                    outcome
                }
                Err(_) => gone(),
            }),
            Inner::Ready(outcome) => Poll::Ready(outcome.take().unwrap_or(Err(Error::Closed))),
        }
    }
}
