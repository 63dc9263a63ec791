//! Records become messages, and messages go out in atomic batches: whole or not at all, and only after the message that they follow.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SEQUENCE,
};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use bytes::Bytes;
use event_store::hash::Hash;
use event_store::partition::{self, CORRELATIONS, Correlate, STREAMS};
use event_store::record::{Position, Record};
use uuid::Uuid;

use crate::connection::Connection;
use crate::envelope::{Ends, Envelope};
use crate::frame::{self, Malformed};
use crate::names;

/// The server's bound on an atomic batch.
const MESSAGES: usize = 1_000;
/// The most bytes of one batch: the server holds it in memory until it is complete.
const BYTES: usize = 8 * 1024 * 1024;
/// The server forgets a batch that is not complete within ten seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// Where the stream ends.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub(super) position: Position,
    pub(super) hash: Hash,
    /// Where this relay began to count.
    pub(super) since: Position,
    /// The last position in each partition; `since` for a partition without records since the relay's start. A relay
    /// does not know the positions before, so an unsure reader asks the store once.
    pub(super) streams: [Position; STREAMS as usize],
    pub(super) correlations: [Position; CORRELATIONS as usize],
}

impl Tail {
    pub(super) fn at(position: Position, hash: Hash) -> Self {
        Self {
            position,
            hash,
            since: position,
            streams: [position; STREAMS as usize],
            correlations: [position; CORRELATIONS as usize],
        }
    }
}

/// Messages to be published together, and where the stream ends when they are there.
pub(super) struct Batch {
    messages: Vec<Message>,
    pub(super) after: Tail,
}

struct Message {
    subject: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

/// The identity of a relay in its messages.
pub(super) struct Sender<'a> {
    pub(super) generation: u64,
    pub(super) incarnation: Uuid,
    pub(super) epoch: u64,
    pub(super) correlate: &'a Correlate,
}

impl Sender<'_> {
    /// The batches for a page of the log that follows `tail`. The page ends where a command does.
    pub(super) fn compose(&self, records: &[Record], mut tail: Tail) -> Result<Vec<Batch>, Malformed> {
        let places: Vec<(u32, u32)> = records.iter().map(|record| self.place(record)).collect();
        let ends = ends(records, &places);
        let mut batches = Vec::new();
        let mut messages = Vec::new();
        let mut bytes = 0;
        for ((record, &(stream, correlation)), ends) in records.iter().zip(&places).zip(ends) {
            // Headers and subject come to less than this for names of the usual length.
            let weight = frame::size(record) + 1_024;
            if messages.len() == MESSAGES || (bytes + weight > BYTES && !messages.is_empty()) {
                batches.push(Batch { messages: std::mem::take(&mut messages), after: tail.clone() });
                bytes = 0;
            }
            bytes += weight;
            let body = frame::encode(record, &tail.hash)?;
            let (s, c) = (stream as usize, correlation as usize);
            let envelope = Envelope {
                position: record.position,
                stream_previous: tail.streams[s],
                correlation_previous: tail.correlations[c],
                ends,
                hash: record.hash,
                incarnation: self.incarnation,
                epoch: self.epoch,
            };
            let category = &record.stream.category;
            messages.push(Message {
                subject: names::event(self.generation, stream, correlation, category, &record.kind),
                headers: envelope.headers(),
                body,
            });
            tail.position = record.position;
            tail.hash = record.hash;
            tail.streams[s] = record.position;
            tail.correlations[c] = record.position;
        }
        if !messages.is_empty() {
            batches.push(Batch { messages, after: tail });
        }
        Ok(batches)
    }

    fn place(&self, record: &Record) -> (u32, u32) {
        let correlation = (self.correlate)(record);
        (partition::of_stream(&record.stream), partition::of_correlation(&record.stream.tenant, correlation))
    }
}

/// Which records are the last of their command, in the log and in their partitions.
fn ends(records: &[Record], places: &[(u32, u32)]) -> Vec<Ends> {
    let mut ends = vec![Ends::default(); records.len()];
    let mut command = None;
    let (mut streams, mut correlations) = (0_u64, 0_u64);
    for (index, record) in records.iter().enumerate().rev() {
        let last = command != Some(record.command_id);
        if last {
            command = Some(record.command_id);
            (streams, correlations) = (0, 0);
        }
        let (stream, correlation) = (1 << places[index].0, 1 << places[index].1);
        ends[index] = Ends { log: last, stream: streams & stream == 0, correlation: correlations & correlation == 0 };
        streams |= stream;
        correlations |= correlation;
    }
    ends
}

