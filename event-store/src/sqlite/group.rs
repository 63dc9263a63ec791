//! Judging the batches of one group, in their order, each against the heads that those before it leave behind. A batch that
//! is refused must leave no trace for those after it.

use rusqlite::Connection;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::consumers::ConsumerJob;
use super::filter::Filter;
use super::index_state::IndexReader;
use super::look_up;
use super::queue::{Job, Prepared, Reply};
use super::rows::Names;
use super::shared::Shared;
use super::tail::{Entry, Run};
use crate::append::{Batch, Outcome, Receipt};
use crate::heads::{Heads, IdMap, Known, StreamHead};
use crate::record::{Micros, Version};
use crate::store::{Error, Head};

/// What has been judged together and becomes durable together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) accepted: Vec<Accepted>,
    /// The first versions of all writes of all accepted batches, in their order.
    pub(super) starts: Vec<Version>,
    /// The accepted commands, with their place in `accepted`.
    commands: IdMap<usize>,
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// Outcomes that rest only on durable data: reported whatever happens to the group.
    pub(super) settled: Vec<(Reply, Result<Outcome, Error>)>,
    /// Outcomes that rest on heads of this group: reported only once the group is durable.
    pub(super) resting: Vec<(Reply, Outcome)>,
    /// Repetitions of an accepted command: which one, and the fingerprint that they came with.
    pub(super) repeated: Vec<(Reply, usize, [u8; 32])>,
    pub(super) barriers: Vec<oneshot::Sender<Result<Head, Error>>>,
    /// The latest instant of a barrier; never later than the clock at that time.
    pub(super) asked: Option<Micros>,
    pub(super) consumers: Vec<ConsumerJob>,
    /// Advances of the test clock, and their callers.
    pub(super) advances: Vec<(Micros, oneshot::Sender<Result<Micros, Error>>)>,
    /// What the states in their checkpoints weigh.
    pub(super) states: usize,
}

/// A batch that goes in.
pub(super) struct Accepted {
    pub(super) prepared: Prepared,
    /// Where its versions begin in [`Group::starts`].
    pub(super) starts_at: usize,
}

/// The heads in memory, and the means to look up others.
pub(super) struct Judge {
    pub(super) heads: Heads,
    pub(super) streams: Filter,
    pub(super) commands: Filter,
    pub(super) index: IndexReader,
    pub(super) names: Names,
    /// When the store was opened, in milliseconds: a younger version 7 id cannot be in the log as it was then.
    pub(super) opened_at: u64,
}

impl Judge {
    /// Adds records that are durable and not yet in the index.
    pub(super) fn learn(&mut self, run: &Run) {
        for &Entry { key, version, event_id } in &run.entries {
            self.heads.keep(key, StreamHead { version, event_id });
            self.streams.insert(key);
        }
        for (id, _) in &run.commands {
            self.commands.insert(id.as_u128());
        }
    }

    /// Judges one job after all that were judged before it.
    pub(super) fn judge(&mut self, job: Job, group: &mut Group, shared: &Shared, log: &Connection) {
        match job {
            Job::Append(prepared) => self.judge_batch(prepared, group, shared, log),
            Job::Barrier { floor, reply } => {
                group.asked = group.asked.max(floor);
                group.barriers.push(reply);
            }
            Job::Consumer(job) => {
                group.states += job.bytes();
                group.consumers.push(job);
            }
            Job::Advance { by, reply } => group.advances.push((by, reply)),
        }
    }

    fn judge_batch(&mut self, prepared: Prepared, group: &mut Group, shared: &Shared, log: &Connection) {
        let id = prepared.batch.command_id;
        if self.commands.maybe(id.as_u128()) {
            if let Some(&earlier) = group.commands.get(&id) {
                group.repeated.push((prepared.reply, earlier, prepared.batch.fingerprint));
                return;
            }
            match self.earlier(id, shared, log) {
                Ok(None) => {}
                Ok(Some(receipt)) => {
                    let outcome = receipt.repeated(&prepared.batch.fingerprint);
                    group.settled.push((prepared.reply, Ok(outcome)));
                    return;
                }
                Err(error) => {
                    group.settled.push((prepared.reply, Err(not_judged(error))));
                    return;
                }
            }
        }
        let starts_at = group.starts.len();
        match self.conflict(&prepared, group, shared) {
            Ok(None) => self.accept(prepared, starts_at, group),
            Ok(Some(conflict)) => {
                group.starts.truncate(starts_at);
                group.resting.push((prepared.reply, conflict));
            }
            Err(error) => {
                group.starts.truncate(starts_at);
                group.settled.push((prepared.reply, Err(not_judged(error))));
            }
        }
    }

    /// The receipt of a command that is durable.
    fn earlier(&mut self, id: Uuid, shared: &Shared, log: &Connection) -> Result<Option<Receipt>, Error> {
        let fresh = self.is_fresh(id);
        let found = look_up::receipt(shared, &mut self.index, (log, &mut self.names), id, fresh);
        found.inspect_err(|error| shared.proof.note(error))
    }

    /// The first stream that is not as expected; notes the first versions of those that are.
    fn conflict(&mut self, prepared: &Prepared, group: &mut Group, shared: &Shared) -> Result<Option<Outcome>, Error> {
        for (write, &key) in prepared.batch.writes.iter().zip(&prepared.keys) {
            match write.place(self.head(key, shared)?) {
                Ok(start) => group.starts.push(start),
                Err(conflict) => return Ok(Some(conflict)),
            }
        }
        Ok(None)
    }

    fn accept(&mut self, prepared: Prepared, starts_at: usize, group: &mut Group) {
        let Batch { command_id, writes, .. } = &prepared.batch;
        for ((write, &key), &start) in writes.iter().zip(&prepared.keys).zip(&group.starts[starts_at..]) {
            let Some(head) = write.head_after(start) else {
                continue;
            };
            self.heads.advance(key, head);
            if start == 1 {
                self.streams.insert(key);
            }
            group.events += write.events.len();
            group.bytes += write.bytes();
        }
        self.commands.insert(command_id.as_u128());
        group.commands.insert(*command_id, group.accepted.len());
        group.accepted.push(Accepted { prepared, starts_at });
    }

    /// The last event of a stream, including batches of the current group.
    fn head(&mut self, key: u128, shared: &Shared) -> Result<Option<StreamHead>, Error> {
        match self.heads.get(key) {
            Known::Head(head) => return Ok(Some(head)),
            Known::Absent => return Ok(None),
            Known::Unknown => {}
        }
        if !self.streams.maybe(key) {
            return Ok(None);
        }
        let found = look_up::head(shared, &mut self.index, key)?;
        metrics::counter!("daybook_store_head_lookups_total").increment(1);
        if let Some(head) = found {
            self.heads.keep(key, head);
        }
        Ok(found)
    }

    fn is_fresh(&self, id: Uuid) -> bool {
        id.get_version_num() == 7 && (id.as_u128() >> 80) as u64 > self.opened_at
    }
}

/// A look-up failed before anything was written: it may work the next time.
fn not_judged(error: Error) -> Error {
    match error {
        damaged @ Error::Damaged { .. } => damaged,
        error => Error::NotNow(format!("the batch could not be judged: {error}")),
    }
}
