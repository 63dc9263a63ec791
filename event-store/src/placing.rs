//! Gives the batches of a group their places: positions, versions, hashes. Pure, and the same for every backend.

use crate::append::{Batch, Expectation, Receipt, StreamReceipt};
use crate::hash::{self, Hash, Leaf};
use crate::record::{Record, Version};
use crate::store::Head;

/// Places a batch that was accepted after `head`, which moves to its end; adds its records and returns its receipt. `starts` are the first
/// versions of its writes, `leaves` the leaves of its events as far as they were known before the versions were.
pub(crate) fn place(
    batch: &Batch,
    leaves: &[Hash],
    starts: &[Version],
    head: &mut Head,
    records: &mut Vec<Record>,
) -> Receipt {
    let first_position = head.position + 1;
    let mut leaves = leaves.iter();
    let mut streams = Vec::with_capacity(batch.writes.len());
    let mut fingerprint = Some(&batch.fingerprint);
    for (write, &start) in batch.writes.iter().zip(starts) {
        for (event, version) in write.events.iter().zip(start..) {
            let fingerprint = fingerprint.take();
            let covered = || Leaf::new(&write.stream, version, event, batch.command_id, fingerprint);
            let ready = if write.expected == Expectation::Any { None } else { leaves.next() };
            let leaf = ready.copied().unwrap_or_else(|| hash::leaf(&covered()));
            head.position += 1;
            head.hash = hash::chain(&head.hash, head.position, head.recorded_at, &leaf);
            records.push(Record {
                position: head.position,
                stream: write.stream.clone(),
                version,
                event_id: event.event_id,
                kind: event.kind.clone(),
                schema_version: event.schema_version,
                data: event.data.clone(),
                metadata: event.metadata.clone(),
                command_id: batch.command_id,
                fingerprint: fingerprint.copied(),
                recorded_at: head.recorded_at,
                hash: head.hash,
            });
        }
        if !write.events.is_empty() {
            let last_version = start + write.events.len() as u64 - 1;
            streams.push(StreamReceipt { stream: write.stream.clone(), first_version: start, last_version });
        }
    }
    Receipt {
        command_id: batch.command_id,
        fingerprint: batch.fingerprint,
        first_position,
        last_position: head.position,
        recorded_at: head.recorded_at,
        streams,
    }
}
