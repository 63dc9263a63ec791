//! How a payment moves past each fact. Total: history is never refused, and no sum can overflow.

use super::event::{
    AuthorisationRaised, AuthorisationRequested, Authorised, CaptureRequested, Event, RaiseRequested, RefundRequested,
    Verb,
};
use super::state::{Capture, Live, Payment, Progress, Raise, Refund, Requested, Stage};
use crate::ids::{CaptureId, RaiseId, RefundId};
use crate::money::Minor;

/// Moves past one fact.
pub(super) fn evolve(payment: &mut Payment, event: &Event) {
    if let Event::AuthorisationRequested(wish) = event {
        requested(payment, wish);
    }
    let Payment::Requested(state) = payment else {
        return;
    };
    apply(state, event);
    state.stage = state.stage_now();
}

fn requested(payment: &mut Payment, wish: &AuthorisationRequested) {
    if *payment == Payment::Absent {
        *payment = Payment::Requested(Requested {
            payment_id: wish.payment_id,
            order_id: wish.order_id,
            currency: wish.amount.currency,
            requested: wish.amount.amount,
            instrument: wish.instrument.clone(),
            stage: Stage::Authorising,
            authorised: 0,
            captured: 0,
            refunded: 0,
            voided: 0,
            capture_before: None,
            ending_noted: None,
            provider_ref: None,
            decline_code: None,
            attempt: 0,
            live: Vec::new(),
            abilities: None,
            void_wanted: None,
            expired: false,
            captures: Default::default(),
            raises: Default::default(),
            refunds: Default::default(),
            void_attempts: 0,
            voids_done: Default::default(),
        });
    }
}

fn apply(payment: &mut Requested, event: &Event) {
    match event {
        Event::AuthorisationRequested(wish) => authorisation_requested(payment, wish),
        Event::Authorised(authorised) => authorised_by(payment, authorised),
        Event::Declined(declined) => {
            settled(payment, Verb::Authorise);
            payment.decline_code = Some(declined.code.clone());
            payment.void_wanted = None;
        }
        Event::AuthorisationEnding(ending) => payment.ending_noted = Some(ending.capture_before),
        Event::AuthorisationExpired(expired) => {
            payment.voided = payment.voided.saturating_add(expired.amount);
            payment.expired = true;
        }
        Event::OutcomeUnknown(unknown) => {
            let mut live = payment.live.iter_mut();
            if let Some(live) = live.find(|live| live.verb == unknown.verb) {
                live.unknown = true;
            }
        }
        // The outcome's own event follows in the same batch.
        Event::OutcomeResolved(_) => {}
        Event::CaptureRequested(wish) => capture_requested(payment, wish),
        Event::Captured(captured) => {
            payment.captured = payment.captured.saturating_add(captured.amount);
            capture_is(payment, captured.capture_id, Progress::Done, None);
        }
        Event::CaptureFailed(failed) => {
            let code = Some(failed.code.clone());
            capture_is(payment, failed.capture_id, Progress::Failed, code);
        }
        Event::RemainderReleased(rest) => payment.voided = payment.voided.saturating_add(rest.amount),
        Event::VoidWanted(wish) => payment.void_wanted = Some(wish.keep),
        Event::VoidRequested(wish) => {
            payment.void_wanted = None;
            payment.void_attempts = wish.attempt;
            goes_out(payment, Verb::Void, wish.attempt, wish.amount);
        }
        Event::Voided(voided) => {
            // A void of 0 only says that a wish is answered.
            match payment.at_provider(Verb::Void).map(|live| live.attempt) {
                Some(attempt) => drop(payment.voids_done.insert(attempt)),
                None => payment.void_wanted = None,
            }
            settled(payment, Verb::Void);
            payment.voided = payment.voided.saturating_add(voided.amount);
        }
        Event::VoidFailed(_) => settled(payment, Verb::Void),
        Event::RaiseRequested(wish) => raise_requested(payment, wish),
        Event::AuthorisationRaised(raised) => raised_by(payment, raised),
        Event::RaiseFailed(failed) => {
            let code = Some(failed.code.clone());
            raise_is(payment, failed.raise_id, Progress::Failed, code);
        }
        Event::RefundRequested(wish) => refund_requested(payment, wish),
        Event::RefundSettled(refunded) => {
            payment.refunded = payment.refunded.saturating_add(refunded.amount);
            refund_is(payment, refunded.refund_id, Progress::Done, None);
        }
        Event::RefundFailed(failed) => {
            let code = Some(failed.code.clone());
            refund_is(payment, failed.refund_id, Progress::Failed, code);
        }
    }
}

