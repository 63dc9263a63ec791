//! A payment provider that moves no money, for trials, demonstrations and tests. It keeps its own ledger in its own
//! SQLite file, as a provider would, so that Daybook's records can be compared with it. Never use it with real
//! customers' money.
//!
//! The instrument scripts its behaviour: `sandbox:` and one or more words, separated by commas. A word applies to the
//! authorisation; with the prefix `capture-`, `void-`, `raise-` or `refund-` it applies to that operation. Operations
//! without a word are approved.
//!
//! | word | effect | answer | result of a query |
//! |---|---|---|---|
//! | `approve` | executes | done | done |
//! | `decline`, `declines` | none | not done, `{verb}-declined` | not done |
//! | `timeout`, `timeout-after-charge` | executes | never answers | done |
//! | `late` | executes | done, after the configured delay | done |
//! | `flaky`, `flaky-n` | none for n attempts (2), then executes | the connection breaks n times, then done | nothing, then done |
//! | `busy`, `busy-n` | none for n attempts (2), then executes | "later" n times, then done | nothing, then done |
//! | `dark`, `dark-n` | executes | never answers | no answer to the first n (3) queries, then done |
//! | `never` | none | never answers | no answer, ever |
//!
//! The word `plain` restricts the operations on an authorisation: no part of it is voided (`partial-void-unsupported`),
//! it is not raised (`raise-unsupported`), and its first capture releases the rest. Without that word every operation
//! is possible.
//!
//! The word `ends-n` limits the authorisation to n seconds of the sandbox's clock; with `once`, the sandbox authorises once for an order,
//! and declines a second authorisation for the same order with `authorise-declined`.
//!
//! So `sandbox:approve` approves everything, `sandbox:capture-declines` authorises and then declines every capture, and
//! `sandbox:late,refund-timeout` authorises slowly and does not answer refunds. An instrument that does not begin with
//! `sandbox:`, or has a word that is not in the table, is declined with `unknown-instrument`.
//!
//! Amounts are checked against the ledger: it never captures more than was authorised (`exceeds-authorised`), and never
//! refunds more than was captured (`exceeds-captured`). After its end, an authorisation is neither captured nor raised
//! (`authorisation-expired`), and the ledger releases the rest.
//!
//! Evidence about an authorisation that never answered (`never`) is accepted: on the next request that names the
//! authorisation, the ledger opens its account with the amount that was authorised.

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
    /// Its file; created if it is missing.
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
    /// A sandbox without delays, with its ledger in `path`.
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

    /// The account of each payment at the provider.
    ///
    /// # Errors
    /// If the ledger cannot be read.
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
        let instrument = call.instrument.token();
        let window = script::window(instrument).unwrap_or(self.options.capture_within);
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        Terms {
            code,
            at,
            until: Timestamp::from_micros(at.micros().saturating_add(window)),
            abilities: script::abilities(instrument),
            believes: script::behaviour(instrument, Verb::Authorise) == Behaviour::Never,
            once: script::once(instrument),
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
