//! The rules of a payment, one by one, told as given, when, then.
#![expect(clippy::unwrap_used, reason = "tests")]

mod abilities;
mod ending;
mod raising;
mod resolving;
mod voids;

use uuid::Uuid;

use super::command::{Command, Outcome, RecordOutcome};
use super::event::{
    AuthorisationExpired, AuthorisationRequested, Authorised, CaptureFailed, CaptureRequested, Captured, Declined,
    Event, OutcomeResolved, OutcomeUnknown, RefundFailed, RefundRequested, RefundSettled, Verb, Verdict, VoidFailed,
    VoidRequested, VoidWanted, Voided,
};
use super::refusal::Refusal;
use super::state::{Payment, Stage};
use crate::Aggregate;
use crate::ids::{CaptureId, OrderId, PaymentId, RefundId};
use crate::laws::{self, Watched};
use crate::money::{Currency, Minor, Money};
use crate::order::event::PaymentStatus;
use crate::testing::{Given, Named, given};

impl Named for Command {
    fn names_what_it_makes(&self) -> bool {
        true
    }
}

const PAYMENT: PaymentId = PaymentId(Uuid::from_u128(1));
const ORDER: OrderId = OrderId(Uuid::from_u128(2));
const FIRST: CaptureId = CaptureId(Uuid::from_u128(3));
const SECOND: CaptureId = CaptureId(Uuid::from_u128(4));
const BACK: RefundId = RefundId(Uuid::from_u128(5));
const AGAIN: RefundId = RefundId(Uuid::from_u128(6));

fn wish(attempt: u32) -> AuthorisationRequested {
    AuthorisationRequested {
        payment_id: PAYMENT,
        order_id: ORDER,
        amount: Money { amount: 1000, currency: Currency::GBP },
        instrument: "tok_visa".into(),
        attempt,
    }
}

fn ask(wish: AuthorisationRequested) -> Command {
    Command::RequestAuthorisation {
        payment_id: wish.payment_id,
        order_id: wish.order_id,
        amount: wish.amount,
        instrument: wish.instrument,
        attempt: wish.attempt,
    }
}

fn told(verb: Verb, attempt: u32, outcome: Outcome) -> Command {
    Command::RecordOutcome(RecordOutcome { verb, attempt, outcome, evidence: None })
}

fn done(amount: Minor) -> Outcome {
    Outcome::Done { provider_ref: "ref".into(), amount, capture_before: None, fee: None, abilities: None }
}

fn not_done() -> Outcome {
    Outcome::NotDone { code: "do_not_honour".into() }
}

fn silence() -> Outcome {
    Outcome::Unknown { detail: "timeout".into() }
}

fn unknown(verb: Verb, attempt: u32) -> Event {
    Event::OutcomeUnknown(OutcomeUnknown { verb, attempt, detail: Some("timeout".into()) })
}

fn resolved(verb: Verb, verdict: Verdict, evidence: &str) -> Event {
    Event::OutcomeResolved(OutcomeResolved { verb, verdict, evidence: evidence.into() })
}

fn of(capture_id: CaptureId) -> Verb {
    Verb::Capture { capture_id }
}

fn back(refund_id: RefundId) -> Verb {
    Verb::Refund { refund_id }
}

fn take(capture_id: CaptureId, amount: Minor) -> Command {
    Command::Capture { capture_id, amount }
}

fn refund(refund_id: RefundId, amount: Minor) -> Command {
    Command::Refund { refund_id, amount, reason: "returned".into() }
}

fn authorised() -> Event {
    Event::Authorised(Authorised {
        attempt: 1,
        provider_ref: "ref".into(),
        amount: 1000,
        capture_before: None,
        abilities: None,
    })
}

fn captured(capture_id: CaptureId, amount: Minor) -> Event {
    Event::Captured(Captured { capture_id, amount, fee: None, provider_ref: "ref".into() })
}

fn asking() -> Given<Payment> {
    given([Event::AuthorisationRequested(wish(1))])
}

fn held() -> Given<Payment> {
    asking().and([authorised()])
}

fn taken(amount: Minor) -> Given<Payment> {
    held().after([take(FIRST, amount), told(of(FIRST), 1, done(amount))])
}

fn stage(payment: Given<Payment>) -> (Stage, PaymentStatus) {
    let payment = payment.peek();
    assert_eq!(laws::payment::check(payment), Ok(()));
    let recorded = payment.record(7).unwrap();
    (payment.requested().unwrap().stage, recorded.status)
}

