//! A payment provider with a book of its own: it does each request once, and sometimes says no, or nothing. What its gateway can, what it
//! always declines, and whether what it holds has an end, hangs on the instrument.

use std::collections::BTreeMap;

use crate::ids::PaymentId;
use crate::money::Minor;
use crate::payment::abilities::Abilities;
use crate::payment::command::{Outcome, RecordOutcome};
use crate::payment::event::{AuthorisationExpired, Event, RemainderReleased, Verb, Verdict};
use crate::time::Timestamp;

/// The instruments there are: most of them can everything.
pub(super) const INSTRUMENTS: [&str; 13] =
    ["all", "all", "all", "all", "all", "ends", "ends", "ends whole", "whole", "once", "none", "keeps", "dry"];
/// For how long money is held with an instrument of which it is not held without end, in seconds.
const WINDOW: u32 = 1_800;

/// A request at the provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) payment_id: PaymentId,
    pub(super) verb: Verb,
    pub(super) attempt: u32,
    pub(super) amount: Minor,
}

/// What the provider did, by payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) authorised: Minor,
    pub(super) captured: Minor,
    pub(super) refunded: Minor,
    pub(super) voided: Minor,
}

#[derive(Default)]
pub(super) struct Provider {
    pub(super) waiting: Vec<Request>,
    /// What it did with each request, for ever.
    done: BTreeMap<Request, bool>,
    pub(super) accounts: BTreeMap<PaymentId, Account>,
    /// The instrument that each payment is made with.
    tokens: BTreeMap<PaymentId, String>,
    /// When what it holds cannot be taken any more.
    ends: BTreeMap<PaymentId, Timestamp>,
}

impl Provider {
    /// A request that an event asks for.
    pub(super) fn asked(&mut self, payment_id: PaymentId, event: &Event) {
        let (verb, attempt, amount) = match event {
            Event::AuthorisationRequested(it) => {
                self.tokens.insert(payment_id, it.instrument.token().to_owned());
                (Verb::Authorise, it.attempt, it.amount.amount)
            }
            Event::CaptureRequested(it) => {
                let capture_id = it.capture_id;
                (Verb::Capture { capture_id }, it.attempt, it.amount)
            }
            Event::RaiseRequested(it) => {
                let raise_id = it.raise_id;
                (Verb::Raise { raise_id }, it.attempt, it.amount)
            }
            Event::VoidRequested(it) => (Verb::Void, it.attempt, it.amount),
            Event::RefundRequested(it) => {
                let refund_id = it.refund_id;
                (Verb::Refund { refund_id }, it.attempt, it.amount)
            }
            // A capture that is the only one lets the rest go.
            Event::RemainderReleased(RemainderReleased { amount })
            | Event::AuthorisationExpired(AuthorisationExpired { amount }) => {
                self.accounts.entry(payment_id).or_default().voided += amount;
                return;
            }
            _ => return,
        };
        self.waiting.push(Request { payment_id, verb, attempt, amount });
    }

    fn token(&self, payment_id: PaymentId) -> &str {
        self.tokens.get(&payment_id).map_or("", String::as_str)
    }

    fn abilities(&self, payment_id: PaymentId) -> Option<Abilities> {
        match self.token(payment_id) {
            "whole" | "ends whole" => Some(Abilities { partial_void: false, ..Abilities::ALL }),
            "once" => Some(Abilities { several_captures: false, ..Abilities::ALL }),
            "none" => Some(Abilities::NONE),
            _ => None,
        }
    }

    /// Whether what it holds has an end.
    fn has_end(&self, payment_id: PaymentId) -> bool {
        self.token(payment_id).starts_with("ends") || self.token(payment_id) == "none"
    }

    /// Whether it never does such a request with this instrument; a void that is refused for ever would be the provider's fault.
    fn never(&self, request: &Request, now: Timestamp) -> bool {
        let ended = self.ends.get(&request.payment_id).is_some_and(|end| now >= *end);
        match request.verb {
            Verb::Capture { .. } | Verb::Raise { .. } if ended => true,
            Verb::Refund { .. } => self.token(request.payment_id) == "keeps",
            Verb::Capture { .. } => self.token(request.payment_id) == "dry",
            Verb::Authorise | Verb::Raise { .. } | Verb::Void => false,
        }
    }

    fn do_once(&mut self, request: &Request, willing: bool, now: Timestamp) -> bool {
        if let Some(done) = self.done.get(request) {
            return *done;
        }
        let done = (willing || request.verb == Verb::Void) && !self.never(request, now);
        self.done.insert(request.clone(), done);
        if done {
            self.book(request);
            if request.verb == Verb::Authorise && self.has_end(request.payment_id) {
                self.ends.insert(request.payment_id, now.plus_seconds(WINDOW));
            }
        }
        done
    }

    /// Does the request, or what it did before is told again. `willing` is asked once for each request; `silent` lets the answer get lost.
    pub(super) fn answer(&mut self, at: usize, willing: bool, silent: bool, now: Timestamp) -> RecordOutcome {
        let request = self.waiting[at].clone();
        let done = self.do_once(&request, willing, now);
        let outcome = match (silent, done) {
            (true, _) => Outcome::Unknown { detail: "timeout".into() },
            (false, true) => Outcome::Done {
                provider_ref: format!("{:?}/{}", request.verb, request.attempt),
                amount: request.amount,
                capture_before: self.ends.get(&request.payment_id).copied().filter(|_| request.verb == Verb::Authorise),
                fee: None,
                abilities: self.abilities(request.payment_id),
            },
            (false, false) => Outcome::NotDone { code: "do_not_honour".into() },
        };
        if !silent {
            self.waiting.remove(at);
        }
        RecordOutcome { verb: request.verb, attempt: request.attempt, outcome, evidence: None }
    }

    /// What somebody finds out who looks a request up, which it will not do any more then.
    pub(super) fn look_up(&mut self, at: usize, now: Timestamp) -> Verdict {
        let request = self.waiting.remove(at);
        if self.do_once(&request, false, now) { Verdict::Done } else { Verdict::NotDone }
    }

    fn book(&mut self, request: &Request) {
        let account = self.accounts.entry(request.payment_id).or_default();
        match request.verb {
            Verb::Authorise | Verb::Raise { .. } => account.authorised += request.amount,
            Verb::Capture { .. } => account.captured += request.amount,
            Verb::Void => account.voided += request.amount,
            Verb::Refund { .. } => account.refunded += request.amount,
        }
        assert!(account.captured + account.voided <= account.authorised, "{account:?}");
        assert!(account.refunded <= account.captured, "{account:?}");
    }
}
