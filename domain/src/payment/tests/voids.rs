//! Letting held money go: all of it or a part, now or once what is at the provider is settled.

use super::*;

const ALL: Command = Command::Void { keep: 0 };

fn void(keep: Minor) -> Command {
    Command::Void { keep }
}

fn wanted(keep: Minor) -> Event {
    Event::VoidWanted(VoidWanted { keep })
}

fn asked(amount: Minor, keep: Minor, attempt: u32) -> Event {
    Event::VoidRequested(VoidRequested { amount, keep, attempt })
}

fn voided(amount: Minor, kept: Minor) -> Event {
    Event::Voided(Voided { amount, kept })
}

#[test]
fn a_void_lets_go_of_what_is_held_and_not_taken() {
    let part = taken(600)
        .when(ALL)
        .then([asked(400, 0, 1)])
        .when(told(Verb::Void, 1, done(400)))
        .then([voided(400, 0)])
        .when(ALL)
        .then_nothing();
    assert_eq!(stage(part), (Stage::Captured, PaymentStatus::Captured));
    let all = held().after([ALL, told(Verb::Void, 1, done(0))]);
    assert_eq!(stage(all), (Stage::Voided, PaymentStatus::Voided));
    taken(1000).when(ALL).then_nothing();
    given::<Payment>([]).when(ALL).then_nothing();
    held().after([ALL]).when(take(FIRST, 1)).then_refused(Refusal::PaymentState { stage: Stage::Voiding });
    held()
        .after([ALL, told(Verb::Void, 1, silence())])
        .when(take(FIRST, 1))
        .then_refused(Refusal::PaymentUnknown { stage: Stage::VoidUnknown });
}

#[test]
fn a_failed_void_may_be_asked_for_again() {
    held()
        .after([ALL])
        .when(told(Verb::Void, 1, not_done()))
        .then([Event::VoidFailed(VoidFailed { attempt: 1, code: "do_not_honour".into(), last: false })])
        .when(ALL)
        .then([asked(1000, 0, 2)]);
}

#[test]
fn a_void_while_authorising_waits_for_the_outcome() {
    let waiting = || asking().when(ALL).then([wanted(0)]);
    let void = asked(1000, 0, 1);
    waiting().when(told(Verb::Authorise, 1, done(1000))).then([authorised(), void.clone()]);
    waiting().and([unknown(Verb::Authorise, 1)]).when(told(Verb::Authorise, 1, done(1000))).then([
        resolved(Verb::Authorise, Verdict::Done, "ref"),
        authorised(),
        void,
    ]);
    let declined = waiting()
        .when(told(Verb::Authorise, 1, not_done()))
        .then([Event::Declined(Declined { attempt: 1, code: "do_not_honour".into(), last: false })])
        .when(ALL)
        .then_nothing();
    assert_eq!(stage(declined), (Stage::Declined, PaymentStatus::Declined));
}

#[test]
fn a_void_while_capturing_waits_for_the_last_capture() {
    let waiting = || {
        held()
            .after([take(FIRST, 600), take(SECOND, 400)])
            .when(ALL)
            .then([wanted(0)])
            .when(told(of(FIRST), 1, done(600)))
            .then([captured(FIRST, 600)])
    };
    waiting().when(told(of(SECOND), 1, done(400))).then([captured(SECOND, 400), voided(0, 0)]);
    waiting().when(told(of(SECOND), 1, not_done())).then([
        Event::CaptureFailed(CaptureFailed { capture_id: SECOND, code: "do_not_honour".into(), last: false }),
        asked(400, 0, 1),
    ]);
    waiting()
        .when(take(CaptureId(Uuid::from_u128(9)), 1))
        .then_refused(Refusal::PaymentState { stage: Stage::Capturing });
}

