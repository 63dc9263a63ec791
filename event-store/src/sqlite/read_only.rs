//! A store opened for reading, beside a process that may write to it. It takes no lock and writes nothing; for entries
//! that are not in the index yet it searches the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::index_view::IndexView;
use super::open::{OpenError, reader_beside};
use super::reader::{Part, Reader, Wanted};
use super::readers::Readers;
use super::rows::{self, read_error};
use super::store::Store;
use super::{consumers, fit, index, schema, snapshots};
use crate::append::{Batch, Pending, Receipt};
use crate::audit::{Audit, IndexAudit, Kept};
use crate::clock::{Ahead, Clock, system_clock};
use crate::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use crate::gathering::Announcement;
use crate::heads::key_of;
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::snapshot::Snapshot;
use crate::store::{Direction, Error, EventStore, Filter, Head, Page};

/// How often the head is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Readers in a process that reads for one person.
const READERS: usize = 2;

/// An event store on SQLite, open for reading only: appends and changes of consumer rows are refused.
pub struct ReadOnly {
    dir: PathBuf,
    pub(super) readers: Readers,
    head: watch::Sender<Head>,
    incarnation: Uuid,
    clock: Clock,
    /// How far a test has advanced the writer's clock.
    ahead: Ahead,
    /// Whether the index matches its stored checksums; set by the first look-up.
    whole: Arc<OnceLock<bool>>,
}

impl Store {
    /// Opens the store in a directory for reading, beside a process that may be writing it.
    ///
    /// # Errors
    /// [`OpenError::Absent`] if there is no store.
    pub fn open_read_only(dir: impl Into<PathBuf>) -> Result<Arc<ReadOnly>, OpenError> {
        let dir = dir.into();
        let reader = reader_beside(&dir)?;
        let (head, _) = rows::head(&reader.log)?;
        let store = Arc::new(ReadOnly {
            readers: Readers::new(dir.clone(), READERS, reader_beside),
            head: watch::Sender::new(head),
            incarnation: schema::incarnation(&reader.log)?,
            clock: system_clock(),
            ahead: Ahead::new(rows::ahead(&reader.log)?),
            whole: Arc::default(),
            dir,
        });
        let watched = Arc::downgrade(&store);
        let poll = move || {
            while let Some(store) = watched.upgrade() {
                if let Ok(ahead) = rows::ahead(&reader.log) {
                    store.ahead.learn(ahead);
                }
                if let Ok((head, _)) = rows::head(&reader.log) {
                    store.head.send_if_modified(|known| std::mem::replace(known, head) != head);
                }
                drop(store);
                std::thread::sleep(POLL);
            }
        };
        std::thread::Builder::new().name("store-head".into()).spawn(poll)?;
        Ok(store)
    }
}

impl ReadOnly {
    /// The store's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads through the index. The whole index is checked before the first look-up, because this process does not know
    /// its expected checksums.
    async fn indexed<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let whole = Arc::clone(&self.whole);
        self.readers
            .with(move |reader| {
                if let Some(index) = &reader.beside
                    && !whole.get_or_init(|| is_whole(index))
                {
                    reader.beside = None;
                }
                work(reader)
            })
            .await
    }

    fn refuse<T>() -> Result<T, Error> {
        Err(Error::Never("the store is open for reading only".into()))
    }
}

/// Whether the index of a process that only reads can be used.
fn is_whole(index: &rusqlite::Connection) -> bool {
    match fit::is_whole(index) {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!(
                "the index of the log is damaged; the log is searched instead, and the server rebuilds the index, \
                 nothing to do"
            );
            false
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "the index of the log cannot be read; the log is searched instead, check the permissions of \
                 index.sqlite"
            );
            false
        }
    }
}

/// The record that a snapshot in the index belongs to.
fn record_of(reader: &mut Reader, key: u128, snapshot: &Snapshot) -> Result<Option<Record>, Error> {
    let Some(index) = &reader.beside else { return Ok(None) };
    match index::place(index, key, snapshot.version).map_err(read_error)? {
        Some(position) => rows::proved_at(&reader.log, &mut reader.names, position),
        None => Ok(None),
    }
}

