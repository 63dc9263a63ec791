//! The open sagas, their correlations, the due times of their timers, and the commands that they wait for. Rebuilt from
//! the consumer's checkpoint and the log; it is not a source of truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::time::Timestamp;
use event_store::partition::CORRELATIONS;
use event_store::record::Version;
use uuid::Uuid;

use super::left::Left;
use super::load::Loaded;
use crate::meters::Measures;

/// The largest state, in bytes. A consumer row takes 4 MiB, and held streams and quarantined sagas come before it.
const LARGEST: usize = 3 * 1024 * 1024;
/// The form of the state's bytes where they name all that is open.
const ALL: u8 = 1;
/// The version of a state that names the open sagas of one partition: the count of partitions follows.
const PARTITION: u8 = 2;
/// The version of a state that names nothing: open sagas are searched for in the log.
const SEARCH: u8 = 3;
/// The bytes of one name.
const ROW: usize = 28;

/// Which saga.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) tenant: Arc<str>,
    pub(super) kind: Arc<str>,
    pub(super) subject: Uuid,
}

/// The data about an open saga that is known without loading it.
struct Entry {
    correlation: Uuid,
    /// The event that started it.
    cause: Uuid,
    since: Timestamp,
    version: Version,
    parked: bool,
    timers: Vec<(String, Timestamp)>,
    commands: Vec<Uuid>,
}

/// A command without an observed answer.
struct Unanswered {
    key: Key,
    sent: Instant,
}

/// A command that was sent long ago.
pub(super) struct Overdue {
    pub(super) command_id: Uuid,
    pub(super) key: Key,
    pub(super) since: Duration,
}

/// Everything that is open.
#[derive(Default)]
pub(super) struct Index {
    open: HashMap<Key, Entry>,
    by_correlation: HashMap<(Arc<str>, Uuid), Vec<Key>>,
    unanswered: HashMap<Uuid, Unanswered>,
    timers: BTreeSet<(Timestamp, Key, String)>,
}

impl Index {
    /// Updates a saga's entry to its current state; a saga that ended is removed. `new` names commands without an
    /// answer.
    pub(super) fn update(&mut self, key: &Key, loaded: &Loaded, at: Timestamp, new: impl IntoIterator<Item = Uuid>) {
        let state = loaded.saga.state();
        let Some(about) = &state.about else { return };
        if state.ended.is_some() {
            return self.forget(key);
        }
        if !self.open.contains_key(key) {
            let correlated = (key.tenant.clone(), about.correlation);
            self.by_correlation.entry(correlated).or_default().push(key.clone());
            let entry = Entry {
                correlation: about.correlation,
                cause: loaded.cause,
                since: at,
                version: 0,
                parked: false,
                timers: Vec::new(),
                commands: Vec::new(),
            };
            self.open.insert(key.clone(), entry);
        }
        let Some(entry) = self.open.get_mut(key) else {
            return;
        };
        entry.version = loaded.version;
        entry.parked = state.parked.is_some();
        for (timer, due_at) in entry.timers.drain(..) {
            self.timers.remove(&(due_at, key.clone(), timer));
        }
        for (timer, due_at) in &state.timers {
            entry.timers.push((timer.clone(), *due_at));
            self.timers.insert((*due_at, key.clone(), timer.clone()));
        }
        for command_id in new {
            entry.commands.push(command_id);
            let unanswered = Unanswered { key: key.clone(), sent: Instant::now() };
            self.unanswered.insert(command_id, unanswered);
        }
    }

