//! One pass over the log: what must hold of the log alone (I4 to I8), and what the history asks of it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use event_store::hash::{self, Hash};
use event_store::record::{Micros, Position, Record, StreamId, Version};
use event_store::{Error, EventStore, Filter};
use serde::Deserialize;
use uuid::Uuid;

use crate::distinct::{Distinct, Repeats};
use crate::observations;
use crate::report::{Invariant, Report, Violation};
use crate::run::{Run, Seen, digest};

/// Records read at once.
const PAGE: usize = 2_048;
/// The event that says that a command changed nothing.
const SETTLED: &str = "CommandSettled";
/// The category of the streams that such events are in.
const OUTCOME: &str = "outcome";

/// 128 bits that stand for a stream's name.
pub(crate) fn key(stream: &StreamId) -> u128 {
    digest(&[stream.tenant.as_bytes(), stream.category.as_bytes(), stream.id.as_bytes()])
}

/// What a history needs to know of the log.
pub(crate) struct Wanted {
    commands: HashSet<Uuid>,
    /// Which streams' versions are asked for, by position.
    versions: BTreeMap<Position, Vec<u128>>,
    /// In order of position.
    seen: Vec<Seen>,
}

impl Wanted {
    pub(crate) fn of(run: &Run) -> Self {
        let mut versions: BTreeMap<Position, Vec<u128>> = BTreeMap::new();
        let mut ask = |position: Position, stream| versions.entry(position).or_default().push(stream);
        for told in run.sent.iter().filter_map(|sent| sent.told()) {
            for (stream, _) in &told.versions {
                ask(told.position.unwrap_or(0), key(stream));
            }
        }
        for read in &run.reads {
            for position in [read.min_position, read.position].into_iter().flatten() {
                ask(position, key(&read.stream));
            }
        }
        let mut seen = run.seen.clone();
        seen.sort_by_key(|seen| seen.position);
        Self { commands: run.sent.iter().map(|sent| sent.call.command_id).collect(), versions, seen }
    }
}

/// What a command wrote in one go.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// Each stream that it wrote, with the first and last version.
    pub(crate) streams: Vec<(u128, Version, Version)>,
    /// What its last `CommandSettled` says.
    pub(crate) settled: Option<Settled>,
}

impl Group {
    /// Whether all that it wrote is its own `CommandSettled`.
    pub(crate) fn is_settled_only(&self) -> bool {
        self.first == self.last && self.settled.as_ref().is_some_and(|settled| settled.own)
    }
}

/// What a `CommandSettled` says.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// The refusal's code; `None`: there was nothing to do.
    pub(crate) code: Option<String>,
    /// Whether it stands in its command's own outcome stream.
    pub(crate) own: bool,
}

#[derive(Deserialize)]
struct SettledData {
    code: Option<String>,
    rests_on: Vec<RestsOn>,
}

#[derive(Deserialize)]
struct RestsOn {
    category: String,
    id: String,
    version: Version,
}

/// What the history asked of the log.
#[derive(Default)]
pub(crate) struct Log {
    groups: HashMap<Uuid, Vec<Group>>,
    versions: HashMap<(Position, u128), Version>,
    streams: HashMap<u128, (Version, u64)>,
    /// The last record's position.
    pub(crate) head: Position,
}

impl Log {
    /// What a command of the history wrote.
    pub(crate) fn groups(&self, command: Uuid) -> &[Group] {
        self.groups.get(&command).map_or(&[], Vec::as_slice)
    }

    /// A stream's version right after a position that the history names together with it; 0 before its first event.
    pub(crate) fn version_at(&self, position: Position, stream: &StreamId) -> Version {
        let key = key(stream);
        match self.versions.get(&(position, key)) {
            Some(version) => *version,
            None => self.last_version(stream),
        }
    }

    /// A stream's version at the end of the log.
    pub(crate) fn last_version(&self, stream: &StreamId) -> Version {
        self.streams.get(&key(stream)).map_or(0, |(version, _)| *version)
    }
}

/// Reads the whole log.
pub(crate) async fn scan(store: &dyn EventStore, wanted: Wanted, report: &mut Report) -> Result<Log, Error> {
    let mut scan = Scan::new(wanted);
    let mut after = 0;
    loop {
        let page = match store.read_log(after, &Filter::default(), PAGE).await {
            Ok(page) => page,
            Err(Error::Damaged { position, what }) => {
                report.add(Violation::new(Invariant::I8, what).at([position]));
                break;
            }
            Err(error) => return Err(error),
        };
        for record in &page.records {
            scan.record(record, report).map_err(no_room)?;
        }
        if page.next <= after || page.next >= page.head {
            if scan.log.head < page.head {
                let what = "the head is beyond the last record";
                report.add(Violation::new(Invariant::I4, what).at([scan.log.head, page.head]));
            }
            break;
        }
        after = page.next;
    }
    scan.end(report).map_err(no_room)
}

fn no_room(error: std::io::Error) -> Error {
    Error::Read(format!("no temporary file for sorting ids: {error}"))
}

struct Scan {
    commands: HashSet<Uuid>,
    questions: std::iter::Peekable<std::collections::btree_map::IntoIter<Position, Vec<u128>>>,
    seen: std::iter::Peekable<std::vec::IntoIter<Seen>>,
    /// `None` behind a hole: what the next record was chained to is not known.
    previous: Option<Hash>,
    /// The group that the last record belongs to, and its number.
    group: Option<(Uuid, Micros)>,
    group_number: u64,
    events: Distinct,
    groups: Distinct,
    log: Log,
}

