//! What a payment answers to those who want money moved. Amounts count against the sums from the moment they are asked for.

use super::abilities::Ability;
use super::command::Command;
use super::event::{
    AuthorisationEnding, AuthorisationExpired, AuthorisationRequested, CaptureRequested, Event, OnExpiry,
    RaiseRequested, RefundRequested, Verb, VoidRequested, VoidWanted,
};
use super::refusal::{Part, Refusal};
use super::state::{Capture, Progress, Requested, Stage};
use crate::ids::{CaptureId, RaiseId, RefundId};
use crate::money::{LARGEST, Minor};
use crate::time::Timestamp;

/// Who asks for a capture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A process, for a shipment: shipments bound how many there are.
    Process,
    /// An operator.
    Hand,
}

/// How many captures somebody may ask for by hand: every answer tells all of them.
const BY_HAND: u32 = 500;
/// How many raises a payment has at the most, for the same reason.
const RAISES: u32 = 500;

type Decision = Result<Vec<Event>, Refusal>;

/// Where there is no payment yet. Nothing is held, so that there is nothing to let go of: undoing what never ran is no failure.
pub(super) fn absent(command: &Command) -> Decision {
    match command {
        Command::RequestAuthorisation { payment_id, order_id, amount, instrument, attempt } => {
            positive(amount.amount)?;
            if *attempt != 1 {
                return Err(Refusal::AttemptSkipped { wanted: *attempt, newest: 0 });
            }
            Ok(vec![Event::AuthorisationRequested(AuthorisationRequested {
                payment_id: *payment_id,
                order_id: *order_id,
                amount: *amount,
                instrument: instrument.clone(),
                attempt: 1,
            })])
        }
        Command::Void { keep } => kept(*keep).map(|()| vec![]),
        Command::Capture { .. }
        | Command::CaptureUpTo { .. }
        | Command::CaptureByHand { .. }
        | Command::Raise { .. }
        | Command::Refund { .. }
        | Command::RecordOutcome(_)
        | Command::ResolveOutcome { .. }
        | Command::NoteEnding { .. }
        | Command::ExpireAuthorisation { .. } => Err(Refusal::NotFound),
    }
}

/// The amount and the means of payment may change with the attempt, the order and the currency never.
pub(super) fn authorise(payment: &Requested, wish: &AuthorisationRequested) -> Decision {
    positive(wish.amount.amount)?;
    let same_payment = wish.payment_id == payment.payment_id
        && wish.order_id == payment.order_id
        && wish.amount.currency == payment.currency;
    if !same_payment {
        return Err(Refusal::IntentChanged);
    }
    if wish.attempt < payment.attempt {
        return Ok(vec![]);
    }
    if wish.attempt == payment.attempt {
        let same = wish.amount.amount == payment.requested && wish.instrument == payment.instrument;
        return if same { Ok(vec![]) } else { Err(Refusal::IntentChanged) };
    }
    match payment.stage {
        Stage::Declined if wish.attempt == payment.attempt.saturating_add(1) => {
            Ok(vec![Event::AuthorisationRequested(wish.clone())])
        }
        Stage::Declined => Err(Refusal::AttemptSkipped { wanted: wish.attempt, newest: payment.attempt }),
        Stage::AuthoriseUnknown => Err(unknown(payment)),
        _ => Err(state(payment)),
    }
}

/// Takes money that is held; several captures may be at the provider at once.
pub(super) fn capture(payment: &Requested, capture_id: CaptureId, amount: Minor, by: By) -> Decision {
    positive(amount)?;
    let attempt = match payment.captures.get(&capture_id) {
        Some(known) if known.amount != amount => return Err(Refusal::IntentChanged),
        Some(known) if known.progress != Progress::Failed => return Ok(vec![]),
        Some(known) => known.attempt.saturating_add(1),
        None => 1,
    };
    capture_anew(payment, capture_id, amount, attempt, by)
}

