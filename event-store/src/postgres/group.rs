//! Judges the batches of one group, in order, each against the heads after the earlier ones. A refused batch must not
//! affect later ones. All look-ups of the group are made at once.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::queue::{Job, Prepared};
use crate::append::{Batch, Outcome};
use crate::heads::{Heads, IdMap, Known, StreamHead};
use crate::record::{Micros, Position, StreamId, Version};
use crate::store::Head;

/// How much is taken from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// The heads and ids in memory, and the age of a version 7 id.
    Usual,
    /// Nothing: everything is looked up.
    Full,
}

/// The verdict on each job, in the order of the jobs.
pub(super) enum Verdict {
    /// It goes in: its place among the accepted.
    Accepted(usize),
    /// It repeats an accepted one.
    Repeated(usize),
    /// It conflicts. Reported only once the group is durable, because the verdict may rest on the group.
    Conflict(Outcome),
    /// Its command is in the log already.
    Found(Found),
    /// Nothing to be decided.
    Barrier,
}

/// Where a command is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) first: Position,
    /// The id of the event there.
    pub(super) event_id: Uuid,
}

/// A batch that goes in.
pub(super) struct Accepted {
    /// Its place among the jobs.
    pub(super) job: usize,
    /// Where its versions begin in [`Judged::starts`].
    pub(super) starts_at: usize,
}

/// A group that has been judged.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) accepted: Vec<Accepted>,
    /// The first versions of all writes of all accepted batches, in their order.
    pub(super) starts: Vec<Version>,
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// The latest instant of a barrier; never later than the clock at that time.
    pub(super) asked: Option<Micros>,
    commands: IdMap<usize>,
}

/// The look-ups that a group needs beyond the heads in memory.
#[derive(Default)]
pub(super) struct Questions<'a> {
    pub(super) streams: Vec<&'a StreamId>,
    pub(super) keys: Vec<u128>,
    pub(super) commands: Vec<Uuid>,
}

/// The commands that are in the log already; the heads that were found are kept in memory.
pub(super) type Commands = HashMap<Uuid, Found>;

/// What the writer knows between groups.
pub(super) struct Judge {
    pub(super) heads: Heads,
    capacity: usize,
    /// The head of the log up to which `heads` is right.
    pub(super) known: Head,
    /// When the store was opened, in milliseconds: a younger version 7 id is assumed to be new. If the assumption is
    /// wrong (another process made the id, or the command is repeated), there are two cases. Either the batch
    /// conflicts, and the id is looked up before the conflict is reported; or it fits and violates the unique index,
    /// and the group is judged again with every look-up.
    opened_at: u64,
}

impl Judge {
    pub(super) fn new(capacity: usize, known: Head, opened_at: u64) -> Self {
        Self { heads: Heads::new(capacity, false), capacity, known, opened_at }
    }

    /// Drops the heads: another process has written.
    pub(super) fn forget(&mut self) {
        self.heads = Heads::new(self.capacity, false);
    }

    /// The group is durable.
    pub(super) fn commit(&mut self, head: Head) {
        self.heads.commit();
        self.known = head;
    }

    /// The look-ups that the group needs.
    pub(super) fn questions<'a>(&mut self, jobs: &'a [Job], care: Care) -> Questions<'a> {
        let mut questions = Questions::default();
        let (mut asked, mut ids) = (HashSet::new(), HashSet::new());
        for job in jobs {
            let Job::Append(prepared) = job else { continue };
            let id = prepared.batch.command_id;
            if (care == Care::Full || !self.is_new(id)) && ids.insert(id) {
                questions.commands.push(id);
            }
            for (write, &key) in prepared.batch.writes.iter().zip(&prepared.keys) {
                if matches!(self.heads.get(key), Known::Unknown) && asked.insert(key) {
                    questions.streams.push(&write.stream);
                    questions.keys.push(key);
                }
            }
        }
        questions
    }

    /// Refused commands that were assumed to be new: this must be certain before the refusal is reported.
    pub(super) fn unsure(&self, jobs: &[Job], judged: &Judged, care: Care) -> Vec<Uuid> {
        let refused = jobs.iter().zip(&judged.verdicts);
        let ids = refused.filter_map(|(job, verdict)| match (job, verdict) {
            (Job::Append(prepared), Verdict::Conflict(_)) => Some(prepared.batch.command_id),
            _ => None,
        });
        ids.filter(|id| care == Care::Usual && self.is_new(*id)).collect()
    }

    /// Judges the jobs in their order.
    pub(super) fn judge(&mut self, jobs: &[Job], commands: &Commands) -> Judged {
        let mut judged = Judged::default();
        for (place, job) in jobs.iter().enumerate() {
            let verdict = match job {
                Job::Barrier { floor, .. } => {
                    judged.asked = judged.asked.max(*floor);
                    Verdict::Barrier
                }
                Job::Append(prepared) => self.judge_batch(place, prepared, commands, &mut judged),
            };
            judged.verdicts.push(verdict);
        }
        judged
    }

    fn judge_batch(&mut self, place: usize, prepared: &Prepared, commands: &Commands, judged: &mut Judged) -> Verdict {
        let id = prepared.batch.command_id;
        if let Some(&accepted) = judged.commands.get(&id) {
            return Verdict::Repeated(accepted);
        }
        if let Some(&found) = commands.get(&id) {
            return Verdict::Found(found);
        }
        let starts_at = judged.starts.len();
        if let Some(conflict) = self.conflict(prepared, judged) {
            judged.starts.truncate(starts_at);
            return Verdict::Conflict(conflict);
        }
        self.accept(place, prepared, starts_at, judged);
        Verdict::Accepted(judged.accepted.len() - 1)
    }

    /// The first stream that is not as expected; notes the first versions of those that are.
    fn conflict(&mut self, prepared: &Prepared, judged: &mut Judged) -> Option<Outcome> {
        for (write, &key) in prepared.batch.writes.iter().zip(&prepared.keys) {
            match write.place(self.head(key)) {
                Ok(start) => judged.starts.push(start),
                Err(conflict) => return Some(conflict),
            }
        }
        None
    }

    fn accept(&mut self, place: usize, prepared: &Prepared, starts_at: usize, judged: &mut Judged) {
        let Batch { command_id, writes, .. } = &prepared.batch;
        for ((write, &key), &start) in writes.iter().zip(&prepared.keys).zip(&judged.starts[starts_at..]) {
            let Some(head) = write.head_after(start) else {
                continue;
            };
            self.heads.advance(key, head);
            judged.events += write.events.len();
            judged.bytes += write.bytes();
        }
        judged.commands.insert(*command_id, judged.accepted.len());
        judged.accepted.push(Accepted { job: place, starts_at });
    }

    /// The last event of a stream, including batches of the current group. Heads that are not in memory were looked up
    /// and not found.
    fn head(&mut self, key: u128) -> Option<StreamHead> {
        match self.heads.get(key) {
            Known::Head(head) => Some(head),
            Known::Absent | Known::Unknown => None,
        }
    }

    fn is_new(&self, id: Uuid) -> bool {
        id.get_version_num() == 7 && (id.as_u128() >> 80) as u64 > self.opened_at
    }
}
