//! What a gateway cannot is not asked of it, and what follows from that is on record.

use super::super::abilities::{Abilities, Ability};
use super::super::event::RemainderReleased;
use super::*;

const PLAIN: Option<Abilities> = Some(Abilities::NONE);

fn plain(amount: Minor) -> Outcome {
    Outcome::Done { provider_ref: "ref".into(), amount, capture_before: None, fee: None, abilities: PLAIN }
}

fn held_plainly() -> Given<Payment> {
    asking().and([Event::Authorised(Authorised {
        attempt: 1,
        provider_ref: "ref".into(),
        amount: 1000,
        capture_before: None,
        abilities: PLAIN,
    })])
}

fn rest(amount: Minor) -> Event {
    Event::RemainderReleased(RemainderReleased { amount })
}

#[test]
fn the_abilities_of_a_gateway_come_with_the_authorisation() {
    let told = asking().after([told(Verb::Authorise, 1, plain(1000))]);
    assert_eq!(told.peek(), held_plainly().peek());
    assert_eq!(told.peek().requested().unwrap().can(), Abilities::NONE);
    assert_eq!(held().peek().requested().unwrap().can(), Abilities::ALL);
}

#[test]
fn the_only_capture_lets_the_rest_go_once_it_is_done() {
    let single = Refusal::GatewayCannot { ability: Ability::SeveralCaptures };
    let taking = held_plainly().after([take(FIRST, 600)]).when(take(SECOND, 400)).then_refused(single.clone());
    let failed = Event::CaptureFailed(CaptureFailed { capture_id: FIRST, code: "do_not_honour".into(), last: false });
    held_plainly()
        .after([take(FIRST, 600)])
        .when(told(of(FIRST), 1, not_done()))
        .then([failed])
        .when(take(SECOND, 400))
        .then_with(|events| assert_eq!(events.len(), 1));
    let taken = taking.when(told(of(FIRST), 1, done(600))).then([captured(FIRST, 600), rest(400)]);
    let taken = taken.when(take(SECOND, 1)).then_refused(single);
    assert_eq!(stage(taken), (Stage::Captured, PaymentStatus::Captured));
    let all = held_plainly().after([take(FIRST, 1000)]).when(told(of(FIRST), 1, done(1000)));
    all.then([captured(FIRST, 1000)]);
}

#[test]
fn the_rest_is_let_go_also_where_the_capture_is_known_by_evidence() {
    held_plainly().after([take(FIRST, 600), told(of(FIRST), 1, silence())]).when(told(of(FIRST), 1, done(600))).then([
        resolved(of(FIRST), Verdict::Done, "ref"),
        captured(FIRST, 600),
        rest(400),
    ]);
}

#[test]
fn a_part_stays_held_where_the_gateway_cannot_let_it_go() {
    held_plainly().when(Command::Void { keep: 300 }).then_nothing();
    held_plainly().when(Command::Void { keep: 0 }).then([Event::VoidRequested(VoidRequested {
        amount: 1000,
        keep: 0,
        attempt: 1,
    })]);
    // What the gateway can is not known while it is asked to hold the money.
    let waiting = asking().when(Command::Void { keep: 300 }).then([Event::VoidWanted(VoidWanted { keep: 300 })]);
    let held = Event::Authorised(Authorised {
        attempt: 1,
        provider_ref: "ref".into(),
        amount: 1000,
        capture_before: None,
        abilities: PLAIN,
    });
    waiting.when(told(Verb::Authorise, 1, plain(1000))).then([held, Event::Voided(Voided { amount: 0, kept: 1000 })]);
}

#[test]
fn a_void_that_waits_for_the_only_capture_finds_nothing_left() {
    let waiting = held_plainly().after([take(FIRST, 600)]);
    let waiting = waiting.when(Command::Void { keep: 0 }).then([Event::VoidWanted(VoidWanted { keep: 0 })]);
    waiting.when(told(of(FIRST), 1, done(600))).then([
        captured(FIRST, 600),
        rest(400),
        Event::Voided(Voided { amount: 0, kept: 0 }),
    ]);
}
