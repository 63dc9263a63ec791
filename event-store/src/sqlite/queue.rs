//! The writer's bounded queue. It never grows beyond its bounds: who comes when it is full is told so at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::consumers::ConsumerJob;
use crate::append::{Answer, Batch, Outcome};
use crate::hash::Hash;
use crate::limits::Weight;
use crate::record::Micros;
use crate::store::{Error, Head};

/// Where the outcome of an append is waited for.
pub(super) struct Reply(pub(super) oneshot::Sender<Answer>);

impl Reply {
    /// That nobody waits any more changes nothing.
    pub(super) fn send(self, outcome: Result<Outcome, Error>) {
        let _ = self.0.send(Answer {
            outcome,
            spent: None,
        });
    }
}

/// A batch, with what its caller's task worked out about it.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    /// The keys of its streams, in the order of the writes.
    pub(super) keys: Vec<u128>,
    /// The leaves of its events, in their order; none for streams written with `Any`, whose versions the writer gives.
    pub(super) leaves: Vec<Hash>,
    pub(super) reply: Reply,
}

impl Prepared {
    /// Tells the outcome and gives the batch back to be thrown away.
    pub(super) fn answer(self, outcome: Result<Outcome, Error>) {
        let spent = Some((self.batch, self.keys, self.leaves));
        let _ = self.reply.0.send(Answer { outcome, spent });
    }
}

/// What waits for the writer.
pub(super) enum Job {
    Append(Prepared),
    /// Answered when all that came before it is durable. With an instant: no later record is recorded at or before it.
    Barrier {
        floor: Option<Micros>,
        reply: oneshot::Sender<Result<Head, Error>>,
    },
    Consumer(ConsumerJob),
}

struct Waiting {
    jobs: VecDeque<(Job, Weight)>,
    events: usize,
    bytes: usize,
    /// How many appends are among the jobs.
    appends: usize,
    writer_sleeps: bool,
    closed: bool,
}

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    most: Weight,
    /// Barriers and consumer jobs weigh nothing, so their number is bounded by itself.
    most_jobs: usize,
}

impl Queue {
    pub(super) fn new(most: Weight) -> Self {
        let waiting = Waiting {
            jobs: VecDeque::new(),
            events: 0,
            bytes: 0,
            appends: 0,
            writer_sleeps: false,
            closed: false,
        };
        Self {
            waiting: Mutex::new(waiting),
            arrived: Condvar::new(),
            most,
            most_jobs: most.events.max(1) * 2,
        }
    }

    /// Puts a job at the end, or drops it and says why.
    pub(super) fn push(&self, job: Job, weight: Weight) -> Result<(), Error> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Error::Closed);
        }
        let full = waiting.events + weight.events > self.most.events
            || waiting.bytes + weight.bytes > self.most.bytes;
        if (full && waiting.appends > 0 && weight.events > 0)
            || waiting.jobs.len() >= self.most_jobs
        {
            return Err(Error::Overloaded);
        }
        waiting.events += weight.events;
        waiting.bytes += weight.bytes;
        waiting.appends += usize::from(weight.events > 0);
        waiting.jobs.push_back((job, weight));
        let wake = waiting.writer_sleeps;
        waiting.writer_sleeps = false;
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes all that waits, within `bound`, into `group`; waits for the first. False: closed, and nothing is left.
    pub(super) fn take(&self, bound: Weight, group: &mut Vec<Job>) -> bool {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting.writer_sleeps = true;
            waiting = self
                .arrived
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = Weight::default();
        while let Some((_, next)) = waiting.jobs.front() {
            let over =
                taken.events + next.events > bound.events || taken.bytes + next.bytes > bound.bytes;
            if over && !group.is_empty() {
                break;
            }
            let Some((job, weight)) = waiting.jobs.pop_front() else {
                break;
            };
            taken.events += weight.events;
            taken.bytes += weight.bytes;
            waiting.appends -= usize::from(weight.events > 0);
            group.push(job);
        }
        waiting.events -= taken.events;
        waiting.bytes -= taken.bytes;
        true
    }

    /// Takes nothing more; what is on the queue stays on it.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes nothing more and gives back what nobody will do.
    pub(super) fn abandon(&self) -> Vec<Job> {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.jobs.drain(..).map(|(job, _)| job).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Tells whoever waits for it that it failed.
    pub(super) fn refuse(self, error: &Error) {
        match self {
            Job::Append(prepared) => prepared.answer(Err(error.clone())),
            Job::Barrier { reply, .. } => drop(reply.send(Err(error.clone()))),
            Job::Consumer(job) => job.refuse(error),
        }
    }
}
