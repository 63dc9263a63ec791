//! What is measured: an event store, and a baseline that writes the same rows by the least that the store's database must do. The load
//! comes through the contract of event stores; a side adds only what is its own: where its files are, and when it is done.

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

    /// Keeps the store, which is closed, for every run to begin with.
    fn keep(&mut self);

    /// Puts in place what was kept, on disk already.
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
