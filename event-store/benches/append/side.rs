//! What is measured: an event store, and a baseline that writes the same rows with the least work that the database
//! allows. The load uses the event-store contract; a side adds only its own parts: the place of its files, and the end
//! of its work.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::EventStore;
use event_store::record::Position;

use crate::baseline::{Baseline, Row};
use crate::postgres::Server;
use crate::sqlite::Embedded;

/// A store and its baseline.
#[async_trait]
pub(crate) trait Side: Send + Sync {
    fn name(&self) -> &'static str;

    /// What a reader must know of it to read its figures.
    fn about(&self) -> String;

    /// Leaves nothing of a run: what one side has not yet written to the disk must not be written while the other is measured.
    fn clear(&mut self);

    /// Makes room for an empty store.
    fn empty(&mut self);

    /// Keeps the closed store as the starting point of every run.
    fn keep(&mut self);

    /// Restores the kept store, already synced to disk.
    fn reset(&mut self);

    async fn open(&mut self) -> Arc<dyn EventStore>;

    /// Waits for what the store still does for records that it has answered.
    fn settle(&self, position: Position);

    /// The first process of the store's server, if it has one.
    fn server(&self) -> Option<u32>;

    /// How many events each commit of a run had, once the store is closed: the records of one commit share their instant.
    fn commit_sizes(&self, after: Position) -> Vec<usize>;

    /// Writes the rows in commits of these sizes, on the calling thread.
    fn baseline(&mut self, rows: &[Row], sizes: &[usize]) -> Baseline;
}

/// The side of a name, its files in a folder of its own within `dir`.
pub(crate) fn named(name: &str, dir: &Path) -> Box<dyn Side> {
    match name {
        "sqlite" => Box::new(Embedded::within(dir)),
        "postgres" => Box::new(Server::start_within(dir)),
        other => panic!("there is no store {other}"),
    }
}