    pub(super) fn forget(&mut self, key: &Key) {
        let Some(entry) = self.open.remove(key) else {
            return;
        };
        let correlated = (key.tenant.clone(), entry.correlation);
        if let Some(keys) = self.by_correlation.get_mut(&correlated) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_correlation.remove(&correlated);
            }
        }
        for command_id in entry.commands {
            self.unanswered.remove(&command_id);
        }
        for (timer, due_at) in entry.timers {
            self.timers.remove(&(due_at, key.clone(), timer));
        }
    }

    pub(super) fn version(&self, key: &Key) -> Option<Version> {
        self.open.get(key).map(|entry| entry.version)
    }

    /// The event that started an open saga.
    pub(super) fn cause(&self, key: &Key) -> Option<Uuid> {
        self.open.get(key).map(|entry| entry.cause)
    }

    /// What an open saga belongs to.
    pub(super) fn correlation(&self, key: &Key) -> Option<Uuid> {
        self.open.get(key).map(|entry| entry.correlation)
    }

    pub(super) fn since(&self, key: &Key) -> Option<Timestamp> {
        self.open.get(key).map(|entry| entry.since)
    }

    pub(super) fn keep_since(&mut self, key: &Key, since: Timestamp) {
        if let Some(entry) = self.open.get_mut(key) {
            entry.since = since;
        }
    }

    pub(super) fn correlated(&self, tenant: &Arc<str>, correlation: Uuid) -> &[Key] {
        self.by_correlation.get(&(tenant.clone(), correlation)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn asked_by(&self, command_id: Uuid) -> Option<&Key> {
        self.unanswered.get(&command_id).map(|it| &it.key)
    }

    /// The command is carried out by the process that asked for it; it is looked for after `grace`, and not only after `resend_after`.
    pub(super) fn carried_out(&mut self, command_id: Uuid, grace: Duration, resend_after: Duration) {
        let sent = Instant::now().checked_sub(resend_after.saturating_sub(grace));
        if let (Some(unanswered), Some(sent)) = (self.unanswered.get_mut(&command_id), sent) {
            unanswered.sent = sent;
        }
    }

    /// The append that contained the command was not written.
    pub(super) fn not_asked(&mut self, command_id: Uuid) {
        self.answered(command_id);
    }

    /// Its answer was observed.
    pub(super) fn answered(&mut self, command_id: Uuid) {
        if let Some(unanswered) = self.unanswered.remove(&command_id)
            && let Some(entry) = self.open.get_mut(&unanswered.key)
        {
            entry.commands.retain(|id| *id != command_id);
        }
    }

    /// Up to `limit` timers that are due, the earliest first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<(Timestamp, Key, String)> {
        let due = self.timers.iter().take_while(|(due_at, ..)| *due_at <= now);
        due.take(limit).cloned().collect()
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due_at, ..)| *due_at)
    }

    /// A timer of an open saga that was dropped before.
    pub(super) fn put_timer(&mut self, due_at: Timestamp, key: &Key, timer: &str) {
        if let Some(entry) = self.open.get_mut(key) {
            entry.timers.push((timer.to_owned(), due_at));
            self.timers.insert((due_at, key.clone(), timer.to_owned()));
        }
    }

    /// A timer that its saga no longer has.
    pub(super) fn drop_timer(&mut self, due_at: Timestamp, key: &Key, timer: &str) {
        self.timers.remove(&(due_at, key.clone(), timer.to_owned()));
        if let Some(entry) = self.open.get_mut(key) {
            entry.timers.retain(|(name, due)| name != timer || *due != due_at);
        }
    }

    /// Up to `limit` commands that were sent before `before`, marked as sent now.
    pub(super) fn overdue(&mut self, before: Instant, limit: usize) -> Vec<Overdue> {
        let now = Instant::now();
        self.unanswered
            .iter_mut()
            .filter(|(_, it)| it.sent <= before)
            .take(limit)
            .map(|(command_id, it)| {
                let since = now - std::mem::replace(&mut it.sent, now);
                Overdue { command_id: *command_id, key: it.key.clone(), since }
            })
            .collect()
    }

    pub(super) fn measure(&self, now: Timestamp, kinds: &[&'static str]) -> Measures {
        let mut counts: BTreeMap<Arc<str>, (usize, usize)> =
            kinds.iter().map(|kind| (Arc::from(*kind), (0, 0))).collect();
        let mut oldest = now;
        for (key, entry) in &self.open {
            let count = counts.entry(key.kind.clone()).or_default();
            count.0 += 1;
            count.1 += usize::from(entry.parked);
            oldest = oldest.min(entry.since);
        }
        Measures {
            kinds: counts,
            oldest: super::between(oldest, now),
            timers: self.timers.len(),
            unanswered: self.unanswered.len(),
            ..Measures::default()
        }
    }

    /// Which sagas are open, as bytes that fit into a consumer row. `partitioned`: those of one partition. Where they are too many to be
    /// named, the bytes say that the log is to be searched for them.
    pub(super) fn encode(&self, left_alone: &HashMap<Key, Left>, partitioned: bool) -> Bytes {
        let many = (self.open.len() + left_alone.len()) * ROW > LARGEST;
        let named = if many { None } else { self.name_all(left_alone, partitioned) };
        named.filter(|named| named.len() <= LARGEST).unwrap_or_else(|| {
            crate::meters::checkpoint_too_large();
            tracing::debug!(
                open = self.open.len(),
                "more sagas are open than a checkpoint can name; the next start searches the log"
            );
            Bytes::from_static(&[SEARCH])
        })
    }

    fn name_all(&self, left_alone: &HashMap<Key, Left>, partitioned: bool) -> Option<Bytes> {
        let mut names: Vec<&str> = Vec::new();
        let mut number: HashMap<&str, u16> = HashMap::new();
        let mut rows = BytesMut::with_capacity(self.open.len() * ROW);
        let open = self.open.iter().map(|(key, entry)| (key, entry.since));
        let left_alone = left_alone.iter().map(|(key, left)| (key, left.since));
        for (key, since) in open.chain(left_alone) {
            for name in [&*key.tenant, &*key.kind] {
                let number = match number.get(name) {
                    Some(number) => *number,
                    None => {
                        let next = u16::try_from(names.len()).ok()?;
                        names.push(name);
                        number.insert(name, next);
                        next
                    }
                };
                rows.put_u16(number);
            }
            rows.put_slice(key.subject.as_bytes());
            rows.put_i64(since.micros());
        }
        let mut state = BytesMut::with_capacity(rows.len() + 256);
        if partitioned {
            state.put_u8(PARTITION);
            state.put_u32(CORRELATIONS);
        } else {
            state.put_u8(ALL);
        }
        state.put_u16(u16::try_from(names.len()).ok()?);
        for name in names {
            state.put_u16(u16::try_from(name.len()).ok()?);
            state.put_slice(name.as_bytes());
        }
        state.extend_from_slice(&rows);
        Some(state.freeze())
    }
}