#[test]
fn an_authorisation_is_asked_for_once() {
    given::<Payment>([])
        .when(ask(wish(1)))
        .then([Event::AuthorisationRequested(wish(1))])
        .when(told(Verb::Authorise, 1, done(1000)))
        .then([authorised()])
        .when(ask(wish(1)))
        .then_nothing();
}

#[test]
fn an_amount_that_changes_under_the_same_attempt_is_refused() {
    let mut changed = wish(1);
    changed.amount.amount = 900;
    asking().when(ask(changed)).then_refused(Refusal::IntentChanged);
    let mut foreign = wish(2);
    foreign.amount.currency = Currency::JPY;
    asking().when(ask(foreign)).then_refused(Refusal::IntentChanged);
    let mut nothing = wish(1);
    nothing.amount.amount = 0;
    given::<Payment>([]).when(ask(nothing)).then_refused(Refusal::InvalidAmount { amount: 0 });
}

#[test]
fn a_declined_authorisation_may_be_asked_for_again_with_the_next_attempt() {
    let declined = asking().when(told(Verb::Authorise, 1, not_done())).then([Event::Declined(Declined {
        attempt: 1,
        code: "do_not_honour".into(),
        last: false,
    })]);
    let again =
        declined.when(ask(wish(1))).then_nothing().when(ask(wish(2))).then([Event::AuthorisationRequested(wish(2))]);
    assert_eq!(stage(again), (Stage::Authorising, PaymentStatus::None));
    given::<Payment>([]).when(ask(wish(2))).then_refused(Refusal::AttemptSkipped { wanted: 2, newest: 0 });
    held().when(ask(wish(2))).then_refused(Refusal::PaymentState { stage: Stage::Authorised });
}

#[test]
fn an_unknown_authorisation_is_left_by_a_late_answer_only_with_the_answer_as_evidence() {
    let silent = asking()
        .when(told(Verb::Authorise, 1, silence()))
        .then([unknown(Verb::Authorise, 1)])
        .when(told(Verb::Authorise, 1, silence()))
        .then_nothing();
    let late = silent
        .when(told(Verb::Authorise, 1, done(1000)))
        .then([resolved(Verb::Authorise, Verdict::Done, "ref"), authorised()]);
    assert_eq!(stage(late), (Stage::Authorised, PaymentStatus::Authorised));
    asking()
        .and([unknown(Verb::Authorise, 1)])
        .when(ask(wish(2)))
        .then_refused(Refusal::PaymentUnknown { stage: Stage::AuthoriseUnknown });
}

#[test]
fn an_outcome_of_another_amount_proves_nothing() {
    let detail = "1000 were asked for and the provider speaks of 900".to_owned();
    let verb = Verb::Authorise;
    let unknown = Event::OutcomeUnknown(OutcomeUnknown { verb, attempt: 1, detail: Some(detail) });
    let payment = asking().peek().clone();
    use crate::Aggregate as _;
    let wrong = told(verb, 1, done(900));
    assert_eq!(payment.decide(&wrong), Ok(vec![unknown.clone()]));
    asking().and([unknown]).when(wrong).then_refused(Refusal::AmountMismatch { asked: 1000, told: 900 });
}

#[test]
fn what_was_never_asked_has_no_outcome_and_what_is_settled_stays() {
    held().when(told(of(FIRST), 1, done(5))).then_refused(Refusal::NeverAsked { asked: of(FIRST) });
    held().when(told(Verb::Authorise, 2, done(1000))).then_refused(Refusal::NeverAsked { asked: Verb::Authorise });
    held().when(told(Verb::Authorise, 1, not_done())).then_refused(Refusal::OutcomeSettled { settled: Verdict::Done });
    held().when(told(Verb::Authorise, 1, silence())).then_nothing();
}

#[test]
fn captures_run_side_by_side_as_long_as_the_sum_holds() {
    let both = held()
        .when(take(FIRST, 600))
        .then([Event::CaptureRequested(CaptureRequested {
            capture_id: FIRST,
            amount: 600,
            attempt: 1,
            by_hand: false,
        })])
        .when(take(SECOND, 400))
        .then([Event::CaptureRequested(CaptureRequested {
            capture_id: SECOND,
            amount: 400,
            attempt: 1,
            by_hand: false,
        })])
        .after([told(of(SECOND), 1, silence())]);
    let settled = both
        .when(told(of(FIRST), 1, done(600)))
        .then([captured(FIRST, 600)])
        .when(told(of(SECOND), 1, done(400)))
        .then([resolved(of(SECOND), Verdict::Done, "ref"), captured(SECOND, 400)]);
    assert_eq!(stage(settled), (Stage::Captured, PaymentStatus::Captured));
}

