//! What a person says of an outcome that nobody knows.

use super::super::event::RaiseFailed;
use super::*;
use crate::ids::RaiseId;

#[test]
fn an_operator_resolves_with_evidence_and_the_providers_reference() {
    let resolve = |verdict, evidence: &str, provider_ref: Option<&str>| Command::ResolveOutcome {
        verb: Verb::Authorise,
        verdict,
        evidence: evidence.into(),
        provider_ref: provider_ref.map(Into::into),
        try_again: true,
    };
    let silent = || asking().and([unknown(Verb::Authorise, 1)]);
    silent()
        .when(resolve(Verdict::Done, "seen in the portal", Some("ref")))
        .then([resolved(Verb::Authorise, Verdict::Done, "seen in the portal"), authorised()])
        .when(resolve(Verdict::NotDone, "no, it was not", None))
        .then_refused(Refusal::OutcomeSettled { settled: Verdict::Done });
    silent().when(resolve(Verdict::NotDone, "not in the portal", None)).then([
        resolved(Verb::Authorise, Verdict::NotDone, "not in the portal"),
        Event::Declined(Declined { attempt: 1, code: "resolved-not-done".into(), last: false }),
    ]);
    silent().when(resolve(Verdict::Done, " ", Some("ref"))).then_refused(Refusal::EvidenceMissing);
    silent().when(resolve(Verdict::Done, "seen", None)).then_refused(Refusal::ProviderRefMissing);
    asking()
        .when(resolve(Verdict::Done, "seen", Some("ref")))
        .then_refused(Refusal::PaymentState { stage: Stage::Authorising });
}

/// What an operator says was not done and shall not be tried again.
fn for_good(verb: Verb) -> Command {
    let verdict = Verdict::NotDone;
    Command::ResolveOutcome { verb, verdict, evidence: "seen".into(), provider_ref: None, try_again: false }
}

#[test]
fn what_shall_not_be_tried_again_says_so_where_it_fails() {
    let code = || "resolved-not-done".to_owned();
    let raise_id = RaiseId(Uuid::from_u128(7));
    let raise = Verb::Raise { raise_id };
    let ask = Command::Raise { raise_id, amount: 5 };
    let cases = [
        (asking(), Verb::Authorise, Event::Declined(Declined { attempt: 1, code: code(), last: true })),
        (
            held().after([take(FIRST, 600)]),
            of(FIRST),
            Event::CaptureFailed(CaptureFailed { capture_id: FIRST, code: code(), last: true }),
        ),
        (
            held().after([Command::Void { keep: 0 }]),
            Verb::Void,
            Event::VoidFailed(VoidFailed { attempt: 1, code: code(), last: true }),
        ),
        (held().after([ask]), raise, Event::RaiseFailed(RaiseFailed { raise_id, code: code(), last: true })),
        (
            taken(1000).after([refund(BACK, 10)]),
            back(BACK),
            Event::RefundFailed(RefundFailed { refund_id: BACK, code: code(), last: true }),
        ),
    ];
    for (payment, verb, failed) in cases {
        let silent = payment.after([told(verb, 1, silence())]);
        silent.when(for_good(verb)).then([resolved(verb, Verdict::NotDone, "seen"), failed]);
    }
}

#[test]
fn a_person_who_asks_by_hand_may_try_again_what_was_said_to_be_the_last() {
    let failed = taken(1000).after([refund(BACK, 10), told(back(BACK), 1, silence()), for_good(back(BACK))]);
    failed
        .when(refund(BACK, 10))
        .then_with(|events| assert!(matches!(events, [Event::RefundRequested(it)] if it.attempt == 2)));
}

#[test]
fn a_failure_says_that_it_is_the_last_only_where_it_is() {
    let failed = |last| CaptureFailed { capture_id: FIRST, code: "no".into(), last };
    let written = |last| serde_json::to_value(failed(last)).unwrap();
    assert_eq!(written(false).get("last"), None);
    assert_eq!(written(true)["last"], true);
    let read: CaptureFailed = serde_json::from_value(written(false)).unwrap();
    assert_eq!(read, failed(false));
}
