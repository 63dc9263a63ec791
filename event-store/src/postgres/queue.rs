//! The queue of the writer's task, and its wake-up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use crate::append::{Answer, Batch, Outcome};
use crate::gathering::{Announcement, Gathering};
use crate::hash::Hash;
use crate::limits::Weight;
use crate::record::Micros;
use crate::store::{Error, Head};
use crate::waiting::Waiting;

/// A batch, with data that its caller's task computed.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    /// The keys of its streams, in the order of the writes.
    pub(super) keys: Vec<u128>,
    /// The leaves of its events, in order; none for streams with `Any`, whose versions the writer assigns.
    pub(super) leaves: Vec<Hash>,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Prepared {
    /// Sends the outcome, and returns the batch so that the caller drops it. It does not matter if the caller has
    /// stopped waiting.
    pub(super) fn answer(self, outcome: Result<Outcome, Error>) {
        let spent = Some((self.batch, self.keys, self.leaves));
        let _ = self.reply.send(Answer { outcome, spent });
    }
}

/// What waits for the writer.
pub(super) enum Job {
    Append(Prepared),
    /// Answered when all earlier jobs are durable, and the writes in progress in other processes are decided: with the
    /// head and the time at that moment. With an instant: this handle records nothing later at or before it.
    Barrier {
        floor: Option<Micros>,
        reply: oneshot::Sender<Result<(Head, Micros), Error>>,
    },
}

impl Job {
    /// Reports the failure to the waiting caller.
    pub(super) fn refuse(self, error: &Error) {
        match self {
            Job::Append(prepared) => prepared.answer(Err(error.clone())),
            Job::Barrier { reply, .. } => drop(reply.send(Err(error.clone()))),
        }
    }
}

struct State {
    waiting: Waiting<Job>,
    closed: Option<Instant>,
}

pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    gathering: Gathering,
}

impl Queue {
    pub(super) fn new(most: Weight) -> Self {
        let state = State { waiting: Waiting::new(most), closed: None };
        Self { state: Mutex::new(state), arrived: Notify::new(), gathering: Gathering::default() }
    }

    /// Puts a job at the end, or drops it and says why.
    pub(super) fn push(&self, job: Job, weight: Weight) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(Error::Closed);
        }
        state.waiting.push(job, weight)?;
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Notes a batch that is about to come.
    pub(super) fn announce(&self) -> Announcement {
        self.gathering.announce()
    }

    /// Takes all that waits, within `bound`; waits for the first, and for what is announced. `None`: closed, and nothing is left.
    pub(super) async fn take(&self, bound: Weight) -> Option<Vec<Job>> {
        loop {
            let (jobs, closed) = {
                let state = self.lock();
                (state.waiting.len(), state.closed.is_some())
            };
            if jobs > 0 {
                self.gathering.gathered(jobs).await;
                let mut group = Vec::new();
                self.lock().waiting.take(bound, &mut group);
                return Some(group);
            }
            if closed {
                return None;
            }
            // A job that was pushed meanwhile has left a permit.
            self.arrived.notified().await;
        }
    }

    /// Accepts no more jobs; the queued ones stay.
    pub(super) fn close(&self) {
        self.lock().closed.get_or_insert_with(Instant::now);
        self.arrived.notify_one();
    }

    /// When the queue was closed.
    pub(super) fn closed(&self) -> Option<Instant> {
        self.lock().closed
    }

    /// Accepts no more jobs and returns those that will not be done.
    pub(super) fn abandon(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.closed.get_or_insert_with(Instant::now);
        state.waiting.drain()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
