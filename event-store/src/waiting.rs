//! A bounded queue in front of a writer: the writer takes a burst together, and a push to a full queue fails at once.
//! Waking the writer is the caller's job.

use std::collections::VecDeque;

use crate::limits::Weight;
use crate::store::Error;

/// Jobs in order of arrival. Appends are bounded by their weight, all other jobs by their number.
pub(crate) struct Waiting<J> {
    jobs: VecDeque<(J, Weight)>,
    weight: Weight,
    /// How many appends are among the jobs.
    appends: usize,
    most: Weight,
    most_jobs: usize,
}

impl<J> Waiting<J> {
    pub(crate) fn new(most: Weight) -> Self {
        Self { jobs: VecDeque::new(), weight: Weight::default(), appends: 0, most, most_jobs: most.events.max(1) * 2 }
    }

    /// Adds a job at the end, or drops it and returns the reason. A single append is accepted at any weight.
    pub(crate) fn push(&mut self, job: J, weight: Weight) -> Result<(), Error> {
        let full = (self.weight + weight).exceeds(self.most);
        if (full && self.appends > 0 && weight.events > 0) || self.jobs.len() >= self.most_jobs {
            return Err(Error::Overloaded);
        }
        self.weight = self.weight + weight;
        self.appends += usize::from(weight.events > 0);
        self.jobs.push_back((job, weight));
        Ok(())
    }

    /// Adds what waits to `group`, within `bound`; at least one job, if there is one.
    pub(crate) fn take(&mut self, bound: Weight, group: &mut Vec<J>) {
        let mut taken = Weight::default();
        while let Some((_, next)) = self.jobs.front() {
            if (taken + *next).exceeds(bound) && !group.is_empty() {
                break;
            }
            let Some((job, weight)) = self.jobs.pop_front() else {
                break;
            };
            taken = taken + weight;
            self.appends -= usize::from(weight.events > 0);
            group.push(job);
        }
        self.weight.events -= taken.events;
        self.weight.bytes -= taken.bytes;
    }

    /// Removes all queued jobs, because nothing will do them.
    pub(crate) fn drain(&mut self) -> Vec<J> {
        (self.weight, self.appends) = (Weight::default(), 0);
        self.jobs.drain(..).map(|(job, _)| job).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}
