//! A store on PostgreSQL as a proof sees it: its snapshots, beside the log. The server's own indexes are the server's to keep.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row};

use super::reader::reading;
use super::rows::{read_error, signed, text};
use super::snapshots;
use super::store::Store;
use crate::audit::{Audit, IndexAudit, Kept};
use crate::record::StreamId;
use crate::store::Error;

/// The key of a snapshot: tenant, category, stream id, fold.
type Place = (Vec<u8>, Vec<u8>, Vec<u8>, i64);

const AFTER: &str = "SELECT s.tenant, s.category, s.stream_id, s.fold, s.version, s.event_id, s.state, s.proof, e.hash \
    FROM daybook.snapshot s LEFT JOIN LATERAL (SELECT hash FROM daybook.events WHERE tenant = s.tenant AND category = s.category \
      AND stream_id = s.stream_id AND version = s.version AND event_id = s.event_id LIMIT 1) e ON true \
    WHERE (s.tenant, s.category, s.stream_id, s.fold) > ($1, $2, $3, $4) ORDER BY 1, 2, 3, 4 LIMIT $5";

#[async_trait]
impl Audit for Store {
    async fn snapshots(&self, after: Option<Bytes>, limit: usize) -> Result<(Vec<Kept>, Option<Bytes>), Error> {
        let place = after.and_then(|after| serde_json::from_slice(&after).ok());
        let (tenant, category, id, fold): Place = place.unwrap_or_else(|| (vec![], vec![], vec![], -1));
        let found = reading!(self.shared, connection => sqlx::query::<Postgres>(AFTER)
            .bind(&tenant)
            .bind(&category)
            .bind(&id)
            .bind(fold)
            .bind(signed(limit as u64))
            .fetch_all(connection));
        let rows = found?;
        let read = || {
            let kept = rows.iter().map(audited).collect::<sqlx::Result<Vec<_>>>()?;
            let next = rows.last().map(place_of).transpose()?;
            Ok((kept, next))
        };
        let (kept, next) = read().map_err(|error: sqlx::Error| read_error(&error))?;
        let next = next.and_then(|next| serde_json::to_vec(&next).ok()).map(Bytes::from);
        Ok((kept, next))
    }

    async fn index(&self) -> Result<Option<IndexAudit>, Error> {
        Ok(None)
    }
}

fn place_of(row: &PgRow) -> sqlx::Result<Place> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
}

fn audited(row: &PgRow) -> sqlx::Result<Kept> {
    let stream = StreamId::new(text(row.try_get(0)?)?, text(row.try_get(1)?)?, text(row.try_get(2)?)?);
    let fold = u32::try_from(row.try_get::<i64, _>(3)?).unwrap_or(u32::MAX);
    let (snapshot, holds) = snapshots::kept(row, 4, &stream, fold)?;
    Ok(Kept { stream: Some(stream), snapshot, holds })
}
