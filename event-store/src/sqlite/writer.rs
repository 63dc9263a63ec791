//! The one thread that writes the log: it takes waiting jobs, judges them, writes them in one transaction, and
//! publishes and answers them only after the sync.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rusqlite::Connection;

use super::checkpointer::Added;
use super::commit::{Clocks, Failure, Written, commit};
use super::group::{Group, Judge};
use super::open::OpenError;
use super::options::Step;
use super::queue::Job;
use super::rows;
use super::shared::Shared;
use super::tail::Entry;
use crate::append::Outcome;
use crate::limits::Weight;
use crate::recent::Evicted;
use crate::record::{Micros, Record};
use crate::store::{Error, Head, Trouble};

/// How many answers the writer's own thread gives, which is faster for single callers.
const FEW: usize = 8;
/// The size of a row without payload and metadata, about.
const ROW_BYTES: usize = 240;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Connection,
    pub(super) judge: Judge,
    pub(super) added: Added,
    pub(super) head: Head,
    /// The latest instant for which a position was returned: nothing more is recorded at or before it. It goes to disk
    /// with the next group, or when the store is closed: see [`crate::EventStore::position_at`].
    pub(super) answered_to: Micros,
    /// What of it is on disk.
    pub(super) kept_to: Micros,
}

pub(super) fn start(writer: Writer) -> Result<thread::JoinHandle<()>, OpenError> {
    Ok(thread::Builder::new().name("store-writer".into()).spawn(move || writer.run())?)
}

/// Ensures that no caller waits forever, however the writer ends.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("the writer panicked");
        }
    }
}

