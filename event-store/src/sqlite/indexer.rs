//! The thread that writes the index. It follows the log at its own pace and never writes what is not durable there.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::open::OpenError;
use super::options::Step;
use super::shared::Shared;
use super::tail::{Run, Work};
use super::{index, rows, schema};

/// How long to wait before a run that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn start(shared: Arc<Shared>, index: Connection) -> Result<thread::JoinHandle<()>, OpenError> {
    let log = schema::read_log(shared.dir())?;
    let work = move || run(&shared, &log, &index);
    Ok(thread::Builder::new().name("store-index".into()).spawn(work)?)
}

/// Without the index the tail would fill and the writer wait for ever.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("the indexer panicked");
        }
    }
}

fn run(shared: &Shared, log: &Connection, index: &Connection) {
    let _ends = Ends(shared);
    loop {
        match shared.tail.next() {
            Work::Stop => break,
            Work::Idle => {}
            Work::Run(run) => {
                if !write(shared, log, index, run) {
                    if shared.tail.stopping() {
                        break;
                    }
                    // The tail fills meanwhile, and then the writer waits: memory stays bounded.
                    thread::sleep(PAUSE);
                }
            }
        }
        shared.snapshots.write(index);
        metrics::gauge!("daybook_store_index_lag_events").set(shared.tail.len() as f64);
    }
    shared.snapshots.write(index);
    if let Err(error) = index.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::debug!(%error, "the index's write-ahead log stays");
    }
}

fn write(shared: &Shared, log: &Connection, index: &Connection, run: Run) -> bool {
    let last = run.last();
    let length = run.entries.len();
    let began = Instant::now();
    let done = rows::hash_at(log, last).and_then(|hash| {
        let hash = hash.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        index::write_run(index, run, &hash, &shared.options)
    });
    match done {
        Ok(()) => {
            shared.options.step(Step::IndexCommitted);
            shared.tail.trim(last);
            metrics::counter!("daybook_store_index_runs_total").increment(1);
            metrics::histogram!("daybook_store_index_run_seconds").record(began.elapsed().as_secs_f64());
            tracing::debug!(index.position = last, index.run = length, "a run is in the index");
            true
        }
        Err(error) => {
            tracing::error!(%error, index.position = last, "a run could not be written to the index");
            metrics::counter!("daybook_store_index_errors_total").increment(1);
            false
        }
    }
}