/// Why a batch is not known to be in the stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The stream does not end where it was expected to: another relay published, or the stream was lost.
    #[error("the stream does not end where it was expected to")]
    Refused,
    /// The server said no for another reason.
    #[error("it was refused: {0}")]
    No(String),
    /// It may or may not be there.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// Publishes a batch behind the message with sequence `last`.
pub(super) async fn publish(connection: &Connection, batch: Batch, last: u64) -> Result<Tail, Failure> {
    let count = batch.messages.len() as u64;
    let sending = send(connection, batch.messages, last);
    let answer = match tokio::time::timeout(LIMIT, sending).await {
        Ok(answer) => answer?,
        Err(_) => return Err(Failure::Unknown("no answer in time".into())),
    };
    match answer {
        Response::Ok(ack) if ack.sequence == last + count && ack.batch_size == Some(count) => Ok(batch.after),
        Response::Ok(ack) => Err(Failure::Unknown(format!("an unexpected answer: {ack:?}"))),
        Response::Err { error } if error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Err(Failure::Refused),
        Response::Err { error } => Err(Failure::No(error.to_string())),
    }
}

async fn send(connection: &Connection, messages: Vec<Message>, last: u64) -> Result<Response<PublishAck>, Failure> {
    let client = connection.client();
    let id = Uuid::now_v7().simple().to_string();
    let count = messages.len();
    for (index, message) in messages.into_iter().enumerate() {
        let Message { subject, mut headers, body } = message;
        headers.insert(NATS_BATCH_ID, id.as_str());
        headers.insert(NATS_BATCH_SEQUENCE, (index + 1).to_string());
        if index == 0 {
            headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last.to_string());
        }
        if index + 1 < count {
            client
                .publish_with_headers(subject, headers, body)
                .await
                .map_err(|error| Failure::No(error.to_string()))?;
            continue;
        }
        headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        let answer = client
            .request_with_headers(subject, headers, body)
            .await
            .map_err(|error| Failure::Unknown(error.to_string()))?;
        return serde_json::from_slice(&answer.payload).map_err(|error| Failure::Unknown(error.to_string()));
    }
    Err(Failure::No("an empty batch".into()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use event_store::record::StreamId;

    use super::*;

    fn record(position: Position, command: u128) -> Record {
        Record {
            position,
            stream: StreamId::new("acme", "order", "a"),
            version: position,
            event_id: Uuid::from_u128(u128::from(position)),
            kind: "Happened".into(),
            schema_version: 1,
            data: Bytes::new(),
            metadata: Bytes::new(),
            command_id: Uuid::from_u128(command),
            fingerprint: None,
            recorded_at: 1,
            hash: [position as u8; 32],
        }
    }

    #[test]
    fn every_partition_of_a_command_has_one_end() {
        let records = [1, 1, 1, 2].map({
            let mut position = 0;
            move |command| {
                position += 1;
                record(position, command)
            }
        });
        let ends = ends(&records, &[(3, 0), (5, 0), (3, 1), (3, 1)]);
        let marks: Vec<_> = ends.iter().map(|end| (end.log, end.stream, end.correlation)).collect();
        assert_eq!(marks, [(false, false, false), (false, true, true), (true, true, true), (true, true, true)]);
    }

    #[test]
    fn batches_keep_to_the_servers_bound() {
        let correlate: Correlate = std::sync::Arc::new(|record| record.event_id);
        let sender = Sender { generation: 1, incarnation: Uuid::nil(), epoch: 1, correlate: &correlate };
        let records: Vec<_> = (1..=2_500).map(|position| record(position, 1)).collect();
        let batches = sender.compose(&records, Tail::at(0, [0; 32])).unwrap();
        let sizes: Vec<_> = batches.iter().map(Batch::len).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        assert_eq!(batches[1].after.position, 2_000);
        assert_eq!(batches[2].after.position, 2_500);
    }
}
