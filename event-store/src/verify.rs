//! Proves a log: every position exists, every hash follows from its record and the hash before, every version is the
//! next of its stream, every event id and command id occurs once, and the index follows from the log. It only reads,
//! and its memory does not grow with the log: the data to compare is sorted on disk.

use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::audit::IndexAudit;
use crate::hash::{self, Hash};
use crate::heads::key_of;
use crate::record::{Position, Record, Version};
use crate::sorted::{Merge, Sorter};
use crate::store::{Error, EventStore, Filter};

/// The progress or the result of a proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// The last position that is proven.
    pub position: Position,
    /// The hash there; the whole log before it follows from it.
    pub hash: Hash,
    /// The head when it was last looked at.
    pub head: Position,
}

/// What one check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// The checked property.
    pub name: String,
    /// How many times.
    pub checked: u64,
    /// How much does not hold.
    pub violated: u64,
    /// Violations, at most [`TOLD`].
    pub violations: Vec<String>,
}

/// Violations that are listed; more are only counted.
pub const TOLD: usize = 100;

impl Finding {
    /// A check that has found nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Something does not hold.
    pub fn violate(&mut self, what: impl FnOnce() -> String) {
        self.violated += 1;
        if self.violations.len() < TOLD {
            self.violations.push(what());
        }
    }
}

/// The result of proving a whole log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How far the chain holds.
    pub proven: Proven,
    /// The first position that does not match, and the mismatch. Nothing after it was read.
    pub broken: Option<(Position, String)>,
    /// The checks.
    pub findings: Vec<Finding>,
}

/// Records read at once.
const PAGE: usize = 2_048;

/// A chain that is being followed.
struct Chain {
    proven: Proven,
    command: Option<Uuid>,
}

impl Chain {
    /// Takes the next record.
    fn follow(&mut self, record: &Record) -> Result<(), Error> {
        let position = self.proven.position + 1;
        hash::check(record, position, &self.proven.hash)?;
        if record.fingerprint.is_none() && self.command.is_some_and(|command| command != record.command_id) {
            return Err(damaged(position, "a command begins there without its fingerprint"));
        }
        self.command = Some(record.command_id);
        self.proven = Proven { position, hash: record.hash, ..self.proven };
        Ok(())
    }
}

/// Proves the chain after `after` (0: all of it) up to the head at the end of the proof.
///
/// # Errors
/// [`Error::Damaged`] with the first position that does not match, or why the log cannot be read.
pub async fn chain(store: &dyn EventStore, after: Position, mut progress: impl FnMut(Proven)) -> Result<Proven, Error> {
    let mut chain = Chain { proven: Proven { position: after, ..Proven::default() }, command: None };
    if after > 0 {
        let page = store.read_log(after - 1, &Filter::default(), 1).await?;
        chain.proven.hash =
            page.records.first().map(|record| record.hash).ok_or_else(|| damaged(after, "there is no record"))?;
    }
    loop {
        let page = store.read_log(chain.proven.position, &Filter::default(), PAGE).await?;
        chain.proven.head = page.head;
        page.records.iter().try_for_each(|record| chain.follow(record))?;
        progress(chain.proven);
        if chain.proven.position >= chain.proven.head {
            return Ok(chain.proven);
        }
    }
}

/// Proves a whole log, and that it has the expected hashes. `index` was taken before; `scratch` is an empty folder, in
/// which about a hundred bytes for each record are written.
///
/// # Errors
/// Why the log cannot be read or the folder not be written. A violation is not an error.
pub async fn prove(
    store: &dyn EventStore,
    index: Option<IndexAudit>,
    scratch: &Path,
    expected: &[(Position, Hash)],
    mut progress: impl FnMut(Proven),
) -> Result<Proof, Error> {
    let mut chain = Chain { proven: Proven::default(), command: None };
    let mut facts = Facts::new(scratch);
    let mut known = Finding::new("hashes that were expected");
    let broken = loop {
        let page = match store.read_log(chain.proven.position, &Filter::default(), PAGE).await {
            Ok(page) => page,
            Err(Error::Damaged { position, what }) => break Some((position, what)),
            Err(error) => return Err(error),
        };
        chain.proven.head = page.head;
        let mut broken = None;
        for record in &page.records {
            if let Err(Error::Damaged { position, what }) = chain.follow(record) {
                broken = Some((position, what));
                break;
            }
            facts.note(record).map_err(not_sorted)?;
            for (position, hash) in expected.iter().filter(|(position, _)| *position == record.position) {
                known.checked += 1;
                if *hash != record.hash {
                    known.violate(|| format!("position {position} has another hash: the log was rewritten"));
                }
            }
        }
        progress(chain.proven);
        if broken.is_some() || chain.proven.position >= chain.proven.head {
            break broken;
        }
    };
    let end = chain.proven.position;
    for (position, _) in expected.iter().filter(|(position, _)| *position > end || *position == 0) {
        known.checked += 1;
        known.violate(|| format!("position {position} was expected, but the proved log ends at {end}"));
    }
    let mut first = Finding::new("hash chain, positions and batches");
    first.checked = end;
    if let Some((position, what)) = &broken {
        first.violate(|| format!("position {position}: {what}"));
    }
    let findings = tokio::task::spawn_blocking(move || facts.check(index, end)).await;
    let found = findings.map_err(|error| Error::Read(error.to_string()))?.map_err(not_sorted)?;
    let mut findings = vec![first];
    findings.extend((!expected.is_empty()).then_some(known));
    findings.extend(found);
    Ok(Proof { proven: chain.proven, broken, findings })
}

