//! The sandbox's ledger file: one thread writes it and commits for all waiting callers. An answer is never sent before
//! the sync, and no key has two effects, even if several processes have the file open.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::ledger::{self, Account, Entry, Terms, Told};
use crate::gateway::Call;

/// Requests that wait at most; more wait outside.
const QUEUE: usize = 8_192;
/// How long a commit waits for another process that writes the same book.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests in one commit.
const GROUP: usize = 1_024;

/// How many calls are counted at once: calls that are never repeated must not fill the memory. Calls beyond the limit
/// are not lost.
const COUNTED: usize = 100_000;

/// Why the book cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not a sandbox's, or cannot be read or written.
    #[error("the sandbox's book cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// The writing thread cannot be started.
    #[error("the sandbox's thread cannot be started")]
    Thread(#[from] std::io::Error),
    /// It is closed.
    #[error("the sandbox's book is closed")]
    Closed,
}

enum Job {
    Settle { call: Call, terms: Terms, reply: oneshot::Sender<Told> },
    Look { call: Call, reply: oneshot::Sender<Option<Told>> },
    Try { key: Uuid, most: u32, reply: oneshot::Sender<bool> },
    Ask { key: Uuid, most: u32, reply: oneshot::Sender<bool> },
    Accounts(oneshot::Sender<rusqlite::Result<Vec<Account>>>),
    Entries(oneshot::Sender<rusqlite::Result<Vec<Entry>>>),
}

/// A reply that is held back until it is durable.
type Held = Box<dyn FnOnce() + Send>;

/// How often undecided calls were sent or queried; dropped when they are decided, or the process ends.
type Counts = HashMap<Uuid, u32>;

pub(super) struct Book(mpsc::Sender<Job>);

impl Book {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(PATIENCE)?;
        write_ahead(&db)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        ledger::prepare(&tx)?;
        tx.commit()?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        thread::Builder::new().name("sandbox-book".into()).spawn(move || write(db, queue))?;
        Ok(Self(jobs))
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(job(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Decides a call, once; `None` if it is unknown whether it did.
    pub(super) async fn settle(&self, call: Call, terms: Terms) -> Option<Told> {
        self.ask(|reply| Job::Settle { call, terms, reply }).await
    }

    pub(super) async fn look(&self, call: Call) -> Option<Option<Told>> {
        self.ask(|reply| Job::Look { call, reply }).await
    }

    /// Whether this is one of the first `most` times that a call which is not decided is tried.
    pub(super) async fn tried(&self, key: Uuid, most: u32) -> Option<bool> {
        self.ask(|reply| Job::Try { key, most, reply }).await
    }

    /// Whether this is one of the first `most` queries of a call.
    pub(super) async fn asked(&self, key: Uuid, most: u32) -> Option<bool> {
        self.ask(|reply| Job::Ask { key, most, reply }).await
    }

    pub(super) async fn accounts(&self) -> Result<Vec<Account>, OpenError> {
        let answer = self.ask(Job::Accounts).await.ok_or(OpenError::Closed)?;
        Ok(answer?)
    }

    pub(super) async fn entries(&self) -> Result<Vec<Entry>, OpenError> {
        let answer = self.ask(Job::Entries).await.ok_or(OpenError::Closed)?;
        Ok(answer?)
    }
}

/// Two processes that open a new ledger at once conflict here, and SQLite does not wait by itself.
fn write_ahead(db: &Connection) -> Result<(), rusqlite::Error> {
    let begun = Instant::now();
    loop {
        match db.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

/// Takes all waiting jobs, does them in one transaction, syncs it, and answers. A job whose reply is dropped gets no
/// answer, which its caller takes for *unknown*.
fn write(mut db: Connection, mut queue: mpsc::Receiver<Job>) {
    let mut counts = Counts::new();
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < GROUP
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        let mut held: Vec<Held> = Vec::with_capacity(jobs.len());
        // The looked-up state must still be valid at the write, because another process may have the same ledger open.
        let begun = db.transaction_with_behavior(TransactionBehavior::Immediate);
        let written = begun.and_then(|tx| {
            for job in jobs {
                held.extend(run(&tx, job, &mut counts)?);
            }
            tx.commit()
        });
        match written {
            Ok(()) => held.into_iter().for_each(|reply| reply()),
            Err(error) => tracing::error!(
                %error,
                "the sandbox's ledger cannot be written; payments ask again, check that the disk has space"
            ),
        }
    }
}

fn run(db: &Connection, job: Job, counts: &mut Counts) -> rusqlite::Result<Option<Held>> {
    // A caller that has stopped waiting does not need the answer.
    Ok(match job {
        Job::Settle { call, terms, reply } => {
            let told = ledger::settle(db, &call, &terms, counts.remove(&call.key).unwrap_or(0))?;
            Some(Box::new(move || drop(reply.send(told))))
        }
        Job::Look { call, reply } => {
            let found = ledger::known(db, &call)?;
            Some(Box::new(move || drop(reply.send(found))))
        }
        Job::Try { key, most, reply } => {
            let early = !ledger::is_decided(db, key)? && is_counted(counts, key, most);
            let _gone = reply.send(early);
            None
        }
        Job::Ask { key, most, reply } => {
            let decided = ledger::is_decided(db, key)?;
            let early = if decided { ledger::asked(db, key, most)? } else { is_counted(counts, key, most) };
            Some(Box::new(move || {
                let _gone = reply.send(early);
            }))
        }
        Job::Accounts(reply) => {
            drop(reply.send(ledger::accounts(db)));
            None
        }
        Job::Entries(reply) => {
            drop(reply.send(ledger::entries(db)));
            None
        }
    })
}

/// Counts a call, up to `most`; whether it was one of those.
fn is_counted(counts: &mut Counts, key: Uuid, most: u32) -> bool {
    if counts.len() >= COUNTED && !counts.contains_key(&key) {
        return false;
    }
    let count = counts.entry(key).or_insert(0);
    let early = *count < most;
    *count += u32::from(early);
    early
}
