//! The contents of the sandbox's ledger: an account for each payment, and every decided request.

use domain::ids::PaymentId;
use domain::money::Minor;
use domain::payment::abilities::Abilities;
use domain::payment::event::Verb;
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::script::word;
use crate::gateway::Call;

/// The state of a payment at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose payment it is.
    pub tenant: String,
    /// The payment.
    pub payment_id: PaymentId,
    /// The currency.
    pub currency: String,
    /// The authorised amount in all.
    pub authorised: Minor,
    /// The captured amount.
    pub captured: Minor,
    /// The refunded amount.
    pub refunded: Minor,
    /// The amount released without capture.
    pub voided: Minor,
    /// The end of the authorisation, if there is one.
    pub capture_before: Option<Timestamp>,
}

/// A request that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Uuid,
    /// `authorise`, `capture`, `void`, `raise` or `refund`.
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
    /// The end of an authorisation.
    pub capture_before: Option<Timestamp>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Done { entry: Entry },
    NotDone { code: String },
    OtherRequest,
}

/// How a request is judged.
pub(super) struct Terms {
    /// The code of a decline, regardless of the account.
    pub(super) code: Option<String>,
    pub(super) at: Timestamp,
    /// The end of an authorisation.
    pub(super) until: Timestamp,
    pub(super) abilities: Abilities,
    /// Whether an authorisation that the book does not know is taken for true: it never answered for it.
    pub(super) believes: bool,
    /// Whether a second authorisation for an order is declined.
    pub(super) once: bool,
}

/// The first schema of a ledger, and its later changes, each with the version number that the file has afterwards.
const FORMS: [(i64, &str); 3] = [
    (
        1,
        "CREATE TABLE IF NOT EXISTS account (
            tenant TEXT NOT NULL, payment TEXT NOT NULL, currency TEXT NOT NULL,
            authorised INTEGER NOT NULL, captured INTEGER NOT NULL, refunded INTEGER NOT NULL, voided INTEGER NOT NULL,
            PRIMARY KEY (tenant, payment)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS entry (
            number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, verb TEXT NOT NULL, tenant TEXT NOT NULL, payment TEXT NOT NULL,
            amount INTEGER NOT NULL, currency TEXT NOT NULL, code TEXT, at INTEGER NOT NULL
        ) STRICT;",
    ),
    (
        2,
        "ALTER TABLE account ADD COLUMN capture_before INTEGER;
        ALTER TABLE entry ADD COLUMN capture_before INTEGER;
        ALTER TABLE entry ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;",
    ),
    (3, "ALTER TABLE entry ADD COLUMN purchase TEXT;"),
];

/// Makes the tables, or brings those of an older book up to date.
pub(super) fn prepare(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let form: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (number, change) in FORMS.iter().filter(|(number, _)| *number > form) {
        tx.execute_batch(change)?;
        tx.pragma_update(None, "user_version", number)?;
    }
    Ok(())
}

/// The earlier decision for this key.
pub(super) fn known(db: &Connection, call: &Call) -> rusqlite::Result<Option<Told>> {
    let found = db
        .prepare_cached(
            "SELECT number, key, verb, payment, amount, code, at, capture_before, tenant, currency FROM entry WHERE key = ?1",
        )?
        .query_row([call.key.as_bytes().as_slice()], |row| {
            let text = |at| row.get::<_, String>(at);
            Ok((entry(row)?, text(8)?, text(9)?))
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

/// Whether a key was decided.
pub(super) fn is_decided(db: &Connection, key: Uuid) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM entry WHERE key = ?1")?.exists([key.as_bytes().as_slice()])
}

/// Counts a question about a decided request, up to `most`; whether it was one of those.
pub(super) fn asked(db: &Connection, key: Uuid, most: u32) -> rusqlite::Result<bool> {
    let counted = db
        .prepare_cached("UPDATE entry SET asked = asked + 1 WHERE key = ?1 AND asked < ?2")?
        .execute(params![key.as_bytes().as_slice(), most])?;
    Ok(counted > 0)
}

/// Decides a request, once. `asked`: how often it was queried before.
pub(super) fn settle(db: &Connection, call: &Call, terms: &Terms, asked: u32) -> rusqlite::Result<Told> {
    if let Some(told) = known(db, call)? {
        return Ok(told);
    }
    let code = match &terms.code {
        Some(code) => Some(code.clone()),
        None if terms.once && call.verb == Verb::Authorise && held_before(db, call)? => {
            Some(format!("{}-declined", word(call.verb)))
        }
        None => move_money(db, call, terms)?,
    };
    let capture_before = (call.verb == Verb::Authorise && code.is_none()).then_some(terms.until);
    db.prepare_cached(
        "INSERT INTO entry (key, verb, tenant, payment, amount, currency, code, at, capture_before, asked, purchase) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        call.key.as_bytes().as_slice(),
        word(call.verb),
        call.tenant.as_str(),
        call.payment_id.to_string(),
        call.amount.amount,
        call.amount.currency.code(),
        code,
        terms.at.micros(),
        capture_before.map(Timestamp::micros),
        asked,
        call.order_id.to_string(),
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
                at: terms.at,
                capture_before,
            },
        },
    })
}

