//! I1, I2, I3, I6 as a client sees it, I10 and I32.

use super::doctored::Doctored;
use super::given::{Given, TENANT, call, only, order};
use crate::Invariant::{I1, I2, I3, I6, I10, I32};
use crate::{Answer, Call, Stands};

fn again(answer: &Answer) -> Answer {
    Answer { replayed: true, ..answer.clone() }
}

/// A run with one acknowledged command that is answered as `change` says.
async fn answered(change: impl FnOnce(&mut Answer)) -> crate::Report {
    let given = Given::new();
    given.done("a", "one", "o1", 2).await;
    let invocation = given.history.invoke("a", call("two"));
    let mut answer = given.wrote("two", "o1", 2).await;
    change(&mut answer);
    invocation.ok(answer);
    given.done("a", "three", "o2", 1).await;
    given.check().await
}

#[tokio::test]
async fn i1_an_acknowledged_command_is_missing() {
    let given = Given::new();
    let answer = given.done("a", "one", "o1", 1).await;
    let missing = Answer { versions: vec![], ..answer };
    given.history.invoke("a", call("two")).ok(missing);
    let report = given.check().await;
    only(&report, I1, 1);
    assert_eq!(report.violations[0].command, Some(super::given::id("two")));
    assert!(report.violations[0].lines[0].contains("a: two"), "{report}");
}

#[tokio::test]
async fn i1_an_answer_names_another_position_or_none_or_another_version() {
    answered(|_| {}).await.assert_green();
    only(&answered(|answer| answer.position = None).await, I1, 1);
    only(&answered(|answer| answer.position = Some(3)).await, I1, 2);
    only(&answered(|answer| answer.versions[0].1 = 3).await, I1, 1);
    let early = |answer: &mut Answer| {
        answer.stands = Stands::Later;
        answer.position = Some(2);
        answer.versions[0].1 = 2;
    };
    only(&answered(early).await, I1, 1);
}

#[tokio::test]
async fn i1_an_acknowledged_command_is_there_twice() {
    let given = Given::new();
    given.done("a", "one", "o1", 1).await;
    given.done("a", "two", "o2", 1).await;
    let twice = Doctored::of(&given).await.with_copy(0, |copy| copy.version = 2);
    only(&given.check_against(&twice).await, I1, 1);
}

#[tokio::test]
async fn i1_an_acknowledged_command_is_on_record_as_refused() {
    let given = Given::new();
    let invocation = given.history.invoke("a", call("one"));
    let refusal = given.refused("one", "o1", 0).await;
    invocation.ok(Answer { status: 200, code: None, ..refusal });
    only(&given.check().await, I1, 1);
}

#[tokio::test]
async fn i2_a_refused_command_left_events() {
    for position in [Some(1), None] {
        let given = Given::new();
        let invocation = given.history.invoke("a", call("one"));
        given.wrote("one", "o1", 1).await;
        invocation.refused(Answer { status: 409, position, ..Answer::default() });
        only(&given.check().await, I2, 1);
    }
}

#[tokio::test]
async fn i2_a_refusal_on_record_is_missing_or_says_something_else() {
    let given = Given::new();
    given.done("a", "one", "o1", 1).await;
    given.history.invoke("a", call("two")).refused(Answer { status: 409, position: Some(2), ..Answer::default() });
    only(&given.check().await, I2, 1);

    let given = Given::new();
    let invocation = given.history.invoke("a", call("one"));
    let refusal = given.refused("one", "o1", 0).await;
    invocation.refused(Answer { code: Some("on-hold".into()), position: Some(9), ..refusal });
    only(&given.check().await, I2, 2);
}

#[tokio::test]
async fn i2_a_dry_run_wrote_something() {
    let given = Given::new();
    let invocation = given.history.invoke("a", call("one").dry_run());
    let answer = given.wrote("one", "o1", 1).await;
    invocation.ok(answer);
    only(&given.check().await, I2, 1);
}

#[tokio::test]
async fn i3_an_unknown_outcome_took_effect_twice() {
    let given = Given::new();
    given.done("a", "one", "o1", 1).await;
    let lost = given.history.invoke("a", call("two"));
    given.wrote("two", "o2", 1).await;
    drop(lost);
    let twice = Doctored::of(&given).await.with_copy(1, |copy| copy.version = 2);
    only(&given.check_against(&twice).await, I3, 1);
}

#[tokio::test]
async fn i3_an_unknown_outcome_was_resolved_to_something_that_is_not_there() {
    let given = Given::new();
    given.history.invoke("a", call("one")).unknown("cut");
    let answer = given.wrote("other", "o1", 1).await;
    given.history.invoke("a", call("one")).ok(answer);
    only(&given.check().await, I3, 1);
}