#[test]
fn no_more_is_captured_than_is_held() {
    held().after([take(FIRST, 600)]).when(take(SECOND, 401)).then_refused(Refusal::ExceedsAuthorised {
        wanted: 401,
        capturable: 400,
        authorised: 1000,
        captured: 0,
        pending: 600,
        voided: 0,
    });
    asking().when(take(FIRST, 1)).then_refused(Refusal::PaymentState { stage: Stage::Authorising });
    given::<Payment>([]).when(take(FIRST, 1)).then_refused(Refusal::NotFound);
    held().after([take(FIRST, 600)]).when(take(FIRST, 500)).then_refused(Refusal::IntentChanged);
}

#[test]
fn a_failed_capture_may_be_asked_for_again() {
    let failed = held()
        .after([take(FIRST, 600)])
        .when(told(of(FIRST), 1, not_done()))
        .then([Event::CaptureFailed(CaptureFailed { capture_id: FIRST, code: "do_not_honour".into(), last: false })]);
    let again = failed
        .when(take(FIRST, 600))
        .then([Event::CaptureRequested(CaptureRequested {
            capture_id: FIRST,
            amount: 600,
            attempt: 2,
            by_hand: false,
        })])
        .when(told(of(FIRST), 1, not_done()))
        .then_nothing();
    assert_eq!(stage(again), (Stage::Capturing, PaymentStatus::Authorised));
}

#[test]
fn of_two_refunds_of_sixty_on_a_hundred_one_is_accepted() {
    let one = taken(100).when(refund(BACK, 60)).then([Event::RefundRequested(RefundRequested {
        refund_id: BACK,
        amount: 60,
        reason: "returned".into(),
        attempt: 1,
    })]);
    one.when(refund(AGAIN, 60)).then_refused(Refusal::ExceedsRefundable {
        wanted: 60,
        refundable: 40,
        captured: 100,
        refunded: 0,
        pending: 60,
    });
    held().when(refund(BACK, 1)).then_refused(Refusal::ExceedsRefundable {
        wanted: 1,
        refundable: 0,
        captured: 0,
        refunded: 0,
        pending: 0,
    });
    taken(100).when(refund(BACK, -1)).then_refused(Refusal::InvalidAmount { amount: -1 });
}

#[test]
fn a_refund_waits_for_a_capture_whose_outcome_is_unknown() {
    held()
        .after([take(FIRST, 600), told(of(FIRST), 1, silence())])
        .when(refund(BACK, 600))
        .then_refused(Refusal::PaymentUnknown { stage: Stage::CaptureUnknown });
}

#[test]
fn a_refund_that_fails_can_be_given_back_again() {
    let failed = taken(1000)
        .after([refund(BACK, 1000)])
        .when(told(back(BACK), 1, not_done()))
        .then([Event::RefundFailed(RefundFailed { refund_id: BACK, code: "do_not_honour".into(), last: false })]);
    let settled = failed
        .when(refund(BACK, 1000))
        .then_with(|events| assert_eq!(events.len(), 1))
        .when(told(back(BACK), 2, done(1000)))
        .then([Event::RefundSettled(RefundSettled { refund_id: BACK, amount: 1000, provider_ref: "ref".into() })]);
    assert_eq!(stage(settled), (Stage::Refunded, PaymentStatus::Refunded));
}

#[test]
fn an_order_is_told_the_numbers() {
    let payment = taken(600).after([refund(BACK, 100)]).peek().clone();
    let told = payment.record(9).unwrap();
    assert_eq!((told.payment_id, told.payment_version, told.status), (PAYMENT, 9, PaymentStatus::PartRefunded));
    assert_eq!((told.authorised, told.captured, told.refunded, told.refund_pending), (1000, 600, 0, 100));
    assert_eq!(Payment::Absent.record(0), None);
}

#[test]
fn captures_by_hand_are_bounded_and_those_of_shipments_are_not() {
    let by_hand = |n: u128| {
        let capture_id = CaptureId(Uuid::from_u128(n));
        Command::CaptureByHand { capture_id, amount: 1 }
    };
    let full = held().after((1..=500).map(by_hand));
    let most = Refusal::TooMany { what: super::refusal::Part::Capture, most: 500 };
    let full = full.when(by_hand(501)).then_refused(most);
    let full = full.when(by_hand(500)).then_nothing();
    full.when(take(CaptureId(Uuid::from_u128(501)), 1)).then_with(|events| assert_eq!(events.len(), 1));
}