/// The open sagas of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// These, and since when.
    Open(Vec<(Key, Timestamp)>),
    /// They are more than it can name: those that began up to the checkpoint and have not ended are in the log.
    Search,
    /// The bytes are not understood, or name fewer than are wanted.
    Foreign,
}

/// The sagas that a checkpoint names as open. What names all serves a partition too, but not the other way round.
pub(super) fn decode(state: Bytes, partitioned: bool) -> Saved {
    match &state[..] {
        [] => Saved::Open(Vec::new()),
        [SEARCH] => Saved::Search,
        _ => named(state, partitioned).map_or(Saved::Foreign, Saved::Open),
    }
}

fn named(mut state: Bytes, partitioned: bool) -> Option<Vec<(Key, Timestamp)>> {
    match state.try_get_u8().ok()? {
        ALL => {}
        PARTITION if partitioned && state.try_get_u32().ok()? == CORRELATIONS => {}
        _ => return None,
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    for _ in 0..state.try_get_u16().ok()? {
        let length = usize::from(state.try_get_u16().ok()?);
        if state.remaining() < length {
            return None;
        }
        let name = state.split_to(length);
        names.push(std::str::from_utf8(&name).ok()?.into());
    }
    let mut open = Vec::with_capacity(state.remaining() / ROW);
    while state.has_remaining() {
        let tenant = names.get(usize::from(state.try_get_u16().ok()?))?.clone();
        let kind = names.get(usize::from(state.try_get_u16().ok()?))?.clone();
        let subject = Uuid::from_u128(state.try_get_u128().ok()?);
        let since = Timestamp::from_micros(state.try_get_i64().ok()?);
        let key = Key { tenant, kind, subject };
        open.push((key, since));
    }
    Some(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, subject: u128) -> Key {
        Key { tenant: "main".into(), kind: kind.into(), subject: Uuid::from_u128(subject) }
    }

    #[test]
    fn what_is_open_is_read_again_and_foreign_bytes_are_not_taken_for_it() {
        let at = Timestamp::from_micros(77);
        let open = HashMap::from([(key("checkout", 1), at), (key("refund", 2), at)]);
        let alone = open.keys().map(|key| (key.clone(), Left { since: at, heard: 0 })).collect();
        let encode = |partitioned| Index::default().encode(&alone, partitioned);
        for (partitioned, wanted) in [(false, false), (false, true), (true, true)] {
            let bytes = encode(partitioned);
            let Saved::Open(read) = decode(bytes.clone(), wanted) else { panic!("not understood") };
            assert_eq!(read.into_iter().collect::<HashMap<_, _>>(), open);
            assert_eq!(decode(bytes.slice(..bytes.len() - 1), wanted), Saved::Foreign);
        }
        assert_eq!(decode(encode(true), false), Saved::Foreign, "it names a part of them only");
        assert_eq!(decode(Bytes::new(), true), Saved::Open(Vec::new()));
        assert_eq!(decode(Bytes::from_static(&[9, 0, 0]), false), Saved::Foreign);
    }

    #[test]
    fn more_open_sagas_than_a_checkpoint_can_name_are_searched_for_in_the_log() {
        let at = Timestamp::from_micros(77);
        let left = Left { since: at, heard: 0 };
        let many: HashMap<_, _> = (0..160_000).map(|number| (key("checkout", number), left)).collect();
        let state = Index::default().encode(&many, false);
        assert!(state.len() <= LARGEST, "{} bytes", state.len());
        for partitioned in [false, true] {
            assert_eq!(decode(state.clone(), partitioned), Saved::Search);
        }
    }
}
