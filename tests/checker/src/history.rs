//! What the clients of a run asked and were told, in the order in which it happened. It judges nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use event_store::record::{Position, StreamId, Version};
use uuid::{Uuid, uuid};

use crate::run::{Jump, Moment, Outcome, Read, Run, Seen, Sent, Sight, Told, digest};

/// The name space of command ids that are made from idempotency keys: said here once more, so that a change of it is noticed.
const KEYS: Uuid = uuid!("6f1c2d0e-6f5b-4f3c-9a53-6b1d7a1f0c1e");

/// The command id that an idempotency key stands for.
#[must_use]
pub fn command_id(tenant: &str, key: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&KEYS, tenant.as_bytes()), key.as_bytes())
}

/// A command as a client sends it. Calls with one command id are one command, sent again.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) command_id: Uuid,
    pub(crate) what: Arc<str>,
    pub(crate) request: u128,
    pub(crate) expects: Option<(StreamId, Version)>,
    pub(crate) dry_run: bool,
}

impl Call {
    /// A command by its id. `what` is for people; `request` is all that equal requests have in common: method, path, `If-Match`, body.
    #[must_use]
    pub fn new(command_id: Uuid, what: &str, request: &[&[u8]]) -> Self {
        Self { command_id, what: what.into(), request: digest(request), expects: None, dry_run: false }
    }

    /// A command by its idempotency key.
    #[must_use]
    pub fn keyed(tenant: &str, key: &str, what: &str, request: &[&[u8]]) -> Self {
        Self::new(command_id(tenant, key), what, request)
    }

    /// Only if the stream is at this version: `If-Match`.
    #[must_use]
    pub fn expecting(mut self, stream: StreamId, version: Version) -> Self {
        self.expects = Some((stream, version));
        self
    }

    /// Decides and writes nothing.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// What an answer speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stands {
    /// The commit of its command: position and versions are those right after it. The same for ever.
    #[default]
    Commit,
    /// What became of it later (`Prefer: wait`): position and versions are those of the verdict.
    Later,
}

/// What a client was told.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The problem's code.
    pub code: Option<String>,
    /// `Daybook-Position`. A refusal that names one is on record.
    pub position: Option<Position>,
    /// The versions of streams that it shows (`ETag`).
    pub versions: Vec<(StreamId, Version)>,
    /// `Location`.
    pub location: Option<String>,
    /// `Idempotent-Replayed`.
    pub replayed: bool,
    /// What it speaks of.
    pub stands: Stands,
    /// The body's bytes; only their digest is kept.
    pub body: Vec<u8>,
}

struct Inner {
    ticks: AtomicU64,
    since: Instant,
    run: Mutex<Run>,
}

/// Records a run. Clones share everything. A client is one session: what it does it does one after the other, unless it says so by
/// overlapping in time.
#[derive(Clone)]
pub struct History(Arc<Inner>);

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { ticks: AtomicU64::new(0), since: Instant::now(), run: Mutex::default() }))
    }

    fn now(&self) -> Moment {
        Moment { tick: self.0.ticks.fetch_add(1, Ordering::SeqCst), at: self.0.since.elapsed() }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        // Every change under the lock is one assignment or one push: a panic elsewhere leaves it whole.
        self.0.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Run {
        self.run().clone()
    }

    /// A command is about to be sent: to be called before the first byte leaves.
    #[must_use = "an invocation that is dropped counts as unknown"]
    pub fn invoke(&self, client: &str, call: Call) -> Invocation {
        let mut run = self.run();
        let invoked = self.now();
        run.sent.push(Sent { client: client.into(), call, invoked, ended: None });
        Invocation { history: self.clone(), number: run.sent.len() - 1, open: true }
    }

    /// Somebody saw the record at a position and its hash: a head, a checkpoint, a message.
    pub fn observed(&self, client: &str, position: Position, hash: [u8; 32]) {
        self.see(client, position, Sight::Hash(hash));
    }

    /// Somebody saw the event at a position, without its hash.
    pub fn observed_event(&self, client: &str, position: Position, event_id: Uuid) {
        self.see(client, position, Sight::Event(event_id));
    }

    /// Somebody was told that the log goes on to a position.
    pub fn observed_head(&self, client: &str, position: Position) {
        self.see(client, position, Sight::There);
    }

    fn see(&self, client: &str, position: Position, sight: Sight) {
        if position == 0 {
            return;
        }
        let mut run = self.run();
        let at = self.now();
        run.seen.push(Seen { client: client.into(), position, sight, at });
    }

    /// A reader of the whole log that has seen everything up to `after`.
    #[must_use]
    pub fn reader(&self, client: &str, after: Position) -> Reader {
        Reader { history: self.clone(), client: client.into(), last: after }
    }

    /// A read of what became of a stream is about to be sent.
    #[must_use = "a read that is dropped showed nothing"]
    pub fn read(&self, client: &str, stream: StreamId, min_position: Option<Position>) -> Reading {
        Reading { history: self.clone(), client: client.into(), stream, min_position, invoked: self.now(), open: true }
    }
}

