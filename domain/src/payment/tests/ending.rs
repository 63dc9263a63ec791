//! The end of an authorisation: near, and there.

use super::super::event::{AuthorisationEnding, AuthorisationRaised, OnExpiry};
use super::*;
use crate::ids::RaiseId;
use crate::time::Timestamp;

const DAY: u32 = 86_400;
const END: Timestamp = at(7 * DAY as i64);

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn held_until(end: Timestamp) -> Given<Payment> {
    asking().and([Event::Authorised(Authorised {
        attempt: 1,
        provider_ref: "ref".into(),
        amount: 1000,
        capture_before: Some(end),
        abilities: None,
    })])
}

fn note(now: Timestamp) -> Command {
    Command::NoteEnding { now, lead_s: DAY, then: OnExpiry::Hold }
}

fn expire(now: Timestamp) -> Command {
    Command::ExpireAuthorisation { now, lead_s: DAY, then: OnExpiry::Hold }
}

fn ending(end: Timestamp) -> Event {
    Event::AuthorisationEnding(AuthorisationEnding { capture_before: end, lead_s: DAY, then: OnExpiry::Hold })
}

#[test]
fn an_end_that_is_near_is_noted_once_while_something_is_held() {
    let near = at(6 * i64::from(DAY));
    let just_before = Timestamp::from_micros(near.micros() - 1);
    held_until(END).when(note(just_before)).then_refused(Refusal::TooEarly { at: near });
    let noted = held_until(END).when(note(near)).then([ending(END)]).when(note(END)).then_nothing();
    let raise_id = RaiseId(Uuid::from_u128(7));
    let later = at(9 * i64::from(DAY));
    let raised =
        noted.after([Command::Raise { raise_id, amount: 5 }]).and([Event::AuthorisationRaised(AuthorisationRaised {
            raise_id,
            amount: 5,
            provider_ref: "ref".into(),
            capture_before: Some(later),
        })]);
    raised.when(note(later)).then([ending(later)]);
    held().when(note(END)).then_nothing();
    held_until(END).after([take(FIRST, 1000), told(of(FIRST), 1, done(1000))]).when(note(END)).then_nothing();
    given::<Payment>([]).when(note(END)).then_refused(Refusal::NotFound);
}

#[test]
fn a_hold_that_ended_cannot_be_taken() {
    let just_before = Timestamp::from_micros(END.micros() - 1);
    held_until(END).when(expire(just_before)).then_refused(Refusal::TooEarly { at: END });
    let over = || Event::AuthorisationExpired(AuthorisationExpired { amount: 1000 });
    held_until(END).after([note(END)]).when(expire(END)).then([over()]);
    // The order learns first that the end was near, also where nobody was there to say so in time.
    let expired = || held_until(END).when(expire(END)).then([ending(END), over()]);
    assert_eq!(stage(expired()), (Stage::Expired, PaymentStatus::Voided));
    expired().when(expire(END)).then_nothing();
    expired().when(take(FIRST, 1)).then_refused(Refusal::AuthorisationExpired { expired: 1000 });
    expired()
        .when(Command::Raise { raise_id: RaiseId(Uuid::from_u128(7)), amount: 1 })
        .then_refused(Refusal::AuthorisationExpired { expired: 1000 });
    expired().when(Command::Void { keep: 0 }).then_nothing();
    held_until(END)
        .after([take(FIRST, 1)])
        .when(expire(END))
        .then_refused(Refusal::PaymentState { stage: Stage::Capturing });
    asking()
        .and([unknown(Verb::Authorise, 1)])
        .when(expire(END))
        .then_refused(Refusal::PaymentUnknown { stage: Stage::AuthoriseUnknown });
}

#[test]
fn an_authorisation_without_an_end_does_not_expire() {
    held().when(expire(END)).then_refused(Refusal::PaymentState { stage: Stage::Authorised });
}
