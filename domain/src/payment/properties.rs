//! Whatever is asked of a payment and whatever the provider says, the laws hold after every event and nothing happens twice.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use uuid::Uuid;

use super::abilities::Abilities;
use super::command::{Command, Outcome, RecordOutcome};
use super::event::{OnExpiry, Verb, Verdict};
use super::state::Payment;
use crate::Aggregate;
use crate::ids::{CaptureId, OrderId, PaymentId, RaiseId, RefundId};
use crate::laws::Watched;
use crate::money::{Currency, Money};
use crate::time::Timestamp;

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        Just(Verb::Authorise),
        (0..4_u128).prop_map(|n| Verb::Capture { capture_id: CaptureId(Uuid::from_u128(n)) }),
        Just(Verb::Void),
        (0..3_u128).prop_map(|n| Verb::Raise { raise_id: RaiseId(Uuid::from_u128(n)) }),
        (0..4_u128).prop_map(|n| Verb::Refund { refund_id: RefundId(Uuid::from_u128(n)) }),
    ]
}

fn days(day: i64) -> Timestamp {
    Timestamp::from_micros(day * 86_400_000_000)
}

fn abilities() -> impl Strategy<Value = Option<Abilities>> {
    let some = any::<[bool; 4]>().prop_map(|[partial_void, several_captures, raise, reauthorise]| {
        Some(Abilities { partial_void, several_captures, raise, reauthorise })
    });
    prop_oneof![Just(None), some]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let told = |amount, (abilities, end): (_, Option<i64>)| Outcome::Done {
        provider_ref: "ref".into(),
        amount,
        capture_before: end.map(days),
        fee: None,
        abilities,
    };
    let done = move |amount| {
        let said = (abilities(), prop::option::of(4..8_i64));
        said.prop_map(move |said| told(amount, said))
    };
    prop_oneof![
        // 0 stands for the amount that was asked for.
        6 => done(0),
        1 => (1..2_000_i64).prop_flat_map(done),
        3 => Just(Outcome::NotDone { code: "no".into() }),
        3 => Just(Outcome::Unknown { detail: "timeout".into() }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => (1..4_u32, prop_oneof![Just(1000_i64), Just(900)]).prop_map(|(attempt, amount)| {
            Command::RequestAuthorisation {
                payment_id: PaymentId(Uuid::from_u128(1)),
                order_id: OrderId(Uuid::from_u128(2)),
                amount: Money {
                    amount,
                    currency: Currency::GBP,
                },
                instrument: "tok".into(),
                attempt,
            }
        }),
        3 => (0..4_u128, -1..700_i64).prop_map(|(n, amount)| Command::Capture {
            capture_id: CaptureId(Uuid::from_u128(n)),
            amount,
        }),
        2 => prop_oneof![Just(0_i64), 0..900_i64].prop_map(|keep| Command::Void { keep }),
        2 => (0..3_u128, -1..500_i64).prop_map(|(n, amount)| Command::Raise {
            raise_id: RaiseId(Uuid::from_u128(n)),
            amount,
        }),
        3 => (0..4_u128, -1..500_i64).prop_map(|(n, amount)| Command::Refund {
            refund_id: RefundId(Uuid::from_u128(n)),
            amount,
            reason: "returned".into(),
        }),
        9 => (verb(), 1..4_u32, outcome()).prop_map(|(verb, attempt, outcome)| {
            Command::RecordOutcome(RecordOutcome { verb, attempt, outcome, evidence: None })
        }),
        2 => (verb(), any::<bool>()).prop_map(|(verb, done)| Command::ResolveOutcome {
            verb,
            verdict: if done { Verdict::Done } else { Verdict::NotDone },
            evidence: "seen".into(),
            provider_ref: Some("ref".into()),
            try_again: done,
        }),
        1 => (0..9_i64).prop_map(|day| Command::ExpireAuthorisation {
            now: days(day),
            lead_s: 86_400,
            then: OnExpiry::Hold,
        }),
        1 => (0..9_i64).prop_map(|day| Command::NoteEnding {
            now: days(day),
            lead_s: 86_400,
            then: OnExpiry::Reauthorise,
        }),
    ]
}

/// Lets an outcome speak of the request that is at the provider, most of the time.
fn aimed(payment: &Payment, command: Command, at_live: bool) -> Command {
    let (Command::RecordOutcome(mut told), Some(known)) = (command.clone(), payment.requested()) else {
        return command;
    };
    if let (true, Some(live)) = (at_live, known.live.first()) {
        (told.verb, told.attempt) = (live.verb, live.attempt);
    }
    if let (Outcome::Done { amount, .. }, Some(live)) = (&mut told.outcome, known.at_provider(told.verb))
        && *amount == 0
    {
        *amount = live.amount;
    }
    Command::RecordOutcome(told)
}

fn carry_out(payment: &mut Payment, command: &Command) -> Result<usize, TestCaseError> {
    let Ok(events) = payment.decide(command) else {
        return Ok(0);
    };
    let mut watched = Watched::of(payment.clone());
    for event in &events {
        prop_assert_eq!(watched.fold(event.clone()), Ok(()));
        prop_assert!(watched.state().requested().is_some());
    }
    prop_assert_eq!(watched.end_batch(), Ok(()));
    payment.clone_from(watched.state());
    if let Ok(more) = payment.decide(command) {
        prop_assert_eq!(more, vec![], "again: {:?}", command);
    }
    let written = serde_json::to_string(payment).unwrap();
    let read: Payment = serde_json::from_str(&written).unwrap();
    prop_assert_eq!(&read, payment);
    Ok(events.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_after_every_event(
        wishes in prop::collection::vec((command(), prop::bool::weighted(0.7)), 1..60),
    ) {
        let mut payment = Payment::default();
        for (command, at_live) in wishes {
            let command = aimed(&payment, command, at_live);
            carry_out(&mut payment, &command)?;
        }
    }

    #[test]
    fn whoever_asks_for_a_void_ends_with_no_more_held_than_is_kept(
        keep in prop_oneof![Just(0_i64), 0..900_i64],
        wishes in prop::collection::vec((command(), prop::bool::weighted(0.7)), 1..40),
        answers in prop::collection::vec(any::<bool>(), 16),
    ) {
        let mut payment = Payment::default();
        for (command, at_live) in wishes {
            let command = aimed(&payment, command, at_live);
            carry_out(&mut payment, &command)?;
        }
        let void = Command::Void { keep };
        prop_assert!(payment.decide(&void).is_ok(), "a void is never refused");
        carry_out(&mut payment, &void)?;
        let mut answers = answers.into_iter();
        // The provider answers whatever is there; a void that it refuses is asked for again.
        for _ in 0..32 {
            let Some(live) = payment.requested().and_then(|p| p.moving_held().cloned()) else {
                break;
            };
            let done = live.verb == Verb::Void || answers.next().unwrap_or(true);
            let outcome = if done {
                Outcome::Done {
                    provider_ref: "ref".into(),
                    amount: live.amount,
                    capture_before: None,
                    fee: None,
                    abilities: None,
                }
            } else {
                Outcome::NotDone { code: "no".into() }
            };
            let told = RecordOutcome { verb: live.verb, attempt: live.attempt, outcome, evidence: None };
            prop_assert!(carry_out(&mut payment, &Command::RecordOutcome(told))? > 0);
        }
        if let Some(payment) = payment.requested() {
            // Where the gateway cannot let a part go, the money stays until none of it is needed.
            prop_assert!(payment.held() <= keep || (keep > 0 && !payment.can().partial_void), "{:?}", payment);
        }
    }
}
