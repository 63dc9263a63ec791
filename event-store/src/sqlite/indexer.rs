//! The thread that writes the index. It follows the log at its own pace and never writes anything that is not durable
//! in the log. If the index is damaged, it rebuilds it from the log.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::copier::Copier;
use super::fit::Misfit;
use super::index;
use super::open::OpenError;
use super::options::Step;
use super::shared::Shared;
use super::tail::{Run, Work};
use super::{fit, rows, schema};
use crate::store::Error;

/// How long to wait before a run that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn start(shared: Arc<Shared>, index: Connection) -> Result<thread::JoinHandle<()>, OpenError> {
    let log = schema::read_log(shared.dir())?;
    let copier = copied(&shared, &index)?;
    let work = move || Indexer { shared: &shared, copier: Some(copier), log, index }.run();
    Ok(thread::Builder::new().name("store-index".into()).spawn(work)?)
}

/// From here on the index's write-ahead log is copied beside the writer, and not by its commits.
fn copied(shared: &Shared, index: &Connection) -> Result<Copier, OpenError> {
    let copier = Copier::start("index-copy", &shared.dir().join(schema::INDEX_FILE), schema::MOST_INDEX_WAL_PAGES)?;
    index.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(copier)
}

/// Without the indexer the tail would fill up and the writer would wait forever.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("the indexer panicked");
        }
    }
}

struct Indexer<'a> {
    shared: &'a Shared,
    /// Before the connections: the one that is closed last copies what is left.
    copier: Option<Copier>,
    log: Connection,
    index: Connection,
}

impl Indexer<'_> {
    fn run(mut self) {
        let shared = self.shared;
        let _ends = Ends(shared);
        loop {
            if shared.index.fault().is_some() && !self.make_again() {
                if shared.tail.stopping() {
                    return self.leave();
                }
                thread::sleep(PAUSE);
                continue;
            }
            match shared.tail.next() {
                Work::Stop => break,
                Work::Idle => {}
                Work::Run(run) => {
                    if !self.write(run) {
                        if shared.tail.stopping() {
                            return self.leave();
                        }
                        // The tail fills meanwhile, and then the writer waits: memory stays bounded.
                        thread::sleep(PAUSE);
                    } else if let Some(copier) = &self.copier {
                        copier.written();
                    }
                }
            }
            self.write_snapshots();
            metrics::gauge!("daybook_store_index_lag_events").set(shared.tail.len() as f64);
        }
        self.write_snapshots();
        self.copier = None;
        if let Err(error) = self.index.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::debug!(%error, "the index's write-ahead log could not be truncated");
        }
    }

    /// Removes a damaged index at the end: the next process must not find it.
    fn leave(self) {
        if self.shared.index.fault().is_none() {
            return;
        }
        if let Err(error) = fit::set_aside(&self.shared.dir().join(schema::INDEX_FILE)) {
            tracing::error!(
                %error,
                "the damaged index could not be set aside; remove index.sqlite before the next start"
            );
        }
    }

    fn write(&mut self, run: Run) -> bool {
        let shared = self.shared;
        let last = run.last();
        let length = run.entries.len();
        let began = Instant::now();
        let generation = shared.index.generation();
        let hash = rows::hash_at(&self.log, last)
            .map_err(|error| rows::log_error(last, error))
            .and_then(|hash| hash.ok_or_else(|| Error::hole(last)));
        let hash = match hash {
            Ok(hash) => hash,
            Err(error) => return self.log_fails(&error),
        };
        let first = run.first;
        match index::write_run(&self.index, run, &hash, shared.index.whole(), &shared.options) {
            Ok(changes) => {
                shared.index.moved_on(&changes, last);
                shared.options.step(Step::IndexCommitted);
                shared.tail.trim(last);
                metrics::counter!("daybook_store_index_runs_total").increment(1);
                metrics::histogram!("daybook_store_index_run_seconds").record(began.elapsed().as_secs_f64());
                tracing::debug!(index.position = last, index.run = length, "a run was written to the index");
                true
            }
            Err(error) => {
                // On a mismatch, the log shows whether it is the damaged one.
                if error.is_misfit()
                    && let Err(damage) = rows::prove(&self.log, first - 1, last)
                {
                    return self.log_fails(&damage);
                }
                metrics::counter!("daybook_store_index_errors_total").increment(1);
                if error.is_damage() {
                    shared.index.give_up(generation, &error.to_string());
                } else {
                    tracing::error!(
                        %error,
                        index.position = last,
                        "a run could not be written to the index; it is retried, check that the disk has space and the \
                         folder is writable"
                    );
                    shared.index.cannot_write(error.to_string());
                }
                false
            }
        }
    }

    /// The log is damaged, or cannot be read: the index stays as it is.
    fn log_fails(&self, error: &Error) -> bool {
        metrics::counter!("daybook_store_index_errors_total").increment(1);
        self.shared.proof.note(error);
        self.shared.index.cannot_write(error.to_string());
        tracing::error!(
            %error,
            "the log could not be read for its index; it is retried, see docs/operations.md, 'The log is damaged'"
        );
        false
    }

    /// Makes a new index up to where the tail begins.
    fn make_again(&mut self) -> bool {
        let shared = self.shared;
        let began = Instant::now();
        let to = shared.tail.indexed_to();
        // It has the damaged file open.
        self.copier = None;
        match fit::make_again(&shared.options, &self.log, shared.incarnation, to) {
            Ok((index, sums)) => {
                match copied(shared, &index) {
                    Ok(copier) => self.copier = Some(copier),
                    Err(error) => tracing::warn!(
                        %error,
                        "the rebuilt index is copied by its own commits until the next start; nothing to do"
                    ),
                }
                self.index = index;
                shared.index.replaced(sums);
                tracing::warn!(
                    index.position = to,
                    seconds = began.elapsed().as_secs_f64(),
                    "the index was rebuilt; requests that need it are answered again, nothing to do"
                );
                true
            }
            Err(error) => {
                if let Misfit::Log(damage @ Error::Damaged { .. }) = &error {
                    shared.proof.note(damage);
                    shared.index.stuck(damage.clone());
                }
                let error = OpenError::from(error);
                tracing::error!(
                    %error,
                    "the index cannot be rebuilt; it is retried, check that the disk has space and the folder is \
                     writable"
                );
                shared.index.cannot_write(error.to_string());
                false
            }
        }
    }

    fn write_snapshots(&self) {
        let generation = self.shared.index.generation();
        if let Err(error) = self.shared.snapshots.write(&self.index, &self.log, &self.shared.tail) {
            tracing::warn!(
                %error,
                "snapshots could not be kept; loads fold more events, check that the disk has space"
            );
            if error.is_damage() {
                self.shared.index.give_up(generation, &error.to_string());
            }
        }
    }
}
