//! The writer's bounded queue. It never grows beyond its bounds: who comes when it is full is told so at once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use crate::append::{Answer, Batch, Outcome};
use crate::hash::Hash;
use crate::limits::Weight;
use crate::record::Micros;
use crate::store::{Error, Head};

/// A batch, with what its caller's task worked out about it.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    /// The keys of its streams, in the order of the writes.
    pub(super) keys: Vec<u128>,
    /// The leaves of its events, in their order; none for streams written with `Any`, whose versions the writer gives.
    pub(super) leaves: Vec<Hash>,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Prepared {
    /// Tells the outcome and gives the batch back to be thrown away. That nobody waits any more changes nothing.
    pub(super) fn answer(self, outcome: Result<Outcome, Error>) {
        let spent = Some((self.batch, self.keys, self.leaves));
        let _ = self.reply.send(Answer { outcome, spent });
    }
}

/// What waits for the writer.
pub(super) enum Job {
    Append(Prepared),
    /// Answered when all that came before it is durable, and what other processes had under way is decided. With an instant: no
    /// later record is recorded at or before it.
    Barrier {
        floor: Option<Micros>,
        reply: oneshot::Sender<Result<Head, Error>>,
    },
}

impl Job {
    /// Tells whoever waits for it that it failed.
    pub(super) fn refuse(self, error: &Error) {
        match self {
            Job::Append(prepared) => prepared.answer(Err(error.clone())),
            Job::Barrier { reply, .. } => drop(reply.send(Err(error.clone()))),
        }
    }
}

struct Waiting {
    jobs: VecDeque<(Job, Weight)>,
    events: usize,
    bytes: usize,
    /// How many appends are among the jobs.
    appends: usize,
    closed: Option<Instant>,
}

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    most: Weight,
    /// Barriers weigh nothing, so their number is bounded by itself.
    most_jobs: usize,
}

impl Queue {
    pub(super) fn new(most: Weight) -> Self {
        let waiting = Waiting {
            jobs: VecDeque::new(),
            events: 0,
            bytes: 0,
            appends: 0,
            closed: None,
        };
        Self {
            waiting: Mutex::new(waiting),
            arrived: Notify::new(),
            most,
            most_jobs: most.events.max(1) * 2,
        }
    }

    /// Puts a job at the end, or drops it and says why.
    pub(super) fn push(&self, job: Job, weight: Weight) -> Result<(), Error> {
        let mut waiting = self.lock();
        if waiting.closed.is_some() {
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
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes all that waits, within `bound`; waits for the first. `None`: closed, and nothing is left.
    pub(super) async fn take(&self, bound: Weight) -> Option<Vec<Job>> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.jobs.is_empty() {
                    return Some(waiting.take(bound));
                }
                if waiting.closed.is_some() {
                    return None;
                }
            }
            // What was pushed since has left a permit.
            self.arrived.notified().await;
        }
    }

    /// Takes nothing more; what is on the queue stays on it.
    pub(super) fn close(&self) {
        self.lock().closed.get_or_insert_with(Instant::now);
        self.arrived.notify_one();
    }

    /// When the queue was closed.
    pub(super) fn closed(&self) -> Option<Instant> {
        self.lock().closed
    }

    /// Takes nothing more and gives back what nobody will do.
    pub(super) fn abandon(&self) -> Vec<Job> {
        let mut waiting = self.lock();
        waiting.closed.get_or_insert_with(Instant::now);
        (waiting.events, waiting.bytes, waiting.appends) = (0, 0, 0);
        waiting.jobs.drain(..).map(|(job, _)| job).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self, bound: Weight) -> Vec<Job> {
        let (mut group, mut taken) = (Vec::new(), Weight::default());
        while let Some((_, next)) = self.jobs.front() {
            let over =
                taken.events + next.events > bound.events || taken.bytes + next.bytes > bound.bytes;
            if over && !group.is_empty() {
                break;
            }
            let Some((job, weight)) = self.jobs.pop_front() else {
                break;
            };
            taken.events += weight.events;
            taken.bytes += weight.bytes;
            self.appends -= usize::from(weight.events > 0);
            group.push(job);
        }
        self.events -= taken.events;
        self.bytes -= taken.bytes;
        group
    }
}