/// Whether money was held for the order of an authorisation before.
fn held_before(db: &Connection, call: &Call) -> rusqlite::Result<bool> {
    let done = "SELECT 1 FROM entry WHERE tenant = ?1 AND purchase = ?2 AND verb = ?3 AND code IS NULL";
    let order = call.order_id.to_string();
    db.prepare_cached(done)?.exists(params![call.tenant.as_str(), order, word(call.verb)])
}

/// Moves the account; why not, if it cannot.
fn move_money(db: &Connection, call: &Call, terms: &Terms) -> rusqlite::Result<Option<String>> {
    let Some(before) = account_of(db, call)?.or_else(|| Account::opened_for(call, terms.believes)) else {
        return Ok(Some("no-such-payment".into()));
    };
    let mut account = before.clone();
    let moved = account.take_part(call, terms);
    if account != before {
        db.prepare_cached(
            "INSERT OR REPLACE INTO account \
             (tenant, payment, currency, authorised, captured, refunded, voided, capture_before) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            account.tenant,
            account.payment_id.to_string(),
            account.currency,
            account.authorised,
            account.captured,
            account.refunded,
            account.voided,
            account.capture_before.map(Timestamp::micros),
        ])?;
    }
    Ok(moved.err().map(str::to_owned))
}

impl Account {
    /// The account of a payment that is not in the ledger: empty for an authorisation; with the amount assumed to be
    /// authorised if the sandbox itself never answered the authorisation.
    fn opened_for(call: &Call, believes: bool) -> Option<Self> {
        let authorised = match (call.verb, &call.authorisation) {
            (Verb::Authorise, _) => 0,
            (_, Some(authorisation)) if believes => authorisation.amount,
            _ => return None,
        };
        Some(Self {
            tenant: call.tenant.as_str().to_owned(),
            payment_id: call.payment_id,
            currency: call.amount.currency.code().to_owned(),
            authorised,
            captured: 0,
            refunded: 0,
            voided: 0,
            capture_before: None,
        })
    }

    fn held(&self) -> Minor {
        self.authorised - self.captured - self.voided
    }

    /// Carries out the request; first releases what is held beyond its end.
    fn take_part(&mut self, call: &Call, terms: &Terms) -> Result<(), &'static str> {
        let (amount, currency) = (call.amount.amount, call.amount.currency.code());
        if self.currency != currency {
            return Err("other-currency");
        }
        if amount <= 0 {
            return Err("invalid-amount");
        }
        let ended = self.capture_before.is_some_and(|end| terms.at >= end);
        if ended {
            self.voided += self.held();
        }
        match call.verb {
            Verb::Authorise if self.held() > 0 => return Err("already-authorised"),
            Verb::Capture { .. } | Verb::Raise { .. } if ended => return Err("authorisation-expired"),
            Verb::Capture { .. } if amount > self.held() => return Err("exceeds-authorised"),
            Verb::Void if amount < self.held() && !terms.abilities.partial_void => {
                return Err("partial-void-unsupported");
            }
            Verb::Raise { .. } if !terms.abilities.raise => return Err("raise-unsupported"),
            Verb::Raise { .. } if self.held() == 0 => return Err("nothing-held"),
            Verb::Refund { .. } if amount > self.captured - self.refunded => return Err("exceeds-captured"),
            Verb::Authorise => {
                self.authorised += amount;
                self.capture_before = Some(terms.until);
            }
            Verb::Raise { .. } => self.authorised += amount,
            Verb::Capture { .. } => {
                self.captured += amount;
                if !terms.abilities.several_captures {
                    self.voided += self.held();
                }
            }
            Verb::Void => self.voided += amount.min(self.held()),
            Verb::Refund { .. } => self.refunded += amount,
        }
        Ok(())
    }
}

fn reference(number: i64) -> String {
    format!("sbx-{number}")
}

fn instant(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
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
        capture_before: instant(row.get(7)?),
    })
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        tenant: row.get(0)?,
        payment_id: row.get::<_, String>(1)?.parse().unwrap_or_default(),
        currency: row.get(2)?,
        authorised: row.get(3)?,
        captured: row.get(4)?,
        refunded: row.get(5)?,
        voided: row.get(6)?,
        capture_before: instant(row.get(7)?),
    })
}

fn account_of(db: &Connection, call: &Call) -> rusqlite::Result<Option<Account>> {
    db.prepare_cached(
        "SELECT tenant, payment, currency, authorised, captured, refunded, voided, capture_before FROM account \
         WHERE tenant = ?1 AND payment = ?2",
    )?
    .query_row(params![call.tenant.as_str(), call.payment_id.to_string()], account)
    .optional()
}

pub(super) fn entries(db: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let query = "SELECT number, key, verb, payment, amount, code, at, capture_before FROM entry ORDER BY number";
    db.prepare(query)?.query_map([], entry)?.collect()
}

pub(super) fn accounts(db: &Connection) -> rusqlite::Result<Vec<Account>> {
    let query = "SELECT tenant, payment, currency, authorised, captured, refunded, voided, capture_before FROM account";
    db.prepare(query)?.query_map([], account)?.collect()
}
