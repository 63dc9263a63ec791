//! Proves the log in the background, once after each opening: every record up to the end of the log at that time. It
//! uses a tenth of the time, stops when the store closes, and reports damage through the store's condition; it must
//! never repair anything.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::open::OpenError;
use super::reader::Reader;
use super::shared::Shared;
use crate::record::Position;
use crate::store::{Error, Filter};

/// Records proved in one go.
const PAGE: usize = 1_024;
/// How often the time that a page took is waited before the next.
const REST: u32 = 9;
/// A read that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Default)]
struct State {
    proved_to: Position,
    damaged: Option<(Position, String)>,
    stop: bool,
}

/// The progress of the proof since the log was opened, and the damage found.
#[derive(Default)]
pub(super) struct Proof {
    state: Mutex<State>,
    stopped: Condvar,
}

impl Proof {
    /// Notes a damaged record.
    pub(super) fn note(&self, error: &Error) {
        let Error::Damaged { position, what } = error else {
            return;
        };
        let mut state = self.lock();
        if state.damaged.as_ref().is_some_and(|(known, _)| known <= position) {
            return;
        }
        tracing::error!(
            store.position = position,
            what,
            "the log is damaged, and this record and those after it cannot be trusted; see docs/operations.md, 'The \
             log is damaged'"
        );
        metrics::counter!("daybook_store_damaged_total").increment(1);
        state.damaged = Some((*position, what.clone()));
    }

    /// Up to where the log has been proved.
    pub(super) fn proved_to(&self) -> Position {
        self.lock().proved_to
    }

    /// The first position whose record is known to be damaged, and the damage.
    pub(super) fn damaged(&self) -> Option<(Position, String)> {
        self.lock().damaged.clone()
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.stopped.notify_all();
    }

    /// Rests; false once it is to stop.
    fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        while !state.stop {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return true;
            };
            state = self.stopped.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Proves the log up to `end` on a separate thread.
pub(super) fn start(shared: Arc<Shared>, end: Position) -> Result<thread::JoinHandle<()>, OpenError> {
    Ok(thread::Builder::new().name("store-prove".into()).spawn(move || run(&shared, end))?)
}

fn run(shared: &Shared, end: Position) {
    let (mut at, mut reader) = (0, None);
    while at < end {
        let began = Instant::now();
        match page(shared, &mut reader, at, end) {
            Ok(next) => at = next,
            Err(error @ Error::Damaged { .. }) => {
                shared.proof.note(&error);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "the log could not be proved now");
                reader = None;
                if !shared.proof.rest(AGAIN) {
                    return;
                }
                continue;
            }
        }
        shared.proof.lock().proved_to = at;
        if at < end && !shared.proof.rest(began.elapsed() * REST) {
            return;
        }
    }
    tracing::debug!(store.position = end, "the log is proved");
}

fn page(shared: &Shared, reader: &mut Option<Reader>, at: Position, end: Position) -> Result<Position, Error> {
    let reader = match reader {
        Some(reader) => reader,
        none => none.insert(Reader::open(shared.dir()).map_err(|error| Error::Read(error.to_string()))?),
    };
    reader.page(at, &Filter::default(), PAGE, end).map(|page| page.next)
}