fn authorisation_requested(payment: &mut Requested, wish: &AuthorisationRequested) {
    payment.requested = wish.amount.amount;
    payment.instrument.clone_from(&wish.instrument);
    payment.attempt = wish.attempt;
    payment.decline_code = None;
    goes_out(payment, Verb::Authorise, wish.attempt, wish.amount.amount);
}

fn authorised_by(payment: &mut Requested, authorised: &Authorised) {
    settled(payment, Verb::Authorise);
    payment.authorised = payment.authorised.saturating_add(authorised.amount);
    payment.provider_ref = Some(authorised.provider_ref.clone());
    payment.capture_before = authorised.capture_before;
    payment.abilities = authorised.abilities;
}

fn capture_requested(payment: &mut Requested, wish: &CaptureRequested) {
    let capture_id = wish.capture_id;
    let by_hand = wish.by_hand;
    let (amount, attempt) = (wish.amount, wish.attempt);
    let capture = Capture { amount, progress: Progress::Requested, attempt, code: None, by_hand };
    payment.captures.insert(capture_id, capture);
    let verb = Verb::Capture { capture_id };
    goes_out(payment, verb, wish.attempt, wish.amount);
}

fn capture_is(payment: &mut Requested, id: CaptureId, progress: Progress, code: Option<String>) {
    settled(payment, Verb::Capture { capture_id: id });
    if let Some(capture) = payment.captures.get_mut(&id) {
        capture.progress = progress;
        capture.code = code;
    }
}

fn raise_requested(payment: &mut Requested, wish: &RaiseRequested) {
    let raise_id = wish.raise_id;
    let raise = Raise { amount: wish.amount, progress: Progress::Requested, attempt: wish.attempt, code: None };
    payment.raises.insert(raise_id, raise);
    let verb = Verb::Raise { raise_id };
    goes_out(payment, verb, wish.attempt, wish.amount);
}

fn raised_by(payment: &mut Requested, raised: &AuthorisationRaised) {
    payment.authorised = payment.authorised.saturating_add(raised.amount);
    payment.capture_before = raised.capture_before.or(payment.capture_before);
    raise_is(payment, raised.raise_id, Progress::Done, None);
}

fn raise_is(payment: &mut Requested, id: RaiseId, progress: Progress, code: Option<String>) {
    settled(payment, Verb::Raise { raise_id: id });
    if let Some(raise) = payment.raises.get_mut(&id) {
        raise.progress = progress;
        raise.code = code;
    }
}

fn refund_requested(payment: &mut Requested, wish: &RefundRequested) {
    let refund_id = wish.refund_id;
    let refund = Refund { amount: wish.amount, progress: Progress::Requested, attempt: wish.attempt, code: None };
    payment.refunds.insert(refund_id, refund);
    let verb = Verb::Refund { refund_id };
    goes_out(payment, verb, wish.attempt, wish.amount);
}

fn refund_is(payment: &mut Requested, id: RefundId, progress: Progress, code: Option<String>) {
    settled(payment, Verb::Refund { refund_id: id });
    if let Some(refund) = payment.refunds.get_mut(&id) {
        refund.progress = progress;
        refund.code = code;
    }
}

fn goes_out(payment: &mut Requested, verb: Verb, attempt: u32, amount: Minor) {
    payment.live.push(Live { verb, attempt, amount, unknown: false });
}

fn settled(payment: &mut Requested, verb: Verb) {
    payment.live.retain(|live| live.verb != verb);
}
