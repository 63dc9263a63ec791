//! What orders wrote to the log, read beside its writer.

use std::sync::Arc;

use event_store::record::{Position, Record};
use event_store::{EventStore, Filter, postgres, sqlite};

use super::Counts;
use crate::sides::Log;

/// Records read at once.
const PAGE: usize = 1_024;

/// Counts the records after one position and up to another.
pub(super) async fn read(
    log: &Log,
    after: Position,
    until: Position,
    orders: usize,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let store: Arc<dyn EventStore> = match log {
        Log::Folder(folder) => sqlite::Store::open_read_only(folder)?,
        Log::Database(url) => postgres::Store::open_read_only(postgres::Options::new(url).role("bench")).await?,
    };
    let (mut at, mut records) = (after, Vec::new());
    while at < until {
        let page = store.read_log(at, &Filter::default(), PAGE).await?;
        at = page.next;
        records.extend(page.records.into_iter().filter(|record| record.position <= until));
    }
    store.close().await?;
    let batches = records.iter().filter(|record| record.fingerprint.is_some()).count();
    let bytes: usize = records.iter().map(|record| record.data.len() + record.metadata.len()).sum();
    for (name, count) in [("events", records.len()), ("batches", batches), ("bytes of events", bytes)] {
        counts.each.insert(name, count as f64 / orders as f64);
    }
    for record in &records {
        *counts.kinds.entry(record.kind.to_string()).or_default() += 1.0;
    }
    counts.kinds.values_mut().for_each(|count| *count /= orders as f64);
    counts.batches = last_order(&records);
    Ok(())
}

/// The batches of the last order: what its beginning and all that follows wrote, in the order of the log.
fn last_order(records: &[Record]) -> Vec<String> {
    let last = records.iter().rposition(|record| &*record.kind == "OrderPlaced").unwrap_or(0);
    let mut batches: Vec<String> = Vec::new();
    for record in &records[last..] {
        match batches.last_mut() {
            Some(batch) if record.fingerprint.is_none() => *batch += &format!(" + {}", record.kind),
            _ => batches.push(record.kind.to_string()),
        }
    }
    batches
}
