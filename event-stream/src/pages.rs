//! Pages of the log, read once for all feeds of a process. While the bus is unavailable every feed reads the store; all
//! are at about the same position, so a page that one has read serves the others. The log never changes, so a page
//! never becomes stale.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use event_store::partition::{self, Door};
use event_store::record::{Position, Record};
use event_store::{Error, EventStore, Filter};
use tokio::sync::Mutex;

/// Records asked for at a time.
const PAGE: usize = 1_000;
/// Doors that are far apart do not wait for each other: each lane reads on its own.
const LANES: u64 = 4;
/// How many positions of the log one lane covers before the next one takes over.
const LANE: u64 = 16_384;
/// Pages kept for each lane: doors that go along together are at most this far apart.
const KEPT: usize = 4;
/// Heavier pages are not kept.
const HEAVY: usize = 8 * 1024 * 1024;

/// A part of the log, whole commands, and which doors its records go through.
pub(crate) struct Chunk {
    after: Position,
    records: Vec<Record>,
    /// Everything up to here is in it.
    pub(crate) next: Position,
    streams: OnceLock<Vec<u32>>,
    correlations: OnceLock<Vec<u32>>,
}

impl Chunk {
    /// The records after a position that come through a door.
    pub(crate) fn through<'a>(&'a self, door: &'a Door, after: Position) -> impl Iterator<Item = &'a Record> {
        let places = self.places(door);
        self.records
            .iter()
            .enumerate()
            .filter(move |(index, record)| {
                let comes = match (door, places) {
                    (Door::Streams(partition) | Door::Correlations(partition, _), Some(places)) => {
                        places.get(*index) == Some(partition)
                    }
                    _ => true,
                };
                comes && record.position > after
            })
            .map(|(_, record)| record)
    }

    /// Reckoned once for all doors of a kind; they have the same idea of what belongs together, or the bus could not serve them.
    fn places(&self, door: &Door) -> Option<&Vec<u32>> {
        let each = |of: &dyn Fn(&Record) -> u32| self.records.iter().map(of).collect();
        match door {
            Door::All => None,
            Door::Streams(_) => Some(self.streams.get_or_init(|| each(&|record| partition::of_stream(&record.stream)))),
            Door::Correlations(_, correlate) => {
                Some(self.correlations.get_or_init(|| {
                    each(&|record| partition::of_correlation(&record.stream.tenant, correlate(record)))
                }))
            }
        }
    }
}

/// The pages that have been read of late.
pub(crate) struct Pages {
    store: Arc<dyn EventStore>,
    lanes: Vec<Mutex<VecDeque<Arc<Chunk>>>>,
}

impl Pages {
    pub(crate) fn new(store: Arc<dyn EventStore>) -> Self {
        let lanes = (0..LANES).map(|_| Mutex::default()).collect();
        Self { store, lanes }
    }

    /// The log after a position. The returned chunk may begin before it, and `next` is `after` if there is no more.
    pub(crate) async fn read(&self, after: Position) -> Result<Arc<Chunk>, Error> {
        let lane = ((after / LANE) % LANES) as usize;
        // Held while reading: concurrent callers wait for the page and share it.
        let mut kept = self.lanes[lane].lock().await;
        if let Some(chunk) = kept.iter().find(|chunk| chunk.after <= after && after < chunk.next) {
            metrics::counter!("daybook_feed_shared_pages_total").increment(1);
            return Ok(Arc::clone(chunk));
        }
        let page = self.store.read_log(after, &Filter::default(), PAGE).await?;
        let weight: usize = page.records.iter().map(|record| record.data.len() + record.metadata.len()).sum();
        let chunk = Arc::new(Chunk {
            after,
            records: page.records,
            next: page.next.max(after),
            streams: OnceLock::new(),
            correlations: OnceLock::new(),
        });
        if chunk.next > after && weight <= HEAVY {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(Arc::clone(&chunk));
        }
        Ok(chunk)
    }
}
