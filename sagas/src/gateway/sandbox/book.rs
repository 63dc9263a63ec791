//! The sandbox's book: one thread writes it and commits for all who wait. An answer never precedes the sync, and no key has two effects,
//! though several processes have the book open.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use domain::ids::PaymentId;
use domain::money::Minor;
use domain::time::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::script::word;
use crate::gateway::Call;

/// Requests that wait at most; more wait outside.
const QUEUE: usize = 8_192;
/// How long a commit waits for another process that writes the same book.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests in one commit.
const GROUP: usize = 1_024;

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

/// Where a payment stands at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose payment it is.
    pub tenant: String,
    /// The payment.
    pub payment_id: PaymentId,
    /// The currency.
    pub currency: String,
    /// What was held in all.
    pub authorised: Minor,
    /// What was taken.
    pub captured: Minor,
    /// What was given back.
    pub refunded: Minor,
    /// What was let go without taking it.
    pub voided: Minor,
}

/// A request that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Uuid,
    /// `authorise`, `capture`, `void` or `refund`.
    pub verb: String,
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
    /// The provider's reference.
    pub provider_ref: String,
    /// Why it was not done, if it was not.
    pub code: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What is said of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Done { entry: Entry },
    NotDone { code: String },
    OtherRequest,
}

enum Job {
    Settle { call: Call, code: Option<String>, at: Timestamp, reply: oneshot::Sender<Told> },
    Look { call: Call, reply: oneshot::Sender<Option<Told>> },
    Count { key: Uuid, what: &'static str, reply: oneshot::Sender<u32> },
    Accounts(oneshot::Sender<rusqlite::Result<Vec<Account>>>),
    Entries(oneshot::Sender<rusqlite::Result<Vec<Entry>>>),
}

/// A reply that is held back until it is durable.
type Held = Box<dyn FnOnce() + Send>;

/// How often calls were tried and asked about.
type Counts = HashMap<(Uuid, &'static str), u32>;

pub(super) struct Book(mpsc::Sender<Job>);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS account (
    tenant TEXT NOT NULL, payment TEXT NOT NULL, currency TEXT NOT NULL,
    authorised INTEGER NOT NULL, captured INTEGER NOT NULL, refunded INTEGER NOT NULL, voided INTEGER NOT NULL,
    PRIMARY KEY (tenant, payment)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, verb TEXT NOT NULL, tenant TEXT NOT NULL, payment TEXT NOT NULL,
    amount INTEGER NOT NULL, currency TEXT NOT NULL, code TEXT, at INTEGER NOT NULL
) STRICT;
";

impl Book {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(PATIENCE)?;
        write_ahead(&db)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(SCHEMA)?;
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

    /// Decides a call, once; `None` if nobody can tell whether it did.
    pub(super) async fn settle(&self, call: Call, code: Option<String>, at: Timestamp) -> Option<Told> {
        self.ask(|reply| Job::Settle { call, code, at, reply }).await
    }

    pub(super) async fn look(&self, call: Call) -> Option<Option<Told>> {
        self.ask(|reply| Job::Look { call, reply }).await
    }

    /// How often this call was tried, this time included; forgotten when the process ends.
    pub(super) async fn tried(&self, key: Uuid) -> Option<u32> {
        let what = "tried";
        self.ask(|reply| Job::Count { key, what, reply }).await
    }

    /// How often this call was asked about, this time included; forgotten when the process ends.
    pub(super) async fn asked(&self, key: Uuid) -> Option<u32> {
        let what = "asked";
        self.ask(|reply| Job::Count { key, what, reply }).await
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

/// Two processes that open a new book at once get into each other's way here, and SQLite does not wait by itself.
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

/// Takes all that wait, does them in one transaction, makes it durable, and answers. A job whose reply is dropped is answered by
/// silence, which its caller takes for *unknown*.
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
        // What is looked up first must still be so when it is written: another process may have the same book open.
        let begun = db.transaction_with_behavior(TransactionBehavior::Immediate);
        let written = begun.and_then(|tx| {
            for job in jobs {
                held.extend(run(&tx, job, &mut counts)?);
            }
            tx.commit()
        });
        match written {
            Ok(()) => held.into_iter().for_each(|reply| reply()),
            Err(error) => tracing::error!(%error, "the sandbox's book cannot be written"),
        }
    }
}

fn run(db: &Connection, job: Job, counts: &mut Counts) -> rusqlite::Result<Option<Held>> {
    // Whoever does not wait for the answer any more has no use for it.
    Ok(match job {
        Job::Settle { call, code, at, reply } => {
            let told = settle(db, &call, code, at)?;
            Some(Box::new(move || drop(reply.send(told))))
        }
        Job::Look { call, reply } => {
            let found = known(db, &call)?;
            Some(Box::new(move || drop(reply.send(found))))
        }
        Job::Count { key, what, reply } => {
            let count = counts.entry((key, what)).or_insert(0);
            *count += 1;
            let _gone = reply.send(*count);
            None
        }
        Job::Accounts(reply) => {
            drop(reply.send(accounts(db)));
            None
        }
        Job::Entries(reply) => {
            drop(reply.send(entries(db)));
            None
        }
    })
}

/// What was decided of this key before.
fn known(db: &Connection, call: &Call) -> rusqlite::Result<Option<Told>> {
    let found = db
        .prepare_cached(
            "SELECT number, key, verb, payment, amount, code, at, tenant, currency FROM entry WHERE key = ?1",
        )?
        .query_row([call.key.as_bytes().as_slice()], |row| {
            let text = |at| row.get::<_, String>(at);
            Ok((entry(row)?, text(7)?, text(8)?))
        })
        .optional()?;
    Ok(found.map(|(entry, tenant, currency)| {
        let same = entry.verb == word(call.verb)
            && entry.payment_id == call.payment_id
            && entry.amount == call.amount.amount
            && currency == call.amount.currency.code()
            && tenant == call.tenant.as_str();
        match &entry.code {
            _ if !same => Told::OtherRequest,
            Some(code) => Told::NotDone { code: code.clone() },
            None => Told::Done { entry },
        }
    }))
}

fn settle(db: &Connection, call: &Call, code: Option<String>, at: Timestamp) -> rusqlite::Result<Told> {
    if let Some(told) = known(db, call)? {
        return Ok(told);
    }
    let code = match code {
        Some(code) => Some(code),
        None => move_money(db, call)?,
    };
    db.prepare_cached(
        "INSERT INTO entry (key, verb, tenant, payment, amount, currency, code, at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        call.key.as_bytes().as_slice(),
        word(call.verb),
        call.tenant.as_str(),
        call.payment_id.to_string(),
        call.amount.amount,
        call.amount.currency.code(),
        code,
        at.micros(),
    ])?;
    Ok(match code {
        Some(code) => Told::NotDone { code },
        None => Told::Done {
            entry: Entry {
                key: call.key,
                verb: word(call.verb).to_owned(),
                payment_id: call.payment_id,
                amount: call.amount.amount,
                provider_ref: reference(db.last_insert_rowid()),
                code: None,
                at,
            },
        },
    })
}

/// Moves the account; why not, if it cannot.
fn move_money(db: &Connection, call: &Call) -> rusqlite::Result<Option<String>> {
    let (tenant, payment) = (call.tenant.as_str(), call.payment_id.to_string());
    let found = db
        .prepare_cached(
            "SELECT authorised, captured, refunded, voided, currency FROM account WHERE tenant = ?1 AND payment = ?2",
        )?
        .query_row(params![tenant, payment], |row| {
            let sum = |at| row.get::<_, Minor>(at);
            Ok(([sum(0)?, sum(1)?, sum(2)?, sum(3)?], row.get::<_, String>(4)?))
        })
        .optional()?;
    let verb = word(call.verb);
    let (amount, currency) = (call.amount.amount, call.amount.currency.code());
    let first = || (verb == "authorise").then(|| ([0; 4], currency.to_owned()));
    let Some(([mut authorised, mut captured, mut refunded, mut voided], of)) = found.or_else(first) else {
        return Ok(Some("no-such-payment".into()));
    };
    let held = authorised - captured - voided;
    let refusal = match verb {
        _ if of != currency => Some("other-currency"),
        _ if amount <= 0 => Some("invalid-amount"),
        "authorise" if held > 0 => Some("already-authorised"),
        "capture" if amount > held => Some("exceeds-authorised"),
        "refund" if amount > captured - refunded => Some("exceeds-captured"),
        _ => None,
    };
    if let Some(code) = refusal {
        return Ok(Some(code.to_owned()));
    }
    match verb {
        "authorise" => authorised += amount,
        "capture" => captured += amount,
        "void" => voided += held,
        _ => refunded += amount,
    }
    db.prepare_cached("INSERT OR REPLACE INTO account VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![tenant, payment, currency, authorised, captured, refunded, voided])?;
    Ok(None)
}

fn reference(number: i64) -> String {
    format!("sbx-{number}")
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        provider_ref: reference(row.get(0)?),
        key: Uuid::from_slice(&row.get::<_, Vec<u8>>(1)?).unwrap_or_default(),
        verb: row.get(2)?,
        payment_id: row.get::<_, String>(3)?.parse().unwrap_or_default(),
        amount: row.get(4)?,
        code: row.get(5)?,
        at: Timestamp::from_micros(row.get(6)?),
    })
}

fn entries(db: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let query = "SELECT number, key, verb, payment, amount, code, at FROM entry ORDER BY number";
    db.prepare(query)?.query_map([], entry)?.collect()
}

fn accounts(db: &Connection) -> rusqlite::Result<Vec<Account>> {
    let query = "SELECT tenant, payment, currency, authorised, captured, refunded, voided FROM account";
    db.prepare(query)?
        .query_map([], |row| {
            Ok(Account {
                tenant: row.get(0)?,
                payment_id: row.get::<_, String>(1)?.parse().unwrap_or_default(),
                currency: row.get(2)?,
                authorised: row.get(3)?,
                captured: row.get(4)?,
                refunded: row.get(5)?,
                voided: row.get(6)?,
            })
        })?
        .collect()
}
