//! The queue of the writer's thread, and its wake-up.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::consumers::ConsumerJob;
use crate::append::{Answer, Batch, Outcome};
use crate::gathering::{Announcement, Gathering};
use crate::hash::Hash;
use crate::limits::Weight;
use crate::record::Micros;
use crate::store::{Error, Head};
use crate::waiting::Waiting;

/// Where the outcome of an append is waited for.
pub(super) struct Reply(pub(super) oneshot::Sender<Answer>);

impl Reply {
    /// It does not matter if the caller has stopped waiting.
    pub(super) fn send(self, outcome: Result<Outcome, Error>) {
        let _ = self.0.send(Answer { outcome, spent: None });
    }
}

/// A batch, with data that its caller's task computed.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    /// The keys of its streams, in the order of the writes.
    pub(super) keys: Vec<u128>,
    /// The leaves of its events, in order; none for streams with `Any`, whose versions the writer assigns.
    pub(super) leaves: Vec<Hash>,
    pub(super) reply: Reply,
}

impl Prepared {
    /// Sends the outcome, and returns the batch so that the caller drops it.
    pub(super) fn answer(self, outcome: Result<Outcome, Error>) {
        let spent = Some((self.batch, self.keys, self.leaves));
        let _ = self.reply.0.send(Answer { outcome, spent });
    }
}

/// What waits for the writer.
pub(super) enum Job {
    Append(Prepared),
    /// Answered when all earlier jobs are durable. With an instant: no later record is recorded at or before it.
    Barrier {
        floor: Option<Micros>,
        reply: oneshot::Sender<Result<Head, Error>>,
    },
    Consumer(ConsumerJob),
    /// Advances the test clock.
    Advance {
        by: Micros,
        reply: oneshot::Sender<Result<Micros, Error>>,
    },
}

struct State {
    waiting: Waiting<Job>,
    writer_sleeps: bool,
    closed: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    gathering: Gathering,
}

impl Queue {
    pub(super) fn new(most: Weight) -> Self {
        let state = State { waiting: Waiting::new(most), writer_sleeps: false, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), gathering: Gathering::default() }
    }

    /// Puts a job at the end, or drops it and says why.
    pub(super) fn push(&self, job: Job, weight: Weight) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.waiting.push(job, weight)?;
        let wake = std::mem::take(&mut state.writer_sleeps);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Notes a batch that is about to come.
    pub(super) fn announce(&self) -> Announcement {
        self.gathering.announce()
    }

    /// Takes all that waits, within `bound`, into `group`; waits for the first, and for what is announced. False: closed, and nothing is left.
    pub(super) fn take(&self, bound: Weight, group: &mut Vec<Job>) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state.writer_sleeps = true;
            let woken = self.arrived.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let jobs = state.waiting.len();
        drop(state);
        self.gathering.wait(jobs);
        self.lock().waiting.take(bound, group);
        true
    }

    /// Accepts no more jobs; the queued ones stay.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Accepts no more jobs and returns those that will not be done.
    pub(super) fn abandon(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.drain()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Reports the failure to the waiting caller.
    pub(super) fn refuse(self, error: &Error) {
        match self {
            Job::Append(prepared) => prepared.answer(Err(error.clone())),
            Job::Barrier { reply, .. } => drop(reply.send(Err(error.clone()))),
            Job::Consumer(job) => job.refuse(error),
            Job::Advance { reply, .. } => drop(reply.send(Err(error.clone()))),
        }
    }
}
