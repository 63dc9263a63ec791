//! A bulk import: what it read, what it refused, and the credits without a match. It never repeats what orders record;
//! a run that is started again continues where it stopped.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Class};
use crate::ids::{CustomerRef, ImportId, Sku};
use crate::money::Minor;
use crate::stream;

/// What to do with bad rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// One bad row and nothing is done.
    All,
    /// The other rows are done, and the bad ones reported (the default).
    #[default]
    Rows,
    /// As `rows`, and orders that are there already are passed over without comparing them.
    Skip,
}

/// `ImportStarted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The run; made from the content, so that the same file is the same run.
    pub import_id: ImportId,
    /// `retail`, `orders-csv` or `orders-ndjson`.
    pub layout: String,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
    /// The caller's name for the source, for example a file name.
    pub source: String,
    /// What to do with bad rows.
    pub policy: Policy,
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowRefusal {
    /// The row's line in the content, counted from 1, the header included.
    pub line: u64,
    /// A stable kebab-case code.
    pub code: String,
    /// What a person reads.
    pub reason: String,
}

/// `ImportRowsRefused`: some of the rows that were refused, at most a thousand an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowsRefused {
    /// Which part of the report this is, counted from 1. The same part takes effect once.
    pub part: u32,
    /// The rows.
    pub rows: Vec<RowRefusal>,
}

/// `CreditRecorded`: a credit that matches no sale; without stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditRecorded {
    /// Row key; the same one takes effect once.
    pub row_key: String,
    /// The credit note's number.
    pub invoice: String,
    /// The credited SKU.
    pub sku: Sku,
    /// The customer.
    pub customer: Option<CustomerRef>,
    /// Units, at least 1.
    pub qty: u32,
    /// Its value in minor units.
    pub amount: Minor,
}

/// `ImportFinished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finished {
    /// How many of what, by class.
    pub counts: BTreeMap<String, i64>,
}

/// A fact about a bulk run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Started(Started),
    RowsRefused(RowsRefused),
    CreditRecorded(CreditRecorded),
    Finished(Finished),
}

/// A wish about a bulk run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Start it; again: nothing.
    Start(Started),
    /// Report refused rows.
    RefuseRows(RowsRefused),
    /// Record a credit that matches no sale.
    RecordCredit(CreditRecorded),
    /// Finish it; again with the same counts: nothing.
    Finish(Finished),
}

/// A bulk run; absent until it is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Import {
    /// There is none (yet).
    #[default]
    Absent,
    /// It was started.
    Started(Run),
}

/// A bulk run that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The start event.
    pub started: Started,
    /// Parts of the report that are recorded.
    pub parts: BTreeSet<u32>,
    /// How many rows were refused.
    pub rows_refused: u64,
    /// Row keys of the credits that are recorded.
    pub credits: BTreeSet<String>,
    /// Their value.
    pub credited: Minor,
    /// How many of what, once it is finished.
    pub finished: Option<BTreeMap<String, i64>>,
}

/// Why a bulk run says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is none.
    #[error("there is no such import")]
    NotFound,
    /// The id belongs to other content, or to another policy, under which earlier rows were imported.
    #[error("that id was used to import something else, or by another policy")]
    ImportChanged,
    /// It is finished.
    #[error("the import is finished")]
    ImportFinished,
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::ImportChanged => "import-changed",
            Self::ImportFinished => "import-finished",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound => Class::Absent,
            Self::ImportChanged | Self::ImportFinished => Class::Conflict,
        }
    }
}

