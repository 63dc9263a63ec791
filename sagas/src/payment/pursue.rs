//! Pursues one request until it is settled: calls the provider, queries it, and calls again with the same key once it
//! is proven that the provider does not have it. Silence is never taken for *no*.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::{NoteId, OrderId, Tenant, derived};
use domain::money::Money;
use domain::order;
use domain::payment::Payment;
use domain::payment::command::{Command, Outcome, RecordOutcome};
use domain::payment::event::Verb;
use domain::personal::Personal;
use domain::stream;
use event_store::EventStore;
use event_store::leadership::Term;
use event_store::patience::Backoff;
use schemas::{Actor, Metadata};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Options;
use super::intent::Intent;
use crate::dispatch::{Dispatch, DispatchError};
use crate::gateway::{Answer, Authorisation, Call, Done, Found, PaymentGateway};
use crate::log::{fold, stream_id};
use crate::meters;

/// The longest note, in characters.
const NOTE: usize = 500;
/// The longest word of a provider that is stored, in characters: it may say anything, and an event has its bounds.
const SAID: usize = 300;

pub(super) struct Pursuit {
    pub(super) store: Arc<dyn EventStore>,
    gateway: Arc<dyn PaymentGateway>,
    dispatch: Arc<dyn Dispatch>,
    options: Options,
    at_once: Semaphore,
    term: Term,
    cancel: CancellationToken,
}

/// The next action for a request.
enum Next {
    Call,
    Ask,
}

