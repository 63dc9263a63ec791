//! Writes rows of the log: one statement for a whole group of any length.

use sqlx::Postgres;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::rows::signed;
use crate::hash::Hash;
use crate::record::{Micros, Record};
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
    /// The rows of records that follow each other.
    pub(super) fn of(records: &'a [Record]) -> Self {
        let mut rows = Self::default();
        for record in records {
            rows.put(record);
        }
        rows
    }

    fn put(&mut self, record: &'a Record) {
        self.instants.push(record.recorded_at);
        self.versions.push(signed(record.version));
        self.schema_versions.push(i64::from(record.schema_version));
        self.event_ids.push(record.event_id);
        self.command_ids.push(record.command_id);
        self.tenants.push(record.stream.tenant.as_bytes());
        self.categories.push(record.stream.category.as_bytes());
        self.streams.push(record.stream.id.as_bytes());
        self.kinds.push(record.kind.as_bytes());
        self.hashes.push(record.hash);
        self.fingerprints.push(record.fingerprint.as_ref().map(|bytes| &bytes[..]));
        self.metadata.push(&record.metadata);
        self.data.push(&record.data);
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
