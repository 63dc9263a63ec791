//! The laws of a payment: what must hold after every event of its stream, or after every command. Read from the state
//! alone; no law asks the rule book whether it is right.

use super::{Law, Verdict, hold};
use crate::money::Minor;
use crate::payment::Payment;
use crate::payment::event::{Event, Verb};
use crate::payment::state::{Live, Progress, Requested, Stage};

/// I18.
pub const HELD: Law = (
    "payment-captured-within-authorised",
    "what is taken, asked to be taken, or let go is never more than what was held",
);
/// I19.
pub const REFUNDED: Law = (
    "payment-refunded-within-captured",
    "what is given back or asked to be given back is never more than what was taken",
);
/// Sums and parts.
pub const SUMS: Law = (
    "payment-adds-up",
    "what is taken is the sum of the captures that are done, what is given back that of the refunds; no amount is below zero",
);
/// One live attempt.
pub const LIVE: Law = (
    "payment-one-live-attempt",
    "each thing asked of the provider is there at most once, and an authorisation, a raise or a void alone of what moves held money",
);
/// A pending void.
pub const WAITS: Law = (
    "payment-void-waits-for-something",
    "once all events of a command are folded, a void that is wanted waits for what is at the provider",
);
/// Abilities.
pub const ABLE: Law = (
    "payment-within-abilities",
    "a gateway is asked for no part of a void, no second capture and no raise that it cannot do, and holds nothing after its only capture",
);
/// What a void keeps.
pub const KEPT: Law =
    ("payment-void-keeps", "a void asks for what is held beyond what it keeps, and leaves held what it says");
/// The end of an authorisation.
pub const ENDING: Law = (
    "payment-ending-noted-once",
    "the end of an authorisation is put on record once, as it is, while something is held, and before what is held expires",
);
/// The stage.
pub const STAGE: Law =
    ("payment-stage-follows", "the stage is unknown exactly while an outcome is, and otherwise follows from the sums");
/// I26.
pub const FORWARD: Law = (
    "payment-never-goes-back",
    "what was held, taken, given back or let go never becomes less, and nothing settled is opened again",
);
/// Evidence.
pub const EVIDENCE: Law =
    ("payment-unknown-left-by-evidence", "an unknown outcome is left only after evidence is on record");

/// Whether every law of a payment holds after a whole batch. Within one, the operation that a pending void waits for
/// may be settled just before the void itself is requested, or before it turns out that nothing is left to void.
///
/// # Errors
/// The first violated law.
pub(crate) fn check(payment: &Payment) -> Verdict {
    check_event(payment)?;
    let Payment::Requested(payment) = payment else {
        return Ok(());
    };
    let waits = payment.void_wanted.is_none() || payment.live.iter().any(moves_held);
    hold(WAITS, waits, || format!("{payment:?}"))?;
    able(payment)
}

/// Whether every law of a payment that holds between the events of a batch holds.
///
/// # Errors
/// The first law that does not.
pub(crate) fn check_event(payment: &Payment) -> Verdict {
    let Payment::Requested(payment) = payment else {
        return Ok(());
    };
    sums(payment)?;
    live(payment)?;
    stage(payment)
}

fn sums(payment: &Requested) -> Verdict {
    let captures = |progress| {
        let captures = payment.captures.values();
        total(captures.filter(|c| c.progress == progress).map(|c| c.amount))
    };
    let refunds = |progress| {
        let refunds = payment.refunds.values();
        total(refunds.filter(|r| r.progress == progress).map(|r| r.amount))
    };
    let used = i128::from(payment.captured) + captures(Progress::Requested) + i128::from(payment.voided);
    hold(HELD, used <= i128::from(payment.authorised), || format!("{used} of {} in {payment:?}", payment.authorised))?;
    let given = i128::from(payment.refunded) + refunds(Progress::Requested);
    hold(REFUNDED, given <= i128::from(payment.captured), || {
        format!("{given} of {} in {payment:?}", payment.captured)
    })?;
    let raised = total(payment.raises.values().filter(|r| r.progress == Progress::Done).map(|r| r.amount));
    let amounts = [payment.authorised, payment.captured, payment.refunded, payment.voided];
    let adds_up = captures(Progress::Done) == i128::from(payment.captured)
        && refunds(Progress::Done) == i128::from(payment.refunded)
        && amounts.iter().all(|amount| *amount >= 0)
        && raised <= i128::from(payment.authorised)
        && payment.captures.values().all(|c| c.amount > 0)
        && payment.raises.values().all(|r| r.amount > 0)
        && payment.refunds.values().all(|r| r.amount > 0);
    hold(SUMS, adds_up, || format!("{payment:?}"))
}

fn moves_held(live: &Live) -> bool {
    !matches!(live.verb, Verb::Refund { .. })
}