impl Scan {
    fn new(wanted: Wanted) -> Self {
        Self {
            commands: wanted.commands,
            questions: wanted.versions.into_iter().peekable(),
            seen: wanted.seen.into_iter().peekable(),
            previous: Some(hash::START),
            group: None,
            group_number: 0,
            events: Distinct::new(),
            groups: Distinct::new(),
            log: Log::default(),
        }
    }

    fn record(&mut self, record: &Record, report: &mut Report) -> std::io::Result<()> {
        self.answer_before(record.position);
        self.position(record, report);
        self.chain(record, report);
        observations::compare(&mut self.seen, record, report);
        self.events.add(record.event_id.as_u128(), record.position)?;
        let begins = self.group != Some((record.command_id, record.recorded_at));
        if begins {
            self.group = Some((record.command_id, record.recorded_at));
            self.group_number += 1;
            if !self.commands.contains(&record.command_id) {
                self.groups.add(record.command_id.as_u128(), record.position)?;
            }
        }
        let settled = self.settled(record, report);
        let stream = key(&record.stream);
        self.version(record, stream, report);
        if self.commands.contains(&record.command_id) {
            self.keep(record, stream, settled, begins);
        }
        Ok(())
    }

    fn position(&mut self, record: &Record, report: &mut Report) {
        let last = self.log.head;
        if record.position != last + 1 {
            let what =
                if record.position > last { "there is a hole in the positions" } else { "a position comes again" };
            report.add(Violation::new(Invariant::I4, what).at([last, record.position]));
            self.previous = None;
        }
        self.log.head = record.position;
    }

    fn chain(&mut self, record: &Record, report: &mut Report) {
        if let Some(previous) = self.previous {
            let leaf = hash::leaf_of(record);
            let expected = hash::chain(&previous, record.position, record.recorded_at, &leaf);
            if expected != record.hash {
                let what = "the hash is not that of the record and its predecessor";
                report.add(Violation::new(Invariant::I8, what).at([record.position]));
            }
        }
        self.previous = Some(record.hash);
    }

    fn version(&mut self, record: &Record, stream: u128, report: &mut Report) {
        let group = self.group_number;
        let (last, writer) = self.log.streams.get(&stream).copied().unwrap_or((0, 0));
        let said = format!("{:?} has version {} after version {last}", record.stream, record.version);
        if record.version <= last && writer != group {
            let what = format!("{said}: two appends rested on one version");
            report.add(Violation::new(Invariant::I6, what).at([record.position]));
        } else if record.version != last + 1 {
            report.add(Violation::new(Invariant::I5, said).at([record.position]));
        }
        self.log.streams.insert(stream, (record.version, group));
    }

    /// What a `CommandSettled` says; what it rests on must have been so when it was written.
    fn settled(&mut self, record: &Record, report: &mut Report) -> Option<Settled> {
        if &*record.kind != SETTLED {
            return None;
        }
        let data: SettledData = match serde_json::from_slice(&record.data) {
            Ok(data) => data,
            Err(error) => {
                let what = format!("a {SETTLED} cannot be read: {error}");
                report.add(Violation::new(Invariant::I2, what).at([record.position]));
                return None;
            }
        };
        for on in data.rests_on {
            let stream = StreamId::new(record.stream.tenant.clone(), on.category, on.id);
            let was = self.log.last_version(&stream);
            if was != on.version {
                let what = format!("an outcome rests on version {} of {stream:?}, which was at {was}", on.version);
                let violation = Violation::new(Invariant::I6, what).at([record.position]);
                report.add(violation.of(record.command_id));
            }
        }
        let own = &*record.stream.category == OUTCOME && *record.stream.id == record.command_id.to_string();
        Some(Settled { code: data.code, own })
    }

    fn keep(&mut self, record: &Record, stream: u128, settled: Option<Settled>, begins: bool) {
        let groups = match self.log.groups.entry(record.command_id) {
            Entry::Occupied(groups) => groups.into_mut(),
            Entry::Vacant(none) => none.insert(Vec::with_capacity(1)),
        };
        if begins {
            groups.push(Group {
                first: record.position,
                last: record.position,
                streams: Vec::with_capacity(1),
                settled: None,
            });
        }
        let Some(group) = groups.last_mut() else {
            return;
        };
        group.last = record.position;
        group.settled = settled.or(group.settled.take());
        match group.streams.iter_mut().find(|(name, ..)| *name == stream) {
            Some((_, _, last)) => *last = record.version,
            None => group.streams.push((stream, record.version, record.version)),
        }
    }

    /// Answers what is asked of positions before this one.
    fn answer_before(&mut self, position: Position) {
        while let Some((asked, streams)) = self.questions.next_if(|(asked, _)| *asked < position) {
            for stream in streams {
                let version = self.log.streams.get(&stream).map_or(0, |(last, _)| *last);
                self.log.versions.insert((asked, stream), version);
            }
        }
    }

    fn end(mut self, report: &mut Report) -> std::io::Result<Log> {
        self.answer_before(Position::MAX);
        observations::lost(self.seen, self.log.head, report);
        report.counts.records = self.log.head;
        let Repeats { count, first } = self.events.repeats()?;
        for (id, earlier, later) in &first {
            let what = format!("the event id {} comes again", Uuid::from_u128(*id));
            report.add(Violation::new(Invariant::I7, what).at([*earlier, *later]));
        }
        if count > first.len() as u64 {
            let what = format!("{count} event ids come again in all");
            report.add(Violation::new(Invariant::I7, what));
        }
        // Those of the history are looked at with what their clients were told.
        for (id, earlier, later) in self.groups.repeats()?.first {
            let what = "a command that no client of the history sent took effect twice";
            let violation = Violation::new(Invariant::I3, what).at([earlier, later]);
            report.add(violation.of(Uuid::from_u128(id)));
        }
        Ok(self.log)
    }
}