/// The outcome of a request.
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

    /// Pursues a request until the log shows that it is settled. `sent_before`: an earlier process may have sent it.
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
        let (mut mismatch, mut stuck) = (None, false);
        loop {
            // This process may have been paused: the current leader pursues the request.
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
            match settled {
                Some(Settled::Done(done)) if call.verb != Verb::Void && done.amount != call.amount.amount => {
                    if mismatch != Some(done.amount) {
                        mismatch = Some(done.amount);
                        self.mismatched(intent, &call, done).await;
                    }
                    unknown = true;
                }
                Some(settled) => return self.settle(intent, &call, settled, asked).await,
                None if unknown => {}
                None => {
                    let id = intent.outcome_id("unknown");
                    let outcome = Outcome::Unknown { detail: cut(&detail) };
                    match self.record(intent, &call, id, outcome, None).await {
                        Ok(()) => unknown = true,
                        // The provider is still queried, and its answer may be recorded then.
                        Err(why) if !stuck => {
                            stuck = true;
                            self.stuck(intent, &call, id, "unknown", &why).await;
                        }
                        Err(_) => {}
                    }
                }
            }
            next = Next::Ask;
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(self.options.ask_cap);
        }
    }

    /// Builds the call to the provider; reads the payment until that works.
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
        let mut wait = Backoff::new(self.options.ask_first, Duration::from_secs(30));
        loop {
            let read = fold::<Payment>(self.store.as_ref(), &name, intent.version).await;
            if let Ok(Payment::Requested(payment)) = read {
                let amount = payment.authorised;
                let authorisation = payment.provider_ref.map(|provider_ref| Authorisation { provider_ref, amount });
                return Call {
                    key,
                    tenant,
                    payment_id,
                    order_id: payment.order_id,
                    verb: intent.verb,
                    amount: Money { amount: intent.amount, currency: payment.currency },
                    instrument: payment.instrument,
                    authorisation,
                };
            }
            tracing::error!(
                payment = %payment_id,
                "a payment cannot be read; it is retried, see docs/operations.md, 'A record cannot be read'"
            );
            tokio::time::sleep(wait.next_wait()).await;
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
                Verb::Raise { .. } => self.gateway.raise(call).await,
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

    /// Records the outcome, until the log has it.
    async fn settle(&self, intent: &Intent, call: &Call, settled: Settled, asked: bool) {
        let (name, outcome) = match settled {
            Settled::Done(done) => ("done", told(done)),
            Settled::NotDone(code) => ("not-done", Outcome::NotDone { code: cut(&code) }),
        };
        let evidence = asked.then(|| "the provider was asked".to_owned());
        let id = intent.outcome_id(name);
        let mut wait = Backoff::new(self.options.resend_after, self.options.ask_cap.max(self.options.resend_after));
        let mut told = false;
        loop {
            let sent = Instant::now();
            let mut never = self.record(intent, call, id, outcome.clone(), evidence.clone()).await.err();
            // Only a command that its service cannot run is repeated with growing pauses: once the service is repaired,
            // it continues by itself.
            tokio::time::sleep(if told { wait.next_wait() } else { self.options.resend_after }).await;
            if never.is_none() {
                let command = recording(intent, call, outcome.clone(), evidence.clone());
                // If the queue cannot be queried, there is no dead letter.
                never = self.dispatch.put_aside(&command, id, sent.elapsed()).await.ok().flatten();
            }
            if let (Some(why), false) = (&never, told) {
                told = true;
                self.stuck(intent, call, id, name, why).await;
            }
        }
    }

    /// The provider's answer cannot be recorded. The request stays open, and an operator must look.
    async fn stuck(&self, intent: &Intent, call: &Call, id: Uuid, name: &str, why: &str) {
        meters::refused_outcome();
        tracing::error!(
            payment = %call.payment_id,
            outcome = name,
            why,
            "the provider's answer cannot be recorded; see docs/operations.md, 'The provider contradicts a payment'"
        );
        let text = format!(
            "Payment {}: the provider says {name} about {}, and that cannot be recorded ({why}). Compare it with the provider's books.",
            call.payment_id,
            intent.word()
        );
        let order_id = intent.order_id().unwrap_or(call.order_id);
        self.offer_note(&call.tenant, order_id, id, &text).await;
    }

    /// The provider reports a different amount: that proves nothing, so the payment records it once and stays unknown.
    async fn mismatched(&self, intent: &Intent, call: &Call, done: Done) {
        meters::refused_outcome();
        tracing::error!(
            payment = %call.payment_id,
            asked = call.amount.amount,
            told = done.amount,
            "the provider reports another amount than was requested; see docs/operations.md, 'The provider contradicts \
             a payment'"
        );
        let order_id = intent.order_id().unwrap_or(call.order_id);
        let text = format!(
            "Payment {}: {} were asked for and the provider speaks of {}. Compare it with the provider's books.",
            call.payment_id, call.amount.amount, done.amount
        );
        // A separate id: the outcome's id is reserved for the right amount.
        let id = intent.outcome_id(&format!("mismatch/{}", done.amount));
        let evidence = Some("the provider speaks of another amount".to_owned());
        if let Err(why) = self.record(intent, call, id, told(done), evidence).await {
            return self.stuck(intent, call, id, "another amount", &why).await;
        }
        self.offer_note(&call.tenant, order_id, id, &text).await;
    }

    /// Repeats the record command until it is accepted.
    ///
    /// # Errors
    /// Why it never will be.
    async fn record(
        &self,
        intent: &Intent,
        call: &Call,
        id: Uuid,
        outcome: Outcome,
        evidence: Option<String>,
    ) -> Result<(), String> {
        let order_id = intent.order_id().unwrap_or(call.order_id);
        let mut meta = metadata(order_id);
        meta.causation = Some(call.key);
        meta.saga.clone_from(&intent.saga);
        self.offer(&call.tenant, id, recording(intent, call, outcome, evidence), meta).await
    }

    /// Notes something on an order, where a person finds it.
    pub(super) async fn note(self: Arc<Self>, tenant: Tenant, order_id: OrderId, about: Uuid, text: String) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.offer_note(&tenant, order_id, about, &text) => {}
        }
    }

    async fn offer_note(&self, tenant: &Tenant, order_id: OrderId, about: Uuid, text: &str) {
        let id = derived(about, "note");
        let command = domain::Command::Order {
            order_id,
            command: order::Command::Report {
                note_id: NoteId(id),
                text: Personal::Known(text.chars().take(NOTE).collect()),
            },
        };
        if let Err(why) = self.offer(tenant, id, command, metadata(order_id)).await {
            tracing::error!(
                order = %order_id,
                why,
                "a note for a person cannot be written to an order; check the payments of the order"
            );
        }
    }

    async fn offer(&self, tenant: &Tenant, id: Uuid, command: domain::Command, meta: Metadata) -> Result<(), String> {
        let mut wait = Backoff::new(Duration::from_millis(20), Duration::from_secs(30));
        while self.term.holds() {
            match self.dispatch.dispatch(tenant, id, command.clone(), meta.clone()).await {
                Ok(()) => return Ok(()),
                Err(DispatchError::Impossible(why)) => return Err(why),
                Err(DispatchError::Unavailable(detail)) => {
                    tracing::warn!(
                        command.id = %id,
                        detail,
                        "a command of payments is not accepted now; it is retried"
                    );
                }
            }
            tokio::time::sleep(wait.next_wait()).await;
        }
        Ok(())
    }
}

/// A provider's text, shortened for storage.
fn cut(said: &str) -> String {
    said.chars().take(SAID).collect()
}

fn recording(intent: &Intent, call: &Call, outcome: Outcome, evidence: Option<String>) -> domain::Command {
    let (verb, attempt) = (call.verb, intent.attempt);
    domain::Command::Payment {
        payment_id: call.payment_id,
        command: Command::RecordOutcome(RecordOutcome { verb, attempt, outcome, evidence }),
    }
}

fn told(done: Done) -> Outcome {
    Outcome::Done {
        provider_ref: done.provider_ref,
        amount: done.amount,
        capture_before: done.capture_before,
        fee: done.fee,
        abilities: done.abilities,
    }
}

fn metadata(order_id: OrderId) -> Metadata {
    let actor = Actor { id: "payments".into(), via: "gateway".into(), on_behalf_of: None };
    Metadata::new(actor, order_id.0)
}

/// Between half and all of it, so that requests that failed together are not retried together.
fn jittered(wait: Duration) -> Duration {
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    let share = u32::try_from(random % 512).unwrap_or(0) + 512;
    wait * share / 1_024
}
