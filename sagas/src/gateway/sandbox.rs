//! A provider that moves no money and forgets nothing: for trying out, for demonstrations, for tests. It keeps its own book in its own
//! SQLite file, as a provider would, so that what Daybook believes can be held against it. Never to be used with real customers' money.
//!
//! What it does is written in the instrument: `sandbox:` and one or more words, separated by commas. A word is about the authorisation;
//! with `capture-`, `void-`, `raise-` or `refund-` before it, it is about that. What no word is about is approved.
//!
//! | word | what it does | what it answers | what a query finds |
//! |---|---|---|---|
//! | `approve` | it | done | done |
//! | `decline`, `declines` | nothing | not done, `{verb}-declined` | not done |
//! | `timeout`, `timeout-after-charge` | it | nothing, ever | done |
//! | `late` | it | done, after the configured delay | done |
//! | `flaky`, `flaky-n` | nothing n times (2), then it | the connection breaks n times, then done | nothing, then done |
//! | `busy`, `busy-n` | nothing n times (2), then it | "later" n times, then done | nothing, then done |
//! | `dark`, `dark-n` | it | nothing, ever | no answer to the first n (3) queries, then done |
//! | `never` | nothing | nothing, ever | no answer, ever |
//!
//! The word `plain` is about what can be done with an authorisation: no part of it is let go (`partial-void-unsupported`), it is not raised
//! (`raise-unsupported`), and its first capture lets the rest go. Without that word everything can.
//!
//! So `sandbox:approve` takes everything, `sandbox:capture-declines` holds money and never gives it, and
//! `sandbox:late,refund-timeout` is slow to hold and silent when it gives back. An instrument that does not begin with `sandbox:`, or
//! has a word that is not in the table, is declined with `unknown-instrument`.
//!
//! Amounts are held against its book: more than was held is never taken (`exceeds-authorised`), more than was taken never given back
//! (`exceeds-captured`). After the time that it was held for, it is neither taken nor raised (`authorisation-expired`) but let go.
//!
//! An authorisation that never answered (`never`) and that a person said was done is believed: the book opens its account with what was
//! held, as soon as something is asked for that names the authorisation.

mod book;
mod ledger;
mod script;

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::payment::event::Verb;
use domain::time::Timestamp;

use self::book::Book;
pub use self::book::OpenError;
pub use self::ledger::{Account, Entry};
use self::ledger::{Terms, Told};
use self::script::Behaviour;
use super::{Answer, Call, Found, PaymentGateway};

/// How the sandbox behaves.
#[derive(Clone)]
pub struct Options {
    /// Its file; made if it is not there.
    pub path: PathBuf,
    /// How long every answer takes.
    pub latency: Duration,
    /// How long `late` takes.
    pub late: Duration,
    /// How long `busy` asks to wait.
    pub busy: Duration,
    /// How long held money can be taken.
    pub capture_within: Duration,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Options {
    /// A quick one that keeps its book in `path`.
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            path: path.into(),
            latency: Duration::ZERO,
            late: Duration::from_secs(5),
            busy: Duration::from_secs(1),
            capture_within: Duration::from_secs(7 * 24 * 3_600),
            clock,
        }
    }
}

/// The sandbox.
pub struct Sandbox {
    options: Options,
    book: Book,
}

impl Sandbox {
    /// Opens its book.
    ///
    /// # Errors
    /// If the file cannot be opened or is not a sandbox's.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let book = Book::open(&options.path)?;
        Ok(Self { options, book })
    }

    /// Where each payment stands at the provider.
    ///
    /// # Errors
    /// If the book cannot be read.
    pub async fn book(&self) -> Result<Vec<Account>, OpenError> {
        self.book.accounts().await
    }

    /// Every request that had an effect or was declined, in the order in which that was decided.
    ///
    /// # Errors
    /// If the book cannot be read.
    pub async fn entries(&self) -> Result<Vec<Entry>, OpenError> {
        self.book.entries().await
    }

    async fn call(&self, call: &Call) -> Answer {
        if !self.options.latency.is_zero() {
            tokio::time::sleep(self.options.latency).await;
        }
        let behaviour = script::behaviour(call.instrument.token(), call.verb);
        let lost = match behaviour {
            Behaviour::Flaky(times) | Behaviour::Busy(times) => times,
            Behaviour::Never => return pending().await,
            _ => 0,
        };
        if lost > 0 && self.book.tried(call.key, lost).await == Some(true) {
            return match behaviour {
                Behaviour::Busy(_) => Answer::Later { after: self.options.busy },
                _ => Answer::Unknown { detail: "the connection broke".into() },
            };
        }
        let code = match behaviour {
            Behaviour::Decline => Some(format!("{}-declined", script::word(call.verb))),
            Behaviour::NotOurs => Some("unknown-instrument".into()),
            _ => None,
        };
        let told = self.book.settle(call.clone(), self.terms(call, code)).await;
        match behaviour {
            Behaviour::Timeout | Behaviour::Dark(_) => return pending().await,
            Behaviour::Late => tokio::time::sleep(self.options.late).await,
            _ => {}
        }
        match told {
            Some(Told::Done { entry }) => Answer::Done(done(call, entry)),
            Some(Told::NotDone { code }) => Answer::NotDone { code },
            Some(Told::OtherRequest) => {
                Answer::Unknown { detail: "refused: the key belongs to another request".into() }
            }
            None => Answer::Unknown { detail: "the sandbox's book cannot be written".into() },
        }
    }

    fn terms(&self, call: &Call, code: Option<String>) -> Terms {
        let at = (self.options.clock)();
        let window = i64::try_from(self.options.capture_within.as_micros()).unwrap_or(i64::MAX);
        let instrument = call.instrument.token();
        Terms {
            code,
            at,
            until: Timestamp::from_micros(at.micros().saturating_add(window)),
            abilities: script::abilities(instrument),
            believes: script::behaviour(instrument, Verb::Authorise) == Behaviour::Never,
        }
    }
}

fn done(call: &Call, entry: Entry) -> super::Done {
    let holds = call.verb == Verb::Authorise;
    super::Done {
        provider_ref: entry.provider_ref,
        amount: entry.amount,
        capture_before: entry.capture_before,
        fee: None,
        abilities: holds.then(|| script::abilities(call.instrument.token())),
    }
}

#[async_trait]
impl PaymentGateway for Sandbox {
    async fn authorise(&self, call: &Call) -> Answer {
        self.call(call).await
    }

    async fn capture(&self, call: &Call) -> Answer {
        self.call(call).await
    }

    async fn void(&self, call: &Call) -> Answer {
        self.call(call).await
    }

    async fn raise(&self, call: &Call) -> Answer {
        self.call(call).await
    }

    async fn refund(&self, call: &Call) -> Answer {
        self.call(call).await
    }

    async fn query(&self, call: &Call) -> Found {
        let silent = match script::behaviour(call.instrument.token(), call.verb) {
            Behaviour::Never => true,
            Behaviour::Dark(times) => {
                let asked = self.book.asked(call.key, times).await;
                asked.unwrap_or(true)
            }
            _ => false,
        };
        if silent {
            return Found::Dark { detail: "no answer".into() };
        }
        match self.book.look(call.clone()).await {
            Some(Some(Told::Done { entry })) => Found::Done(done(call, entry)),
            Some(Some(Told::NotDone { code })) => Found::NotDone { code },
            Some(Some(Told::OtherRequest)) => Found::Dark { detail: "the key belongs to another request".into() },
            Some(None) => Found::Nothing,
            None => Found::Dark { detail: "the sandbox's book cannot be read".into() },
        }
    }
}