fn live(payment: &Requested) -> Verdict {
    let mut verbs: Vec<Verb> = payment.live.iter().map(|live| live.verb).collect();
    verbs.sort_unstable();
    verbs.dedup();
    let once = verbs.len() == payment.live.len();
    let moving = |live: &&Live| moves_held(live);
    let alone = |live: &&Live| matches!(live.verb, Verb::Authorise | Verb::Raise { .. } | Verb::Void);
    let exclusive = !payment.live.iter().any(|live| alone(&live)) || payment.live.iter().filter(moving).count() == 1;
    let captures_match = payment.captures.iter().all(|(id, capture)| {
        let verb = Verb::Capture { capture_id: *id };
        let there = payment.live.iter().find(|live| live.verb == verb);
        match there {
            Some(live) => capture.progress == Progress::Requested && live.amount == capture.amount,
            None => capture.progress != Progress::Requested,
        }
    });
    let refunds_match = payment.refunds.iter().all(|(id, refund)| {
        let verb = Verb::Refund { refund_id: *id };
        let there = payment.live.iter().find(|live| live.verb == verb);
        match there {
            Some(live) => refund.progress == Progress::Requested && live.amount == refund.amount,
            None => refund.progress != Progress::Requested,
        }
    });
    let raises_match = payment.raises.iter().all(|(id, raise)| {
        let verb = Verb::Raise { raise_id: *id };
        let there = payment.live.iter().find(|live| live.verb == verb);
        match there {
            Some(live) => raise.progress == Progress::Requested && live.amount == raise.amount,
            None => raise.progress != Progress::Requested,
        }
    });
    let holds = once && exclusive && captures_match && raises_match && refunds_match;
    hold(LIVE, holds, || format!("{payment:?}"))
}

fn held(payment: &Requested) -> i128 {
    i128::from(payment.authorised) - i128::from(payment.captured) - i128::from(payment.voided)
}

fn able(payment: &Requested) -> Verdict {
    let Some(abilities) = payment.abilities else {
        return Ok(());
    };
    let left = held(payment);
    let count = |progress| payment.captures.values().filter(|capture| capture.progress == progress).count();
    let (done, asked) = (count(Progress::Done), count(Progress::Requested));
    let once = done + asked <= 1 && (done == 0 || left == 0);
    let whole = |live: &Live| live.verb != Verb::Void || i128::from(live.amount) == left;
    let able = (abilities.several_captures || once)
        && (abilities.partial_void || payment.live.iter().all(whole))
        && (abilities.raise || payment.raises.is_empty());
    hold(ABLE, able, || format!("{payment:?}"))
}

fn stage(payment: &Requested) -> Verdict {
    let unknown = payment.live.iter().any(|live| live.unknown);
    let says_unknown = matches!(
        payment.stage,
        Stage::AuthoriseUnknown
            | Stage::CaptureUnknown
            | Stage::VoidUnknown
            | Stage::RaiseUnknown
            | Stage::RefundUnknown
    );
    let by_sums = match payment.stage {
        Stage::Declined => payment.authorised == 0,
        Stage::Authorised => payment.captured == 0 && payment.voided < payment.authorised,
        Stage::PartCaptured => (1..payment.authorised).contains(&payment.captured),
        Stage::Captured => payment.captured > 0 && payment.held() == 0 && payment.refunded == 0,
        Stage::Voided | Stage::Expired => payment.captured == 0 && payment.voided == payment.authorised,
        Stage::PartRefunded => (1..payment.captured).contains(&payment.refunded),
        Stage::Refunded => payment.refunded > 0 && payment.refunded == payment.captured,
        _ => !payment.live.is_empty(),
    };
    hold(STAGE, unknown == says_unknown && by_sums, || format!("{payment:?}"))
}

/// Whether a payment may become this one by this event, after this one in the same batch, if it was not the first.
///
/// # Errors
/// The first law that does not hold.
pub(crate) fn check_step(before: &Payment, earlier: Option<&Event>, event: &Event, after: &Payment) -> Verdict {
    let Payment::Requested(before) = before else {
        return Ok(());
    };
    let Payment::Requested(after) = after else {
        return hold(FORWARD, false, || "it was requested and is absent".into());
    };
    let grows = before.authorised <= after.authorised
        && before.captured <= after.captured
        && before.refunded <= after.refunded
        && before.voided <= after.voided
        && before.attempt <= after.attempt;
    let done_stays = before.captures.iter().all(|(id, capture)| {
        let now = after.captures.get(id).map(|capture| capture.progress);
        capture.progress != Progress::Done || now == Some(Progress::Done)
    }) && before.raises.iter().all(|(id, raise)| {
        let now = after.raises.get(id).map(|raise| raise.progress);
        raise.progress != Progress::Done || now == Some(Progress::Done)
    }) && before.refunds.iter().all(|(id, refund)| {
        let now = after.refunds.get(id).map(|refund| refund.progress);
        refund.progress != Progress::Done || now == Some(Progress::Done)
    });
    hold(FORWARD, grows && done_stays, || format!("{before:?} became {after:?} by {event:?}"))?;
    let noted = match event {
        Event::AuthorisationEnding(ending) => {
            let end = Some(ending.capture_before);
            before.ending_noted != end && before.capture_before == end && held(before) > 0
        }
        Event::AuthorisationExpired(_) => before.ending_noted.is_some() && before.ending_noted == before.capture_before,
        _ => true,
    };
    hold(ENDING, noted, || format!("{before:?} became {after:?} by {event:?}"))?;
    let keeps = match event {
        Event::VoidRequested(wish) => {
            wish.amount > 0 && i128::from(wish.amount) + i128::from(wish.keep) == held(before)
        }
        Event::Voided(voided) => i128::from(voided.kept) == held(after),
        _ => true,
    };
    hold(KEPT, keeps, || format!("{before:?} became {after:?} by {event:?}"))?;
    let left = before.live.iter().find(|live| {
        let gone = !after.live.iter().any(|now| now.verb == live.verb && now.unknown);
        live.unknown && gone
    });
    let evidence = |verb: Verb| matches!(earlier, Some(Event::OutcomeResolved(resolved)) if resolved.verb == verb);
    hold(EVIDENCE, left.is_none_or(|live| evidence(live.verb)), || {
        format!("{left:?} was left by {event:?} after {earlier:?}")
    })
}

fn total(amounts: impl Iterator<Item = Minor>) -> i128 {
    amounts.map(i128::from).sum()
}