fn capture_anew(payment: &Requested, capture_id: CaptureId, amount: Minor, attempt: u32, by: By) -> Decision {
    let other = |(id, capture): (&CaptureId, &Capture)| *id != capture_id && capture.progress != Progress::Failed;
    if !payment.can().several_captures && payment.captures.iter().any(other) {
        return Err(Refusal::GatewayCannot { ability: Ability::SeveralCaptures });
    }
    if let Some(live) = payment.moving_held() {
        match live.verb {
            Verb::Capture { .. } => {}
            _ if live.unknown => return Err(unknown(payment)),
            _ => return Err(state(payment)),
        }
    }
    // What a void that waits is to let go is not taken any more.
    if payment.authorised == 0 || payment.void_wanted.is_some_and(|keep| amount > keep) {
        return Err(state(payment));
    }
    if amount > payment.capturable() {
        return Err(beyond_held(payment, amount));
    }
    let by_hand = by == By::Hand;
    let there = payment.captures.values().filter(|capture| capture.by_hand).count();
    if by_hand && there >= BY_HAND as usize && !payment.captures.contains_key(&capture_id) {
        return Err(Refusal::TooMany { what: Part::Capture, most: BY_HAND });
    }
    Ok(vec![Event::CaptureRequested(CaptureRequested { capture_id, amount, attempt, by_hand })])
}

/// Takes what is left of what is held, under an id that takes something once.
pub(super) fn capture_up_to(payment: &Requested, capture_id: CaptureId, most: Minor) -> Decision {
    positive(most)?;
    let known = payment.captures.get(&capture_id);
    if known.is_some_and(|known| known.progress != Progress::Failed) {
        return Ok(vec![]);
    }
    let kept = payment.void_wanted.unwrap_or(Minor::MAX);
    let left = payment.capturable().min(kept).min(most);
    if left == 0 && payment.authorised > 0 {
        return Err(if payment.capturable() == 0 { beyond_held(payment, most) } else { state(payment) });
    }
    // What was declined of another amount was not done: its id is free for what is left now.
    let amount = if left == 0 { most } else { left };
    match known {
        Some(known) if known.amount != amount => {
            let attempt = known.attempt.saturating_add(1);
            capture_anew(payment, capture_id, amount, attempt, By::Process)
        }
        _ => capture(payment, capture_id, amount, By::Process),
    }
}

fn beyond_held(payment: &Requested, wanted: Minor) -> Refusal {
    if payment.held() == 0 && payment.voided > 0 {
        return if payment.expired {
            Refusal::AuthorisationExpired { expired: payment.voided }
        } else {
            state(payment)
        };
    }
    Refusal::ExceedsAuthorised {
        wanted,
        capturable: payment.capturable(),
        authorised: payment.authorised,
        captured: payment.captured,
        pending: payment.capture_pending(),
        voided: payment.voided,
    }
}

/// Never refused for where the payment stands: whoever wants money let go either has it let go now, or has the wish on record until what
/// is at the provider is settled, or no more is held. A refusal would leave it to the caller to come back, and held money with it.
pub(super) fn void(payment: &Requested, keep: Minor) -> Decision {
    kept(keep)?;
    if payment.most_held() <= keep || !payment.can_keep(keep) {
        return Ok(vec![]);
    }
    match payment.moving_held() {
        Some(_) if payment.void_wanted.is_some_and(|wanted| wanted <= keep) => Ok(vec![]),
        Some(_) => Ok(vec![Event::VoidWanted(VoidWanted { keep })]),
        None => Ok(void_held(payment, keep)),
    }
}

/// Lets go of what is held beyond `keep`, if anything is and the gateway can.
pub(super) fn void_held(payment: &Requested, keep: Minor) -> Vec<Event> {
    let amount = payment.held().saturating_sub(keep);
    if amount <= 0 || !payment.can_keep(keep) {
        return vec![];
    }
    vec![Event::VoidRequested(VoidRequested { amount, keep, attempt: payment.void_attempts.saturating_add(1) })]
}

fn kept(keep: Minor) -> Result<(), Refusal> {
    if (0..=LARGEST).contains(&keep) { Ok(()) } else { Err(Refusal::InvalidAmount { amount: keep }) }
}

