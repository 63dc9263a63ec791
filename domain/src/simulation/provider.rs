//! A payment provider with a book of its own: it does each request once, and sometimes says no, or nothing.

use std::collections::BTreeMap;

use crate::ids::PaymentId;
use crate::money::Minor;
use crate::payment::command::{Outcome, RecordOutcome};
use crate::payment::event::{Event, Verb};

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
}

impl Provider {
    /// A request that an event asks for.
    pub(super) fn asked(&mut self, payment_id: PaymentId, event: &Event) {
        let (verb, attempt, amount) = match event {
            Event::AuthorisationRequested(it) => (Verb::Authorise, it.attempt, it.amount.amount),
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
            _ => return,
        };
        self.waiting.push(Request { payment_id, verb, attempt, amount });
    }

    /// Does the request, or what it did before is told again. `willing` is asked once for each request; `silent` lets the answer get lost.
    pub(super) fn answer(&mut self, at: usize, willing: bool, silent: bool) -> RecordOutcome {
        let request = self.waiting[at].clone();
        let done = match self.done.get(&request) {
            Some(done) => *done,
            None => {
                self.done.insert(request.clone(), willing);
                if willing {
                    self.book(&request);
                }
                willing
            }
        };
        let outcome = match (silent, done) {
            (true, _) => Outcome::Unknown { detail: "timeout".into() },
            (false, true) => Outcome::Done {
                provider_ref: format!("{:?}/{}", request.verb, request.attempt),
                amount: request.amount,
                capture_before: None,
                fee: None,
                abilities: None,
            },
            (false, false) => Outcome::NotDone { code: "do_not_honour".into() },
        };
        if !silent {
            self.waiting.remove(at);
        }
        RecordOutcome { verb: request.verb, attempt: request.attempt, outcome, evidence: None }
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
