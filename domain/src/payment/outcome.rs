//! What a payment makes of what is said of its requests: by the provider, by a query, by an operator. An unknown outcome is left by
//! evidence only, and an outcome that is settled is never overwritten.

use super::abilities::Abilities;
use super::command::{Outcome, RecordOutcome};
use super::decide::void_held;
use super::event::{
    AuthorisationRaised, Authorised, CaptureFailed, Captured, Declined, Event, OutcomeResolved, OutcomeUnknown,
    RaiseFailed, RefundFailed, RefundSettled, RemainderReleased, Verb, Verdict, VoidFailed, Voided,
};
use super::refusal::Refusal;
use super::state::{Live, Payment, Progress, Requested};
use crate::aggregate::Aggregate;
use crate::money::Minor;
use crate::time::Timestamp;

type Decision = Result<Vec<Event>, Refusal>;

/// The code of a request that evidence says was not done.
const RESOLVED_NOT_DONE: &str = "resolved-not-done";

/// What the provider, or a query, says.
pub(super) fn record(payment: &Requested, told: &RecordOutcome) -> Decision {
    let Some(live) = at_provider(payment, told.verb, told.attempt) else {
        return match &told.outcome {
            Outcome::Unknown { .. } => known(payment, told.verb, told.attempt).map(|_| vec![]),
            Outcome::Done { .. } => settled_as(payment, told.verb, told.attempt, Verdict::Done),
            Outcome::NotDone { .. } => settled_as(payment, told.verb, told.attempt, Verdict::NotDone),
        };
    };
    match &told.outcome {
        Outcome::Unknown { .. } if live.unknown => Ok(vec![]),
        Outcome::Unknown { detail } => Ok(vec![unknown(live, detail.clone())]),
        Outcome::NotDone { code } => {
            let evidence = told.evidence.as_deref().unwrap_or(code);
            Ok(settle(payment, live, evidence, not_done(live, code, false)))
        }
        Outcome::Done { provider_ref, amount, capture_before, fee, abilities } => {
            // A void names no amount at most providers.
            if live.verb != Verb::Void && *amount != live.amount {
                return mismatch(live, *amount);
            }
            let evidence = told.evidence.as_deref().unwrap_or(provider_ref);
            let told = Told { provider_ref, capture_before: *capture_before, fee: *fee, abilities: *abilities };
            let event = done(payment, live, &told);
            Ok(settle(payment, live, evidence, event))
        }
    }
}

/// What a person says of an unknown outcome.
pub(super) struct Said<'a> {
    pub(super) verdict: Verdict,
    pub(super) evidence: &'a str,
    pub(super) provider_ref: Option<&'a str>,
    /// Of what was not done: whether it shall not be tried again.
    pub(super) last: bool,
}

/// What evidence says of an unknown outcome.
pub(super) fn resolve(payment: &Requested, verb: Verb, said: &Said<'_>) -> Decision {
    let Said { verdict, evidence, provider_ref, last } = *said;
    let Some(live) = payment.at_provider(verb) else {
        return settled_as(payment, verb, newest_attempt(payment, verb), verdict);
    };
    if !live.unknown {
        return Err(Refusal::PaymentState { stage: payment.stage });
    }
    if evidence.trim().is_empty() {
        return Err(Refusal::EvidenceMissing);
    }
    let event = match (verdict, provider_ref) {
        (Verdict::NotDone, _) => not_done(live, RESOLVED_NOT_DONE, last),
        (Verdict::Done, None) if verb != Verb::Void => return Err(Refusal::ProviderRefMissing),
        (Verdict::Done, provider_ref) => {
            done(payment, live, &Told { provider_ref: provider_ref.unwrap_or_default(), ..Told::default() })
        }
    };
    Ok(settle(payment, live, evidence, event))
}

fn at_provider(payment: &Requested, verb: Verb, attempt: u32) -> Option<&Live> {
    payment.at_provider(verb).filter(|live| live.attempt == attempt)
}

/// The outcome's event, evidence before it where the outcome was unknown, and after it what waited for it.
fn settle(payment: &Requested, live: &Live, evidence: &str, outcome: Event) -> Vec<Event> {
    let mut events = Vec::with_capacity(3);
    if live.unknown {
        let verdict = match &outcome {
            Event::Authorised(_)
            | Event::AuthorisationRaised(_)
            | Event::Captured(_)
            | Event::Voided(_)
            | Event::RefundSettled(_) => Verdict::Done,
            _ => Verdict::NotDone,
        };
        events.push(Event::OutcomeResolved(OutcomeResolved {
            verb: live.verb,
            verdict,
            evidence: evidence.to_owned(),
        }));
    }
    events.push(outcome);
    events.extend(remainder(payment, &events));
    if payment.void_wanted.is_some() {
        events.extend(wanted_void(payment, &events));
    }
    events
}

/// What is let go with a capture that is the only one.
fn remainder(payment: &Requested, so_far: &[Event]) -> Option<Event> {
    let Some(Event::Captured(captured)) = so_far.last() else {
        return None;
    };
    let amount = payment.held().saturating_sub(captured.amount);
    let released = amount > 0 && !payment.can().several_captures;
    released.then_some(Event::RemainderReleased(RemainderReleased { amount }))
}