#[tokio::test]
async fn i3_a_command_of_nobody_took_effect_twice() {
    let given = Given::new();
    given.done("a", "one", "o1", 1).await;
    given.wrote("of a saga", "o2", 1).await;
    let twice = Doctored::of(&given).await.with_copy(1, |copy| copy.version = 2);
    only(&given.check_against(&twice).await, I3, 1);
}

#[tokio::test]
async fn i6_a_command_changed_another_version_than_it_was_to() {
    let given = Given::new();
    given.done("a", "one", "o1", 3).await;
    let stale = given.history.invoke("a", call("two").expecting(order("o1"), 2));
    let answer = given.wrote("two", "o1", 1).await;
    stale.ok(answer);
    only(&given.check().await, I6, 1);
}

#[tokio::test]
async fn i6_a_refusal_rests_on_a_version_that_was_over() {
    let given = Given::new();
    given.done("a", "one", "o1", 3).await;
    let refusal = given.history.invoke("a", call("two"));
    let answer = given.refused("two", "o1", 2).await;
    refusal.refused(answer);
    only(&given.check().await, I6, 1);
}

#[tokio::test]
async fn i10_a_later_command_comes_before_an_earlier_one() {
    let given = Given::new();
    let second = given.wrote("second", "o2", 1).await;
    given.done("a", "first", "o1", 1).await;
    given.history.invoke("b", call("second")).ok(second);
    let report = given.check().await;
    only(&report, I10, 1);
    assert_eq!(report.violations[0].positions, [2, 1]);

    // At the same time, either may come first.
    let given = Given::new();
    let early = given.history.invoke("b", call("second"));
    let second = given.wrote("second", "o2", 1).await;
    given.done("a", "first", "o1", 1).await;
    early.ok(second);
    given.check().await.assert_green();
}

#[tokio::test]
async fn i10_a_command_comes_before_what_was_seen_when_it_was_sent() {
    let given = Given::new();
    let answer = given.wrote("one", "o1", 1).await;
    given.wrote("two", "o1", 1).await;
    given.history.observed_head("tail", 2);
    given.history.invoke("a", call("one")).ok(answer);
    only(&given.check().await, I10, 1);
}

#[tokio::test]
async fn i32_a_replay_differs() {
    let changes: [fn(&mut Answer); 5] = [
        |answer| answer.status = 202,
        |answer| answer.body = b"else".to_vec(),
        |answer| answer.location = Some("/elsewhere".into()),
        |answer| answer.versions = vec![],
        |answer| answer.replayed = false,
    ];
    for change in changes {
        let given = Given::new();
        let first = given.done("a", "one", "o1", 1).await;
        let mut replay = again(&first);
        change(&mut replay);
        given.history.invoke("a", call("one")).ok(replay);
        only(&given.check().await, I32, 1);
    }
}

#[tokio::test]
async fn i32_two_requests_are_answered_under_one_key() {
    let given = Given::new();
    let first = given.done("a", "one", "o1", 1).await;
    let other = Call::keyed(TENANT, "one", "another request", &[b"other"]);
    given.history.invoke("a", other).ok(again(&first));
    only(&given.check().await, I32, 1);
}

#[tokio::test]
async fn i32_a_key_is_taken_by_nothing() {
    let reused = || Answer { status: 422, code: Some("idempotency-key-reused".into()), ..Answer::default() };
    let given = Given::new();
    given.done("a", "one", "o1", 1).await;
    given.history.invoke("a", call("two")).refused(reused());
    only(&given.check().await, I32, 1);

    let given = Given::new();
    given.done("a", "one", "o1", 1).await;
    given.history.invoke("a", call("one")).refused(reused());
    only(&given.check().await, I32, 1);
}

#[tokio::test]
async fn i32_two_waits_for_one_verdict_are_told_different_things() {
    let given = Given::new();
    let first = given.done("a", "one", "o1", 1).await;
    given.done("a", "two", "o1", 1).await;
    let later = |body: &[u8]| Answer {
        position: Some(2),
        versions: vec![(order("o1"), 2)],
        stands: Stands::Later,
        body: body.to_vec(),
        ..again(&first)
    };
    given.history.invoke("a", call("one")).ok(later(b"confirmed"));
    given.history.invoke("b", call("one")).ok(later(b"confirmed"));
    given.check().await.assert_green();
    given.history.invoke("b", call("one")).ok(later(b"rejected"));
    only(&given.check().await, I32, 1);
}