impl Writer {
    fn run(mut self) {
        let _ends = Ends(Arc::clone(&self.shared));
        let shared = Arc::clone(&self.shared);
        let bound = Weight { events: shared.options.group_events, bytes: shared.options.group_bytes };
        let mut jobs = Vec::new();
        while shared.queue.take(bound, &mut jobs) {
            if !self.write_group(&mut jobs) {
                return;
            }
            shared.tail.wait_for_room(shared.options.tail);
        }
        // The process that opens the store next must know it, should the clock have been set back by then.
        if self.answered_to > self.kept_to
            && let Err(error) = rows::move_head(&self.log, &self.head, self.answered_to)
        {
            tracing::warn!(%error, "the latest queried instant could not be stored; do not set the clock back");
        }
        // So that what follows begins with an empty write-ahead log; the records are durable either way.
        if let Err(error) = self.log.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::debug!(%error, "the log's write-ahead log could not be truncated");
        }
    }

    /// Judges, writes and answers. False: the outcome is unknown and this thread must stop.
    fn write_group(&mut self, jobs: &mut Vec<Job>) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut group = Group::default();
        for job in jobs.drain(..) {
            self.judge.judge(job, &mut group, &shared, &self.log);
        }
        shared.options.step(Step::Judged);
        let mut written = Written { head: self.head, answered_to: self.answered_to, ..Written::default() };
        let clocks = Clocks { now: shared.now(), leases: shared.lease_clock() };
        let writes = !group.accepted.is_empty() || !group.consumers.is_empty() || !group.advances.is_empty();
        if !writes {
            // A queried instant is noted, but nothing is written for it.
            written.answered_to = written.answered_to.max(group.asked.unwrap_or(Micros::MIN));
        } else {
            let began = Instant::now();
            if let Err(failure) = commit(&self.log, &mut group, &mut written, clocks, &shared.options) {
                return self.fail_group(group, written, failure);
            }
            shared.written();
            shared.ahead.learn(written.advanced.last().copied());
            shared.options.step(Step::LogCommitted);
            measure(&group, began, shared.queue.len());
            self.kept_to = written.answered_to;
        }
        self.judge.heads.commit();
        let evicted = self.publish(&mut written);
        shared.options.step(Step::Answering);
        let bytes = group.bytes + group.events * ROW_BYTES + group.states;
        match &shared.runtime {
            // Waking many tasks one by one from outside their runtime is dear; from within it is not. Nothing is awaited there.
            Some(runtime) if group.accepted.len() > FEW => {
                drop(runtime.spawn(async move {
                    answer(group, written);
                    drop(evicted);
                }));
            }
            _ => answer(group, written),
        }
        self.added.commit(bytes, &shared, &self.log);
        true
    }

    /// Publishes durable records: first to readers, then to callers that wait for the head.
    fn publish(&mut self, written: &mut Written) -> Evicted {
        self.answered_to = written.answered_to;
        if written.records.is_empty() {
            return Evicted::default();
        }
        self.head = written.head;
        let entries = written.records.iter().zip(&written.keys);
        let entries = entries.map(|(&Record { version, event_id, .. }, &key)| Entry { key, version, event_id });
        self.shared.tail.publish(entries, &written.commands);
        let evicted = self.shared.recent.put(std::mem::take(&mut written.records));
        self.shared.head.send_replace(written.head);
        metrics::gauge!("daybook_store_head_position").set(written.head.position as f64);
        evicted
    }

    /// Resets the heads and reports the failure to all callers of the group; returns whether this thread may continue.
    fn fail_group(&mut self, group: Group, written: Written, failure: Failure) -> bool {
        self.judge.heads.roll_back();
        let (error, goes_on) = match failure {
            Failure::NotNow(why) => (Error::NotNow(why), true),
            Failure::Unknown(why) => (Error::Unknown(why), false),
        };
        if let Error::Unknown(why) = &error {
            // Before the callers are answered: a caller that retries must find a stopped store.
            self.shared.fail(why);
        }
        self.shared.trouble.send_replace(Trouble::now(&error.to_string()));
        tracing::warn!(
            %error,
            group.batches = group.accepted.len(),
            "a group was not committed; its requests are answered 503, see docs/operations.md, 'The disk is full'"
        );
        metrics::counter!("daybook_store_group_failures_total").increment(1);
        for accepted in group.accepted {
            accepted.prepared.answer(Err(error.clone()));
        }
        let resting = group.resting.into_iter().map(|(reply, _)| reply);
        for reply in resting.chain(group.repeated.into_iter().map(|(reply, ..)| reply)) {
            reply.send(Err(error.clone()));
        }
        for (reply, outcome) in group.settled {
            reply.send(outcome);
        }
        for barrier in group.barriers {
            let _ = barrier.send(Err(error.clone()));
        }
        for job in group.consumers {
            job.refuse(&error);
        }
        for answer in written.consumers {
            answer.tell_instead(&error);
        }
        for (_, reply) in group.advances {
            let _ = reply.send(Err(error.clone()));
        }
        goes_on
    }
}

fn answer(group: Group, written: Written) {
    for (reply, place, fingerprint) in group.repeated {
        reply.send(Ok(written.receipts[place].clone().repeated(&fingerprint)));
    }
    for (accepted, receipt) in group.accepted.into_iter().zip(written.receipts) {
        accepted.prepared.answer(Ok(Outcome::Appended(receipt)));
    }
    for (reply, outcome) in group.resting {
        metrics::counter!("daybook_store_conflicts_total").increment(1);
        reply.send(Ok(outcome));
    }
    for (reply, outcome) in group.settled {
        reply.send(outcome);
    }
    for barrier in group.barriers {
        let _ = barrier.send(Ok(written.head));
    }
    for answer in written.consumers {
        answer.tell();
    }
    for ((_, reply), ahead) in group.advances.into_iter().zip(written.advanced) {
        let _ = reply.send(Ok(ahead));
    }
}

fn measure(group: &Group, began: Instant, queued: usize) {
    metrics::counter!("daybook_store_group_commits_total").increment(1);
    metrics::counter!("daybook_store_events_total").increment(group.events as u64);
    metrics::counter!("daybook_store_bytes_total").increment(group.bytes as u64);
    metrics::histogram!("daybook_store_group_events").record(group.events as f64);
    metrics::histogram!("daybook_store_commit_seconds").record(began.elapsed().as_secs_f64());
    metrics::gauge!("daybook_store_queue_depth").set(queued as f64);
}
