//! What a check came to: counts, and every violation with what it takes to look into it.

use std::collections::BTreeMap;
use std::fmt;

use event_store::record::Position;
use uuid::Uuid;

/// How many violations are kept word for word; the rest are counted. One damaged record can break a promise to every client.
const KEPT: usize = 1_000;
/// How many a panic tells.
const TOLD: usize = 10;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// An acknowledged command is one commit group, at the position and with the versions that were answered.
    I1,
    /// A refused command left nothing but its own `CommandSettled`.
    I2,
    /// A command of unknown outcome took effect once or never; asked again it is there once.
    I3,
    /// Positions run from 1 without hole or repeat, and readers see them so.
    I4,
    /// The versions of a stream run from 1 without hole or repeat.
    I5,
    /// No two appends rested on the same version of a stream that one of them changed.
    I6,
    /// Event ids are unique.
    I7,
    /// The hash chain holds.
    I8,
    /// What was seen of the log is still there.
    I9,
    /// What was acknowledged before a command was sent comes before it in the log.
    I10,
    /// A read shows at least the position that was asked for, and a session never goes back.
    I29,
    /// One key stands for one request and one answer.
    I32,
}

/// Something that cannot be true of both the history and the log.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// In words.
    pub what: String,
    /// The command concerned.
    pub command: Option<Uuid>,
    /// The positions concerned.
    pub positions: Vec<Position>,
    /// The lines of the history concerned.
    pub lines: Vec<String>,
}

impl Violation {
    pub(crate) fn new(invariant: Invariant, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into(), command: None, positions: Vec::new(), lines: Vec::new() }
    }

    pub(crate) fn at(mut self, positions: impl IntoIterator<Item = Position>) -> Self {
        self.positions.extend(positions);
        self
    }

    pub(crate) fn of(mut self, command: Uuid) -> Self {
        self.command = Some(command);
        self
    }

    pub(crate) fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)?;
        if let Some(command) = self.command {
            write!(f, "; command {command}")?;
        }
        if !self.positions.is_empty() {
            write!(f, "; positions {:?}", self.positions)?;
        }
        for line in &self.lines {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands, each counted once however often it was sent.
    pub commands: u64,
    /// Times that a command was sent.
    pub invocations: u64,
    /// Invocations that were answered with 2xx.
    pub ok: u64,
    /// Invocations that were refused definitely.
    pub refused: u64,
    /// Invocations of unknown outcome.
    pub unknown: u64,
    /// Commands with an invocation of unknown outcome of which a later answer told.
    pub resolved: u64,
    /// Commands of unknown outcome that stayed so and are in the log.
    pub unknown_written: u64,
    /// Commands of unknown outcome that stayed so and are not in the log.
    pub unknown_absent: u64,
    /// Answers marked as given before.
    pub replayed: u64,
    /// Reads that showed something.
    pub reads: u64,
    /// Reads that were not answered.
    pub reads_unanswered: u64,
    /// Sights of the log.
    pub observations: u64,
    /// Records of the log, all of which were checked.
    pub records: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records; {} commands sent {} times: {} ok ({} replayed), {} refused, {} unknown; of commands with an unknown \
             outcome {} resolved, {} not resolved and written, {} not resolved and not written; {} reads, {} unanswered; {} sights \
             of the log",
            self.records,
            self.commands,
            self.invocations,
            self.ok,
            self.replayed,
            self.refused,
            self.unknown,
            self.resolved,
            self.unknown_written,
            self.unknown_absent,
            self.reads,
            self.reads_unanswered,
            self.observations
        )
    }
}

/// What a check came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How much was checked.
    pub counts: Counts,
    /// The first violations, at most a thousand.
    pub violations: Vec<Violation>,
    /// All violations, counted.
    pub totals: BTreeMap<Invariant, u64>,
}

impl Report {
    pub(crate) fn add(&mut self, violation: Violation) {
        *self.totals.entry(violation.invariant).or_default() += 1;
        if self.violations.len() < KEPT {
            self.violations.push(violation);
        }
    }

    /// Whether nothing was found. Says nothing about whether there was anything to find: [`Report::assert_green`] does.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.totals.is_empty()
    }

    /// Tells the counts, and panics with the first ten violations and the totals if there are any; likewise if no command was
    /// acknowledged, since such a run proves nothing.
    ///
    /// # Panics
    /// As said.
    #[track_caller]
    pub fn assert_green(&self) -> &Self {
        eprintln!("history: {}", self.counts);
        assert!(
            self.counts.ok > 0,
            "the history has no acknowledged command: this run proves nothing ({})",
            self.counts
        );
        assert!(self.is_green(), "{self}");
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.counts)?;
        if self.is_green() {
            return write!(f, "; nothing violated");
        }
        write!(f, "\nviolations: {:?}", self.totals)?;
        for violation in self.violations.iter().take(TOLD) {
            write!(f, "\n{violation}")?;
        }
        Ok(())
    }
}
