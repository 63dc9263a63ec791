//! One request, pursued until it is settled: called, asked about, called again with the same key where it is proven that the provider
//! has nothing. Silence is never taken for *no*.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::money::Money;
use domain::payment::Payment;
use domain::payment::command::{Command, Outcome, RecordOutcome};
use domain::payment::event::Verb;
use domain::{Event, stream};
use event_store::EventStore;
use event_store::leadership::Term;
use schemas::{Actor, Metadata};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::intent::Intent;
use crate::dispatch::{Dispatch, DispatchError};
use crate::gateway::{Answer, Call, Done, Found, PaymentGateway};
use crate::log::{fold, stream_id};
use crate::meters;

pub(super) struct Pursuit {
    pub(super) store: Arc<dyn EventStore>,
    gateway: Arc<dyn PaymentGateway>,
    dispatch: Arc<dyn Dispatch>,
    options: Options,
    at_once: Semaphore,
    term: Term,
    cancel: CancellationToken,
}

/// What to do next about a request.
enum Next {
    Call,
    Ask,
}

/// What came of a request.
enum Settled {
    Done(Done),
    NotDone(String),
}

impl Pursuit {
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        gateway: Arc<dyn PaymentGateway>,
        dispatch: Arc<dyn Dispatch>,
        options: Options,
        term: Term,
        cancel: CancellationToken,
    ) -> Self {
        Self { store, gateway, dispatch, at_once: Semaphore::new(options.at_once), options, term, cancel }
    }

    /// Pursues a request until the log says that it is settled. `sent_before`: it may have been sent by an earlier life.
    pub(super) async fn run(
        self: Arc<Self>,
        intent: Intent,
        sent_before: bool,
        unknown: bool,
        settled: CancellationToken,
    ) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = settled.cancelled() => {}
            () = self.pursue(&intent, sent_before, unknown) => {}
        }
    }

    async fn pursue(&self, intent: &Intent, sent_before: bool, mut unknown: bool) {
        let call = self.prepare(intent).await;
        let mut next = if sent_before { Next::Ask } else { Next::Call };
        let mut last_sent = Instant::now();
        let mut wait = self.options.ask_first;
        loop {
            // This process may have been paused: what was asked for is pursued by whoever is the active one.
            if !self.term.holds() {
                return;
            }
            let (settled, asked, detail) = match next {
                Next::Call => {
                    last_sent = Instant::now();
                    match self.call(&call, intent).await {
                        Answer::Done(done) => (Some(Settled::Done(done)), false, String::new()),
                        Answer::NotDone { code } => (Some(Settled::NotDone(code)), false, String::new()),
                        Answer::Unknown { detail } => (None, false, detail),
                        Answer::Later { after } => {
                            tokio::time::sleep(after).await;
                            continue;
                        }
                    }
                }
                Next::Ask => match self.ask(&call, intent).await {
                    Found::Done(done) => (Some(Settled::Done(done)), true, String::new()),
                    Found::NotDone { code } => (Some(Settled::NotDone(code)), true, String::new()),
                    Found::Nothing if last_sent.elapsed() >= self.options.grace => {
                        next = Next::Call;
                        continue;
                    }
                    Found::Nothing => (None, true, "the provider has not heard of it yet".into()),
                    Found::InProgress => (None, true, "the provider is at it".into()),
                    Found::Dark { detail } => (None, true, detail),
                },
            };
            if let Some(settled) = settled {
                return self.settle(intent, &call, settled, asked).await;
            }
            if !unknown {
                self.record(intent, &call, "unknown", Outcome::Unknown { detail }, None).await;
                unknown = true;
            }
            next = Next::Ask;
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(self.options.ask_cap);
        }
    }

    /// What the provider has to be told; read from the payment until that works.
    async fn prepare(&self, intent: &Intent) -> Call {
        let key = intent.provider_key();
        let (tenant, payment_id) = (intent.key.tenant.clone(), intent.key.payment_id);
        if let Some(wish) = &intent.authorisation {
            return Call {
                key,
                tenant,
                payment_id,
                order_id: wish.order_id,
                verb: intent.verb,
                amount: wish.amount,
                instrument: wish.instrument.clone(),
                authorisation: None,
            };
        }
        let name = stream_id(&tenant, &stream::payment(payment_id));
        let pick = |event| match event {
            Event::Payment(event) => Some(event),
            _ => None,
        };
        loop {
            let read = fold::<Payment>(self.store.as_ref(), &name, intent.version, pick).await;
            if let Ok(Payment::Requested(payment)) = read {
                return Call {
                    key,
                    tenant,
                    payment_id,
                    order_id: payment.order_id,
                    verb: intent.verb,
                    amount: Money { amount: intent.amount, currency: payment.currency },
                    instrument: payment.instrument,
                    authorisation: payment.provider_ref,
                };
            }
            tracing::error!(payment = %payment_id, "a payment cannot be read; it is tried again");
            tokio::time::sleep(self.options.ask_first).await;
        }
    }

    async fn call(&self, call: &Call, intent: &Intent) -> Answer {
        let unanswered = || Answer::Unknown { detail: "no answer in time".into() };
        let Ok(_permit) = self.at_once.acquire().await else {
            return unanswered();
        };
        let began = Instant::now();
        let answer = async {
            match call.verb {
                Verb::Authorise => self.gateway.authorise(call).await,
                Verb::Capture { .. } => self.gateway.capture(call).await,
                Verb::Void => self.gateway.void(call).await,
                Verb::Refund { .. } => self.gateway.refund(call).await,
            }
        };
        let answer = timeout(self.options.call_timeout, answer).await;
        let answer = answer.unwrap_or_else(|_| unanswered());
        let outcome = match &answer {
            Answer::Done(_) => "done",
            Answer::NotDone { .. } => "not_done",
            Answer::Unknown { .. } => "unknown",
            Answer::Later { .. } => "later",
        };
        meters::gateway(intent.word(), outcome, began.elapsed());
        answer
    }

    async fn ask(&self, call: &Call, intent: &Intent) -> Found {
        let unanswered = || Found::Dark { detail: "no answer in time".into() };
        let Ok(_permit) = self.at_once.acquire().await else {
            return unanswered();
        };
        let began = Instant::now();
        let found = timeout(self.options.call_timeout, self.gateway.query(call)).await;
        let found = found.unwrap_or_else(|_| unanswered());
        let outcome = match &found {
            Found::Done(_) => "found_done",
            Found::NotDone { .. } => "found_not_done",
            Found::InProgress => "in_progress",
            Found::Nothing => "found_nothing",
            Found::Dark { .. } => "dark",
        };
        meters::gateway(intent.word(), outcome, began.elapsed());
        found
    }

    /// Records what came of it, until the log says so.
    async fn settle(&self, intent: &Intent, call: &Call, settled: Settled, asked: bool) {
        let (name, outcome) = match settled {
            Settled::Done(done) => (
                "done",
                Outcome::Done {
                    provider_ref: done.provider_ref,
                    amount: done.amount,
                    capture_before: done.capture_before,
                    fee: done.fee,
                },
            ),
            Settled::NotDone(code) => ("not-done", Outcome::NotDone { code }),
        };
        let evidence = asked.then(|| "the provider was asked".to_owned());
        loop {
            self.record(intent, call, name, outcome.clone(), evidence.clone()).await;
            tokio::time::sleep(self.options.resend_after).await;
        }
    }

    async fn record(&self, intent: &Intent, call: &Call, name: &str, outcome: Outcome, evidence: Option<String>) {
        let mut wait = Duration::from_millis(20);
        let actor = Actor { id: "payments".into(), via: "gateway".into(), on_behalf_of: None };
        let order_id = intent.order_id().unwrap_or(call.order_id);
        let mut meta = Metadata::new(actor, order_id.0);
        meta.causation = Some(call.key);
        loop {
            let command = domain::Command::Payment {
                payment_id: call.payment_id,
                command: Command::RecordOutcome(RecordOutcome {
                    verb: call.verb,
                    attempt: intent.attempt,
                    outcome: outcome.clone(),
                    evidence: evidence.clone(),
                }),
            };
            if !self.term.holds() {
                return;
            }
            let id = intent.outcome_id(name);
            let sent = self.dispatch.dispatch(&call.tenant, id, command, meta.clone());
            match sent.await {
                Ok(()) => return,
                Err(DispatchError::Unavailable(detail) | DispatchError::Impossible(detail)) => {
                    tracing::warn!(payment = %call.payment_id, detail, "an outcome is offered again later");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }
}

/// Between half of it and all of it, so that what failed together does not come back together.
fn jittered(wait: Duration) -> Duration {
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    let share = u32::try_from(random % 512).unwrap_or(0) + 512;
    wait * share / 1_024
}