fn damaged(position: Position, what: &str) -> Error {
    Error::Damaged { position, what: what.into() }
}

fn not_sorted(error: io::Error) -> Error {
    Error::Read(format!("what was read cannot be sorted on disk: {error}"))
}

/// The data to compare, sorted on disk.
struct Facts {
    /// Key of the stream, version, position, event id.
    entries: Sorter<48>,
    /// Event id, position.
    events: Sorter<24>,
    /// Command id, position of its first record.
    commands: Sorter<24>,
}

/// A record's place in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: u128,
    pub(crate) version: Version,
    pub(crate) position: Position,
    pub(crate) event_id: Uuid,
}

/// A command and where it begins.
pub(crate) type Begun = (Uuid, Position);

impl Facts {
    fn new(scratch: &Path) -> Self {
        Self {
            entries: Sorter::new(scratch, "entries"),
            events: Sorter::new(scratch, "events"),
            commands: Sorter::new(scratch, "commands"),
        }
    }

    fn note(&mut self, record: &Record) -> io::Result<()> {
        let mut entry = [0; 48];
        entry[..16].copy_from_slice(&key_of(&record.stream).to_be_bytes());
        entry[16..24].copy_from_slice(&record.version.to_be_bytes());
        entry[24..32].copy_from_slice(&record.position.to_be_bytes());
        entry[32..].copy_from_slice(record.event_id.as_bytes());
        self.entries.add(entry)?;
        self.events.add(placed(record.event_id, record.position))?;
        if record.fingerprint.is_some() {
            self.commands.add(placed(record.command_id, record.position))?;
        }
        Ok(())
    }

    fn check(self, index: Option<IndexAudit>, end: Position) -> io::Result<Vec<Finding>> {
        let mut versions = Finding::new("versions of each stream");
        let mut commands = Finding::new("each command once");
        let mut begun = unique(self.commands, &mut commands, "command");
        let mut entries = followed(self.entries.finish()?, &mut versions);
        let mut audited = Vec::new();
        if let Some(index) = index {
            audited.push(index.compare(&mut entries, &mut begun, end)?);
        }
        // What the index has not, or where there is none.
        entries.try_for_each(|entry| entry.map(drop))?;
        begun.try_for_each(|begun| begun.map(drop))?;
        drop((entries, begun));
        let mut events = Finding::new("each event's id once");
        unique(self.events, &mut events, "event").try_for_each(|event| event.map(drop))?;
        let mut findings = vec![versions, events, commands];
        findings.extend(audited);
        Ok(findings)
    }
}

fn placed(id: Uuid, position: Position) -> [u8; 24] {
    let mut item = [0; 24];
    item[..16].copy_from_slice(id.as_bytes());
    item[16..].copy_from_slice(&position.to_be_bytes());
    item
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The entries in order of key and version, each held against the one before it.
fn followed(merge: Merge<48>, finding: &mut Finding) -> impl Iterator<Item = io::Result<Entry>> {
    let mut last: Option<Entry> = None;
    merge.map(move |item| {
        let item = item?;
        let entry = Entry {
            key: u128::from_be_bytes(std::array::from_fn(|n| item[n])),
            version: number(&item[16..24]),
            position: number(&item[24..32]),
            event_id: Uuid::from_bytes(std::array::from_fn(|n| item[32 + n])),
        };
        finding.checked += 1;
        let before = last.filter(|last| last.key == entry.key);
        if entry.version != before.map_or(1, |before| before.version + 1) {
            finding.violate(|| format!("position {}: the version is not the next of its stream", entry.position));
        } else if before.is_some_and(|before| before.position > entry.position) {
            finding.violate(|| format!("position {}: a later version of its stream comes before it", entry.position));
        }
        last = Some(entry);
        Ok(entry)
    })
}

/// Ids with their positions, in order, each held against the one before it.
fn unique(sorter: Sorter<24>, finding: &mut Finding, what: &str) -> impl Iterator<Item = io::Result<Begun>> {
    let (merge, failed) = match sorter.finish() {
        Ok(merge) => (Some(merge), None),
        Err(error) => (None, Some(Err(error))),
    };
    let mut last: Option<Begun> = None;
    let items = merge.into_iter().flatten().map(move |item| {
        let item = item?;
        let begun = (Uuid::from_bytes(std::array::from_fn(|n| item[n])), number(&item[16..]));
        finding.checked += 1;
        if let Some((_, before)) = last.filter(|(id, _)| *id == begun.0) {
            finding.violate(|| format!("position {}: the {what} {} is also at position {before}", begun.1, begun.0));
        }
        last = Some(begun);
        Ok(begun)
    });
    failed.into_iter().chain(items)
}
