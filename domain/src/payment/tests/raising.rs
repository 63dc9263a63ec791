//! Holding more on the same authorisation.

use super::super::abilities::{Abilities, Ability};
use super::super::event::{AuthorisationRaised, RaiseFailed, RaiseRequested};
use super::super::refusal::Part;
use super::*;
use crate::ids::RaiseId;
use crate::money::LARGEST;

const MORE: RaiseId = RaiseId(Uuid::from_u128(7));
const AGAIN: RaiseId = RaiseId(Uuid::from_u128(8));

fn raise(raise_id: RaiseId, amount: Minor) -> Command {
    Command::Raise { raise_id, amount }
}

fn of_raise(raise_id: RaiseId) -> Verb {
    Verb::Raise { raise_id }
}

fn asked(amount: Minor, attempt: u32) -> Event {
    Event::RaiseRequested(RaiseRequested { raise_id: MORE, amount, attempt })
}

fn raised(amount: Minor) -> Event {
    let provider_ref = "ref".into();
    Event::AuthorisationRaised(AuthorisationRaised { raise_id: MORE, amount, provider_ref, capture_before: None })
}

fn raising() -> Given<Payment> {
    held().after([raise(MORE, 500)])
}

#[test]
fn a_raised_authorisation_holds_more_and_all_of_it_can_be_taken() {
    let more = held()
        .when(raise(MORE, 500))
        .then([asked(500, 1)])
        .when(told(of_raise(MORE), 1, done(500)))
        .then([raised(500)])
        .when(raise(MORE, 500))
        .then_nothing()
        .when(raise(MORE, 501))
        .then_refused(Refusal::IntentChanged);
    let all = more.after([take(FIRST, 1500), told(of(FIRST), 1, done(1500))]);
    assert_eq!(stage(all), (Stage::Captured, PaymentStatus::Captured));
}

#[test]
fn a_raise_is_alone_of_what_moves_held_money() {
    assert_eq!(stage(raising()), (Stage::Raising, PaymentStatus::Authorised));
    raising().when(take(FIRST, 1)).then_refused(Refusal::PaymentState { stage: Stage::Raising });
    raising().when(raise(AGAIN, 1)).then_refused(Refusal::PaymentState { stage: Stage::Raising });
    held().after([take(FIRST, 1)]).when(raise(MORE, 1)).then_refused(Refusal::PaymentState { stage: Stage::Capturing });
    held()
        .after([Command::Void { keep: 0 }])
        .when(raise(MORE, 1))
        .then_refused(Refusal::PaymentState { stage: Stage::Voiding });
    let waits = Event::VoidWanted(VoidWanted { keep: 900 });
    let failed = Event::RaiseFailed(RaiseFailed { raise_id: MORE, code: "do_not_honour".into(), last: false });
    let void = |amount| Event::VoidRequested(VoidRequested { amount, keep: 900, attempt: 1 });
    raising().when(Command::Void { keep: 1500 }).then_nothing();
    let waiting = || raising().when(Command::Void { keep: 900 }).then([waits.clone()]);
    waiting().when(told(of_raise(MORE), 1, done(500))).then([raised(500), void(600)]);
    waiting().when(told(of_raise(MORE), 1, not_done())).then([failed, void(100)]);
}

#[test]
fn what_is_not_held_is_not_raised() {
    let state = |stage| Refusal::PaymentState { stage };
    given::<Payment>([]).when(raise(MORE, 1)).then_refused(Refusal::NotFound);
    asking().when(raise(MORE, 1)).then_refused(state(Stage::Authorising));
    asking().after([told(Verb::Authorise, 1, not_done())]).when(raise(MORE, 1)).then_refused(state(Stage::Declined));
    taken(1000).when(raise(MORE, 1)).then_refused(state(Stage::Captured));
    held().when(raise(MORE, 0)).then_refused(Refusal::InvalidAmount { amount: 0 });
    held().when(raise(MORE, LARGEST)).then_refused(Refusal::InvalidAmount { amount: LARGEST + 1000 });
}

#[test]
fn an_unknown_raise_is_left_by_evidence_and_a_failed_one_may_be_asked_for_again() {
    let silent = || raising().when(told(of_raise(MORE), 1, silence())).then([unknown(of_raise(MORE), 1)]);
    assert_eq!(stage(silent()), (Stage::RaiseUnknown, PaymentStatus::Unknown));
    let silent = silent().when(take(FIRST, 1)).then_refused(Refusal::PaymentUnknown { stage: Stage::RaiseUnknown });
    let silent = silent.when(raise(AGAIN, 1)).then_refused(Refusal::PaymentUnknown { stage: Stage::RaiseUnknown });
    silent
        .when(told(of_raise(MORE), 1, not_done()))
        .then([
            resolved(of_raise(MORE), Verdict::NotDone, "do_not_honour"),
            Event::RaiseFailed(RaiseFailed { raise_id: MORE, code: "do_not_honour".into(), last: false }),
        ])
        .when(raise(MORE, 500))
        .then([asked(500, 2)])
        .when(told(of_raise(MORE), 1, not_done()))
        .then_nothing()
        .when(told(of_raise(MORE), 2, done(500)))
        .then([raised(500)])
        .when(told(of_raise(MORE), 2, not_done()))
        .then_refused(Refusal::OutcomeSettled { settled: Verdict::Done });
    held().when(told(of_raise(MORE), 1, done(5))).then_refused(Refusal::NeverAsked { asked: of_raise(MORE) });
}

#[test]
fn a_gateway_that_cannot_is_not_asked() {
    let abilities = Some(Abilities { raise: false, ..Abilities::ALL });
    let outcome =
        Outcome::Done { provider_ref: "ref".into(), amount: 1000, capture_before: None, fee: None, abilities };
    asking()
        .after([told(Verb::Authorise, 1, outcome)])
        .when(raise(MORE, 1))
        .then_refused(Refusal::GatewayCannot { ability: Ability::Raise });
}

#[test]
fn the_raises_of_a_payment_are_bounded() {
    let each = (1..=500_u128).flat_map(|n| {
        let raise_id = RaiseId(Uuid::from_u128(n));
        [raise(raise_id, 1), told(of_raise(raise_id), 1, done(1))]
    });
    let full = held().after(each);
    let full = full.when(raise(RaiseId(Uuid::from_u128(500)), 1)).then_nothing();
    full.when(raise(RaiseId(Uuid::from_u128(501)), 1)).then_refused(Refusal::TooMany { what: Part::Raise, most: 500 });
}