/// A command under way.
pub struct Invocation {
    history: History,
    number: usize,
    open: bool,
}

impl Invocation {
    /// It was answered with 2xx; or with what only an accepted command can be answered with.
    pub fn ok(self, answer: Answer) {
        let (told, replayed) = told(answer);
        self.end(Outcome::Ok { told, replayed });
    }

    /// It was refused, definitely.
    pub fn refused(self, answer: Answer) {
        let (told, replayed) = told(answer);
        self.end(Outcome::Refused { told, replayed });
    }

    /// Whether it took effect is not known: a 5xx, no answer in time, half an answer.
    pub fn unknown(self, why: impl Into<String>) {
        self.end(Outcome::Unknown(why.into()));
    }

    /// What the status and code of an HTTP answer say. A definite refusal is a 4xx that will not change by itself: "come back" (408, 425,
    /// 429, `request-in-progress`) and every 5xx leave the outcome open. Returns whether the outcome is known.
    pub fn answered(self, answer: Answer) -> bool {
        let later = answer.stands == Stands::Later && answer.position.is_some();
        let in_progress = answer.code.as_deref() == Some("request-in-progress");
        match answer.status {
            200..=299 => self.ok(answer),
            408 | 425 | 429 => {
                self.unknown(format!("status {}", answer.status));
                return false;
            }
            400..=499 if in_progress => {
                self.unknown("request-in-progress");
                return false;
            }
            // The verdict on what an accepted command started, told as a problem.
            400..=499 if later => self.ok(answer),
            400..=499 => self.refused(answer),
            status => {
                let code = answer.code.as_deref().unwrap_or("no code");
                self.unknown(format!("status {status}, {code}"));
                return false;
            }
        }
        true
    }

    fn end(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        self.open = false;
        let ended = self.history.now();
        if let Some(sent) = self.history.run().sent.get_mut(self.number) {
            sent.ended = Some((ended, outcome));
        }
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        if self.open {
            self.close(Outcome::Unknown("given up".into()));
        }
    }
}

fn told(answer: Answer) -> (Told, bool) {
    let told = Told {
        status: answer.status,
        code: answer.code,
        position: answer.position,
        versions: answer.versions,
        location: answer.location,
        stands: answer.stands,
        body: digest(&[&answer.body]),
    };
    (told, answer.replayed)
}

/// Reads the log in order, everything of it.
pub struct Reader {
    history: History,
    client: Arc<str>,
    last: Position,
}

impl Reader {
    /// The next record that it saw.
    pub fn saw(&mut self, position: Position, hash: [u8; 32]) {
        if position != self.last + 1 {
            self.history.run().jumps.push(Jump { client: Arc::clone(&self.client), after: self.last, saw: position });
        }
        self.last = position;
        self.history.observed(&self.client, position, hash);
    }
}

/// A read under way.
pub struct Reading {
    history: History,
    client: Arc<str>,
    stream: StreamId,
    min_position: Option<Position>,
    invoked: Moment,
    open: bool,
}

impl Reading {
    /// It showed the stream at a version, and said which position that is.
    pub fn showed(self, version: Version, position: Option<Position>) {
        self.end(version, position);
    }

    /// It said that there is no such thing.
    pub fn absent(self, position: Option<Position>) {
        self.end(0, position);
    }

    fn end(mut self, version: Version, position: Option<Position>) {
        self.open = false;
        let ended = self.history.now();
        self.history.run().reads.push(Read {
            client: Arc::clone(&self.client),
            stream: self.stream.clone(),
            min_position: self.min_position,
            invoked: self.invoked,
            ended,
            position,
            version,
        });
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.open {
            self.history.run().unanswered_reads += 1;
        }
    }
}