impl Aggregate for Import {
    const CATEGORY: &'static str = stream::IMPORT;
    const FOLD: u32 = 1;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (self, command) {
            (Self::Absent, Command::Start(started)) => Ok(vec![Event::Started(started.clone())]),
            (Self::Absent, _) => Err(Refusal::NotFound),

            (Self::Started(run), Command::Start(again)) => {
                let same = run.started.sha256 == again.sha256
                    && run.started.layout == again.layout
                    && run.started.policy == again.policy;
                if same { Ok(vec![]) } else { Err(Refusal::ImportChanged) }
            }
            (Self::Started(run), Command::RefuseRows(rows)) => {
                run.once(run.parts.contains(&rows.part), || Event::RowsRefused(rows.clone()))
            }
            (Self::Started(run), Command::RecordCredit(credit)) => {
                run.once(run.credits.contains(&credit.row_key), || Event::CreditRecorded(credit.clone()))
            }
            (Self::Started(run), Command::Finish(finished)) => {
                let same = run.finished.as_ref() == Some(&finished.counts);
                run.once(same, || Event::Finished(finished.clone()))
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match (&mut *self, event) {
            (_, Event::Started(started)) => {
                *self = Self::Started(Run {
                    started: started.clone(),
                    parts: BTreeSet::new(),
                    rows_refused: 0,
                    credits: BTreeSet::new(),
                    credited: 0,
                    finished: None,
                });
            }
            (Self::Started(run), Event::RowsRefused(rows)) => {
                run.parts.insert(rows.part);
                run.rows_refused = run.rows_refused.saturating_add(rows.rows.len() as u64);
            }
            (Self::Started(run), Event::CreditRecorded(credit)) => {
                run.credits.insert(credit.row_key.clone());
                run.credited = run.credited.saturating_add(credit.amount);
            }
            (Self::Started(run), Event::Finished(finished)) => {
                run.finished = Some(finished.counts.clone());
            }
            (Self::Absent, _) => {}
        }
    }
}

impl Run {
    /// An event, unless it is recorded already; none is added to a run that is finished.
    fn once(&self, recorded: bool, event: impl FnOnce() -> Event) -> Result<Vec<Event>, Refusal> {
        if recorded {
            Ok(vec![])
        } else if self.finished.is_some() {
            Err(Refusal::ImportFinished)
        } else {
            Ok(vec![event()])
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::{Named, given};
    use uuid::Uuid;

    impl Named for Command {
        fn names_what_it_makes(&self) -> bool {
            true
        }
    }

    fn started() -> Started {
        Started {
            import_id: ImportId(Uuid::from_u128(1)),
            layout: "retail".into(),
            sha256: "00ff".into(),
            source: "december.csv".into(),
            policy: Policy::Rows,
        }
    }

    fn rows(part: u32) -> RowsRefused {
        RowsRefused {
            part,
            rows: vec![RowRefusal { line: 7, code: "bad-quantity".into(), reason: "`x` is no quantity".into() }],
        }
    }

    fn credit(row_key: &str) -> CreditRecorded {
        CreditRecorded {
            row_key: row_key.into(),
            invoice: "C536379".into(),
            sku: Sku::try_new("D").unwrap(),
            customer: None,
            qty: 1,
            amount: 2750,
        }
    }

    fn counts(orders: i64) -> Finished {
        Finished { counts: BTreeMap::from([("orders".to_owned(), orders)]) }
    }

    #[test]
    fn the_same_file_is_the_same_run() {
        let other = Started { policy: Policy::All, ..started() };
        let renamed = Started { source: "again.csv".into(), ..started() };
        given::<Import>([])
            .when(Command::Start(started()))
            .then([Event::Started(started())])
            .when(Command::Start(renamed))
            .then_nothing()
            .when(Command::Start(other))
            .then_refused(Refusal::ImportChanged);
        given::<Import>([]).when(Command::Finish(counts(1))).then_refused(Refusal::NotFound);
    }

    #[test]
    fn each_part_and_each_credit_is_recorded_once() {
        let run = given::<Import>([Event::Started(started())])
            .when(Command::RefuseRows(rows(1)))
            .then([Event::RowsRefused(rows(1))])
            .when(Command::RefuseRows(rows(2)))
            .then([Event::RowsRefused(rows(2))])
            .when(Command::RecordCredit(credit("C536379/1")))
            .then([Event::CreditRecorded(credit("C536379/1"))])
            .when(Command::RecordCredit(credit("C536379/1")))
            .then_nothing();
        let Import::Started(run) = run.peek() else { panic!("it is started") };
        assert_eq!((run.rows_refused, run.credited), (2, 2750));
    }

    #[test]
    fn a_finished_run_takes_nothing_new() {
        let finished = || {
            given::<Import>([Event::Started(started()), Event::RowsRefused(rows(1))])
                .when(Command::Finish(counts(3)))
                .then([Event::Finished(counts(3))])
                .when(Command::RefuseRows(rows(1)))
                .then_nothing()
        };
        finished().when(Command::Finish(counts(4))).then_refused(Refusal::ImportFinished);
        finished().when(Command::RecordCredit(credit("C1/1"))).then_refused(Refusal::ImportFinished);
    }
}
