//! Writes rows of the log: one statement for a whole group of any length.

use sqlx::Postgres;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::queue::Prepared;
use super::rows::signed;
use crate::append::{Expectation, Receipt, StreamReceipt};
use crate::hash::{self, Hash, Leaf};
use crate::record::Micros;
use crate::store::Head;

/// All rows of a group, and the head after them.
const WRITE: &str = "
WITH put AS (
  INSERT INTO daybook.events (position, recorded_at, version, schema_version, event_id, command_id, tenant, category, stream_id,
    kind, hash, fingerprint, metadata, data)
  SELECT $1 + n, recorded_at, version, schema_version, event_id, command_id, tenant, category, stream_id,
    kind, hash, fingerprint, metadata, data
  FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::bytea[], $8::bytea[], $9::bytea[],
    $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::bytea[]) WITH ORDINALITY
    AS r (recorded_at, version, schema_version, event_id, command_id, tenant, category, stream_id,
      kind, hash, fingerprint, metadata, data, n))
UPDATE daybook.head SET position = $15, hash = $16, recorded_at = $17, answered_to = $18";

/// The rows of a group, column by column.
#[derive(Default)]
pub(super) struct Rows<'a> {
    instants: Vec<Micros>,
    versions: Vec<i64>,
    schema_versions: Vec<i64>,
    event_ids: Vec<Uuid>,
    command_ids: Vec<Uuid>,
    tenants: Vec<&'a [u8]>,
    categories: Vec<&'a [u8]>,
    streams: Vec<&'a [u8]>,
    kinds: Vec<&'a [u8]>,
    hashes: Vec<Hash>,
    fingerprints: Vec<Option<&'a [u8]>>,
    metadata: Vec<&'a [u8]>,
    data: Vec<&'a [u8]>,
}

impl<'a> Rows<'a> {
    /// The rows of a batch that goes in after `head`, which moves on; its receipt.
    pub(super) fn put_batch(&mut self, head: &mut Head, prepared: &'a Prepared, starts: &[u64]) -> Receipt {
        let batch = &prepared.batch;
        let first_position = head.position + 1;
        let mut leaves = prepared.leaves.iter();
        let mut streams = Vec::with_capacity(batch.writes.len());
        let mut fingerprint = Some(&batch.fingerprint);
        for (write, &start) in batch.writes.iter().zip(starts) {
            for (event, version) in write.events.iter().zip(start..) {
                let covered = Leaf::new(&write.stream, version, event, batch.command_id, fingerprint.take());
                let ready = if write.expected == Expectation::Any { None } else { leaves.next() };
                let leaf = ready.copied().unwrap_or_else(|| hash::leaf(&covered));
                head.position += 1;
                head.hash = hash::chain(&head.hash, head.position, head.recorded_at, &leaf);
                self.put(&covered, head);
            }
            if !write.events.is_empty() {
                streams.push(StreamReceipt {
                    stream: write.stream.clone(),
                    first_version: start,
                    last_version: start + write.events.len() as u64 - 1,
                });
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

    /// Adds a row; `head` is the head before it.
    pub(super) fn put(&mut self, event: &Leaf<'a>, head: &Head) {
        self.instants.push(head.recorded_at);
        self.versions.push(signed(event.version));
        self.schema_versions.push(i64::from(event.schema_version));
        self.event_ids.push(event.event_id);
        self.command_ids.push(event.command_id);
        self.tenants.push(event.stream.tenant.as_bytes());
        self.categories.push(event.stream.category.as_bytes());
        self.streams.push(event.stream.id.as_bytes());
        self.kinds.push(event.kind.as_bytes());
        self.hashes.push(head.hash);
        self.fingerprints.push(event.fingerprint.map(|bytes| &bytes[..]));
        self.metadata.push(event.metadata);
        self.data.push(event.data);
    }

    /// Writes the rows after `before` and moves the head to `after`.
    pub(super) async fn write(
        self,
        connection: &mut PgConnection,
        before: Head,
        after: Head,
        answered_to: Micros,
    ) -> sqlx::Result<()> {
        let moved = sqlx::query::<Postgres>(WRITE)
            .bind(signed(before.position))
            .bind(self.instants)
            .bind(self.versions)
            .bind(self.schema_versions)
            .bind(self.event_ids)
            .bind(self.command_ids)
            .bind(self.tenants)
            .bind(self.categories)
            .bind(self.streams)
            .bind(self.kinds)
            .bind(self.hashes)
            .bind(self.fingerprints)
            .bind(self.metadata)
            .bind(self.data)
            .bind(signed(after.position))
            .bind(&after.hash[..])
            .bind(after.recorded_at)
            .bind(answered_to)
            .execute(connection)
            .await?;
        if moved.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
    }
}