/// A void that waited for a capture or an authorisation is settled right after it, in the same batch: between the two events it waits
/// for nothing, and that is no breach.
#[test]
fn a_law_of_the_whole_command_is_not_asked_of_each_event() {
    let capturing = held().after([take(FIRST, 1000), ALL]);
    let mut all_taken = Watched::of(capturing.peek().clone());
    let events = Aggregate::decide(capturing.peek(), &told(of(FIRST), 1, done(1000))).unwrap();
    assert!(matches!(events[..], [Event::Captured(_), ..]));
    for event in events {
        assert_eq!(all_taken.fold(event), Ok(()));
    }
    assert_eq!(all_taken.end_batch(), Ok(()));

    let authorising = asking().after([ALL]);
    let mut let_go = Watched::of(authorising.peek().clone());
    let events = Aggregate::decide(authorising.peek(), &told(Verb::Authorise, 1, done(1000))).unwrap();
    assert!(matches!(events[..], [Event::Authorised(_), Event::VoidRequested(_)]));
    for event in events.clone() {
        assert_eq!(let_go.fold(event), Ok(()));
    }
    assert_eq!(let_go.end_batch(), Ok(()));
    // The law itself is kept: a command that ended between the two would break it.
    let mut cut = Watched::of(authorising.peek().clone());
    assert_eq!(cut.fold(events[0].clone()), Ok(()));
    assert_eq!(cut.end_batch().unwrap_err().law, laws::payment::WAITS.0);
}

#[test]
fn a_void_of_a_part_keeps_what_is_needed() {
    let part = held()
        .when(void(700))
        .then([asked(300, 700, 1)])
        .when(told(Verb::Void, 1, done(0)))
        .then([voided(300, 700)])
        .when(void(700))
        .then_nothing()
        .when(void(900))
        .then_nothing();
    assert_eq!(stage(part), (Stage::Authorised, PaymentStatus::Authorised));
    let rest = held()
        .after([void(700), told(Verb::Void, 1, done(0)), take(FIRST, 700), told(of(FIRST), 1, done(700))])
        .when(void(0))
        .then_nothing();
    assert_eq!(stage(rest), (Stage::Captured, PaymentStatus::Captured));
    held().when(void(-1)).then_refused(Refusal::InvalidAmount { amount: -1 });
    given::<Payment>([]).when(void(-1)).then_refused(Refusal::InvalidAmount { amount: -1 });
}

#[test]
fn a_wish_for_less_waits_while_a_part_is_let_go() {
    let voiding = || held().after([void(700)]).when(void(800)).then_nothing().when(void(200)).then([wanted(200)]);
    assert_eq!(stage(voiding()), (Stage::Voiding, PaymentStatus::Authorised));
    let rest = voiding().when(told(Verb::Void, 1, done(0))).then([voided(300, 700), asked(500, 200, 2)]);
    // What is said of the first void again is nothing new, though another one followed it.
    let rest = rest.when(told(Verb::Void, 1, done(0))).then_nothing();
    let rest = rest
        .when(told(Verb::Void, 1, not_done()))
        .then_refused(Refusal::OutcomeSettled { settled: Verdict::Done })
        .when(told(Verb::Void, 2, done(0)))
        .then([voided(500, 200)]);
    assert_eq!(stage(rest), (Stage::Authorised, PaymentStatus::Authorised));
    let failed = Event::VoidFailed(VoidFailed { attempt: 1, code: "do_not_honour".into(), last: false });
    voiding().when(told(Verb::Void, 1, not_done())).then([failed, asked(800, 200, 2)]);
}

#[test]
fn of_several_wishes_the_smallest_counts() {
    let waiting = || {
        let first = asking().when(void(600)).then([wanted(600)]).when(void(800)).then_nothing();
        first.when(void(300)).then([wanted(300)]).when(void(600)).then_nothing()
    };
    waiting().when(told(Verb::Authorise, 1, done(1000))).then([authorised(), asked(700, 300, 1)]);
    asking().when(void(1000)).then_nothing();
}

#[test]
fn what_a_waiting_void_keeps_can_be_taken_and_the_rest_cannot() {
    let waiting = || held().after([take(FIRST, 100)]).when(void(300)).then([wanted(300)]);
    waiting().when(take(SECOND, 301)).then_refused(Refusal::PaymentState { stage: Stage::Capturing });
    waiting()
        .after([take(SECOND, 300), told(of(FIRST), 1, done(100))])
        .when(told(of(SECOND), 1, done(300)))
        .then([captured(SECOND, 300), asked(300, 300, 1)]);
    let enough = held().after([take(FIRST, 800)]).when(void(500)).then([wanted(500)]);
    enough.when(told(of(FIRST), 1, done(800))).then([captured(FIRST, 800), voided(0, 200)]);
}