/// What becomes of a void that was wanted, once nothing that moves held money is at the provider.
fn wanted_void(payment: &Requested, so_far: &[Event]) -> Vec<Event> {
    let mut after = Payment::Requested(payment.clone());
    for event in so_far {
        after.evolve(event);
    }
    let Payment::Requested(after) = after else {
        return vec![];
    };
    // A decline says by itself that nothing is held.
    let Some(keep) = after.void_wanted.filter(|_| after.moving_held().is_none()) else {
        return vec![];
    };
    let events = void_held(&after, keep);
    if events.is_empty() { vec![Event::Voided(Voided { amount: 0, kept: after.held() })] } else { events }
}

/// An outcome that speaks of another amount proves nothing about what was asked for: it stays open until somebody has looked.
fn mismatch(live: &Live, told: Minor) -> Decision {
    let asked = live.amount;
    if live.unknown {
        return Err(Refusal::AmountMismatch { asked, told });
    }
    Ok(vec![unknown(live, format!("{asked} were asked for and the provider speaks of {told}"))])
}

fn unknown(live: &Live, detail: String) -> Event {
    Event::OutcomeUnknown(OutcomeUnknown { verb: live.verb, attempt: live.attempt, detail: Some(detail) })
}

/// What is said of a request that was done.
#[derive(Default)]
struct Told<'a> {
    provider_ref: &'a str,
    capture_before: Option<Timestamp>,
    fee: Option<Minor>,
    abilities: Option<Abilities>,
}

fn done(payment: &Requested, live: &Live, told: &Told<'_>) -> Event {
    let amount = live.amount;
    let provider_ref = told.provider_ref.to_owned();
    let Told { capture_before, fee, abilities, .. } = *told;
    match live.verb {
        Verb::Authorise => {
            Event::Authorised(Authorised { attempt: live.attempt, provider_ref, amount, capture_before, abilities })
        }
        Verb::Capture { capture_id } => Event::Captured(Captured { capture_id, amount, fee, provider_ref }),
        Verb::Raise { raise_id } => {
            Event::AuthorisationRaised(AuthorisationRaised { raise_id, amount, provider_ref, capture_before })
        }
        Verb::Void => Event::Voided(Voided { amount, kept: payment.held().saturating_sub(amount) }),
        Verb::Refund { refund_id } => Event::RefundSettled(RefundSettled { refund_id, amount, provider_ref }),
    }
}

fn not_done(live: &Live, code: &str, last: bool) -> Event {
    let code = code.to_owned();
    match live.verb {
        Verb::Authorise => Event::Declined(Declined { attempt: live.attempt, code, last }),
        Verb::Capture { capture_id } => Event::CaptureFailed(CaptureFailed { capture_id, code, last }),
        Verb::Raise { raise_id } => Event::RaiseFailed(RaiseFailed { raise_id, code, last }),
        Verb::Void => Event::VoidFailed(VoidFailed { attempt: live.attempt, code, last }),
        Verb::Refund { refund_id } => Event::RefundFailed(RefundFailed { refund_id, code, last }),
    }
}

/// An outcome that is settled already: again is nothing, and the opposite is refused, so that it is on record and somebody looks.
fn settled_as(payment: &Requested, verb: Verb, attempt: u32, told: Verdict) -> Decision {
    match known(payment, verb, attempt)? {
        settled if settled == told => Ok(vec![]),
        settled => Err(Refusal::OutcomeSettled { settled }),
    }
}

/// What came of an attempt that is not at the provider any more. An attempt that another one followed was not done, or there would be
/// no other; voids follow each other where each lets a part go.
fn known(payment: &Requested, verb: Verb, attempt: u32) -> Result<Verdict, Refusal> {
    let newest = newest_attempt(payment, verb);
    if attempt == 0 || attempt > newest {
        return Err(Refusal::NeverAsked { asked: verb });
    }
    if verb == Verb::Void {
        return Ok(if payment.voids_done.contains(&attempt) { Verdict::Done } else { Verdict::NotDone });
    }
    let done = attempt == newest
        && match verb {
            Verb::Authorise => payment.authorised > 0,
            Verb::Capture { capture_id } => {
                let capture = payment.captures.get(&capture_id);
                capture.is_some_and(|capture| capture.progress == Progress::Done)
            }
            Verb::Void => false,
            Verb::Raise { raise_id } => {
                let raise = payment.raises.get(&raise_id);
                raise.is_some_and(|raise| raise.progress == Progress::Done)
            }
            Verb::Refund { refund_id } => {
                let refund = payment.refunds.get(&refund_id);
                refund.is_some_and(|refund| refund.progress == Progress::Done)
            }
        };
    Ok(if done { Verdict::Done } else { Verdict::NotDone })
}

fn newest_attempt(payment: &Requested, verb: Verb) -> u32 {
    match verb {
        Verb::Authorise => payment.attempt,
        Verb::Capture { capture_id } => {
            let capture = payment.captures.get(&capture_id);
            capture.map_or(0, |capture| capture.attempt)
        }
        Verb::Void => payment.void_attempts,
        Verb::Raise { raise_id } => {
            let raise = payment.raises.get(&raise_id);
            raise.map_or(0, |raise| raise.attempt)
        }
        Verb::Refund { refund_id } => {
            let refund = payment.refunds.get(&refund_id);
            refund.map_or(0, |refund| refund.attempt)
        }
    }
}