/// Holds more on the same authorisation, while nothing else moves what is held.
pub(super) fn raise(payment: &Requested, raise_id: RaiseId, amount: Minor) -> Decision {
    positive(amount)?;
    let attempt = match payment.raises.get(&raise_id) {
        Some(known) if known.amount != amount => return Err(Refusal::IntentChanged),
        Some(known) if known.progress != Progress::Failed => return Ok(vec![]),
        Some(known) => known.attempt.saturating_add(1),
        None => 1,
    };
    if !payment.can().raise {
        return Err(Refusal::GatewayCannot { ability: Ability::Raise });
    }
    if let Some(live) = payment.moving_held() {
        return Err(if live.unknown { unknown(payment) } else { state(payment) });
    }
    if payment.held() == 0 {
        return Err(if payment.expired {
            Refusal::AuthorisationExpired { expired: payment.voided }
        } else {
            state(payment)
        });
    }
    positive(payment.authorised.saturating_add(amount))?;
    if payment.raises.len() >= RAISES as usize && !payment.raises.contains_key(&raise_id) {
        return Err(Refusal::TooMany { what: Part::Raise, most: RAISES });
    }
    Ok(vec![Event::RaiseRequested(RaiseRequested { raise_id, amount, attempt })])
}

/// Gives taken money back; several refunds may be at the provider at once.
pub(super) fn refund(payment: &Requested, refund_id: RefundId, amount: Minor, reason: &str) -> Decision {
    positive(amount)?;
    let attempt = match payment.refunds.get(&refund_id) {
        Some(known) if known.amount != amount => return Err(Refusal::IntentChanged),
        Some(known) if known.progress != Progress::Failed => return Ok(vec![]),
        Some(known) => known.attempt.saturating_add(1),
        None => 1,
    };
    if amount > payment.refundable() {
        let capture_unknown = payment.live.iter().any(|live| live.unknown && matches!(live.verb, Verb::Capture { .. }));
        return Err(if capture_unknown {
            unknown(payment)
        } else {
            Refusal::ExceedsRefundable {
                wanted: amount,
                refundable: payment.refundable(),
                captured: payment.captured,
                refunded: payment.refunded,
                pending: payment.refund_pending(),
            }
        });
    }
    Ok(vec![Event::RefundRequested(RefundRequested { refund_id, amount, reason: reason.to_owned(), attempt })])
}

/// When an end is near, and what shall follow then.
#[derive(Clone, Copy)]
pub(super) struct Near {
    pub(super) lead_s: u32,
    pub(super) then: OnExpiry,
}

/// Once for each end, and only while something is held: what is not held has no end.
pub(super) fn ending(payment: &Requested, now: Timestamp, near: Near) -> Decision {
    let Some(event) = noted(payment, near) else {
        return Ok(vec![]);
    };
    let at = event.capture_before.minus_seconds(near.lead_s);
    if now < at { Err(Refusal::TooEarly { at }) } else { Ok(vec![Event::AuthorisationEnding(event)]) }
}

/// What puts the end on record; `None` if it is there already or there is none.
fn noted(payment: &Requested, Near { lead_s, then }: Near) -> Option<AuthorisationEnding> {
    let capture_before = payment.capture_before.filter(|_| payment.held() > 0)?;
    let known = payment.ending_noted == Some(capture_before);
    (!known).then_some(AuthorisationEnding { capture_before, lead_s, then })
}

/// Not while something that moves held money is at the provider: its outcome says what is left to expire. An authorisation of which no
/// end was told has none.
pub(super) fn expire(payment: &Requested, now: Timestamp, near: Near) -> Decision {
    match payment.moving_held() {
        Some(_) if payment.unknown() => return Err(unknown(payment)),
        Some(_) => return Err(state(payment)),
        None => {}
    }
    let amount = payment.held();
    match payment.capture_before {
        _ if amount == 0 => Ok(vec![]),
        None => Err(state(payment)),
        Some(at) if now < at => Err(Refusal::TooEarly { at }),
        Some(_) => {
            let ending = noted(payment, near).map(Event::AuthorisationEnding);
            let expired = Event::AuthorisationExpired(AuthorisationExpired { amount });
            Ok(ending.into_iter().chain([expired]).collect())
        }
    }
}

fn positive(amount: Minor) -> Result<(), Refusal> {
    if (1..=LARGEST).contains(&amount) { Ok(()) } else { Err(Refusal::InvalidAmount { amount }) }
}

fn state(payment: &Requested) -> Refusal {
    Refusal::PaymentState { stage: payment.stage }
}

fn unknown(payment: &Requested) -> Refusal {
    Refusal::PaymentUnknown { stage: payment.stage }
}