#[async_trait]
impl Audit for ReadOnly {
    async fn snapshots(&self, after: Option<Bytes>, limit: usize) -> Result<(Vec<Kept>, Option<Bytes>), Error> {
        let place = after.map(|after| place_of(&after));
        self.readers
            .with(move |reader| {
                let Some(index) = &reader.beside else { return Ok((Vec::new(), None)) };
                let names = snapshots::after(index, place, limit).map_err(read_error)?;
                let next = names.last().map(|&(key, fold)| {
                    let mut place = key.to_be_bytes().to_vec();
                    place.extend(fold.to_be_bytes());
                    Bytes::from(place)
                });
                let mut kept = Vec::new();
                for (key, fold) in names {
                    let Some(index) = &reader.beside else { break };
                    let Some((snapshot, proof)) = snapshots::stored(index, key, fold).map_err(read_error)? else {
                        continue;
                    };
                    let record = record_of(reader, key, &snapshot)?.filter(|record| key_of(&record.stream) == key);
                    let holds = record.as_ref().is_some_and(|record| snapshots::holds(&snapshot, &proof, record));
                    kept.push(Kept { stream: record.map(|record| record.stream), snapshot, holds });
                }
                Ok((kept, next))
            })
            .await
    }

    async fn index(&self) -> Result<Option<IndexAudit>, Error> {
        let (dir, incarnation) = (self.dir.clone(), self.incarnation);
        let open = move |reader: &mut Reader| Ok(IndexView::open(&dir, &reader.log, incarnation).map(IndexAudit));
        self.readers.with(open).await
    }
}

fn place_of(place: &[u8]) -> (u128, u32) {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u128, |number, &byte| number << 8 | u128::from(byte));
    (number(&place[..place.len().min(16)]), number(place.get(16..).unwrap_or_default()) as u32)
}

#[async_trait]
impl EventStore for ReadOnly {
    fn append(&self, _batch: Batch) -> Pending {
        Pending::ready(Self::refuse())
    }

    fn announce(&self) -> Option<Announcement> {
        None
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        self.indexed(move |reader| {
            let (first, indexed_to) = match &reader.beside {
                Some(index) => {
                    let indexed_to = index::position(index).map_err(read_error)?;
                    (index::command(index, command_id).map_err(read_error)?, indexed_to)
                }
                None => (None, 0),
            };
            let first = match first {
                Some(first) => Some(first),
                None => rows::find_command(&reader.log, command_id, indexed_to).map_err(read_error)?,
            };
            let Some(first) = first else { return Ok(None) };
            rows::receipt(&reader.log, &mut reader.names, command_id, first)
        })
        .await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        let stream = stream.clone();
        let part = Part { from, direction, limit };
        self.indexed(move |reader| {
            let tail = reader.search_tail(&stream)?;
            let wanted = Wanted { stream: &stream, key: key_of(&stream), tail: &tail };
            reader.stream_beside(&wanted, part)
        })
        .await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        let last = self.read_stream(stream, Version::MAX, Direction::Backwards, 1).await?;
        Ok(last.first().map(|record| (record.version, record.event_id)))
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        let filter = filter.clone();
        self.readers
            .with(move |reader| {
                let (head, _) = rows::head(&reader.log).map_err(read_error)?;
                reader.page(after, &filter, limit, head.position)
            })
            .await
    }

    /// For an instant at or after the last record this is the head as it is now: only the writer can hold it there.
    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        self.readers
            .with(move |reader| {
                let (head, _) = rows::head(&reader.log).map_err(read_error)?;
                reader.position_at(instant, head.position)
            })
            .await
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    fn now(&self) -> Micros {
        self.lease_clock().saturating_add(self.ahead.micros())
    }

    fn lease_clock(&self) -> Micros {
        (self.clock)()
    }

    async fn acquire(&self, _key: &ConsumerKey, _owner: &str, _lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        Self::refuse()
    }

    async fn release(&self, _lease: &Lease) -> Result<(), Error> {
        Self::refuse()
    }

    async fn save(&self, _lease: &Lease, _checkpoint: Checkpoint) -> Result<(), Error> {
        Self::refuse()
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        let key = key.clone();
        self.readers.with(move |reader| consumers::row(&reader.log, &key)).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        let name = name.to_owned();
        self.readers.with(move |reader| consumers::rows(&reader.log, &name)).await
    }

    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
        let stream = stream.clone();
        self.indexed(move |reader| {
            let key = key_of(&stream);
            let stored = match &reader.beside {
                Some(index) => snapshots::stored(index, key, fold).map_err(read_error)?,
                None => None,
            };
            let Some((snapshot, proof)) = stored else { return Ok(None) };
            let holds = record_of(reader, key, &snapshot)?
                .is_some_and(|record| record.stream == stream && snapshots::holds(&snapshot, &proof, &record));
            Ok(holds.then_some(snapshot))
        })
        .await
    }

    fn keep_snapshot(&self, _stream: StreamId, _snapshot: Snapshot) {}

    async fn close(&self) -> Result<(), Error> {
        self.readers.close().await;
        Ok(())
    }
}

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnly").field("dir", &self.dir).finish_non_exhaustive()
    }
}
