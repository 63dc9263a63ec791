//! Runs in which nothing is wrong, of every kind of outcome; and runs that prove nothing.

use super::doctored::Doctored;
use super::given::{Given, TENANT, call, order};
use crate::{Answer, Call, Counts, History, Stands, check};

fn plain(status: u16, code: &str) -> Answer {
    Answer { status, code: Some(code.into()), body: code.into(), ..Answer::default() }
}

#[tokio::test]
async fn a_run_of_every_kind_of_outcome_is_green() {
    let given = Given::new();
    let history = &given.history;
    given.done("a", "one", "o1", 2).await;

    // On record, and told again.
    let refusal = history.invoke("a", call("refused"));
    let no = given.refused("refused", "o1", 2).await;
    assert!(refusal.answered(no.clone()));
    let again = history.invoke("b", call("refused"));
    assert!(again.answered(Answer { replayed: true, ..no }));

    // Not on record; then the key for what it should have been.
    let malformed = Call::keyed(TENANT, "two", "two, malformed", &[b"oops"]);
    assert!(history.invoke("a", malformed.clone()).answered(plain(400, "malformed-body")));
    let yes = given.done("a", "two", "o1", 1).await;
    assert!(history.invoke("a", malformed).answered(plain(422, "idempotency-key-reused")));

    // Unknown, written, and resolved by asking again; the other way round; and never resolved.
    let lost = history.invoke("b", call("three"));
    let three = given.wrote("three", "o2", 3).await;
    assert!(!lost.answered(plain(503, "outcome-unknown")));
    let retry = history.invoke("b", call("three"));
    assert!(retry.answered(Answer { replayed: true, ..three.clone() }));
    drop(history.invoke("b", call("four")));
    given.done("b", "four", "o2", 1).await;
    history.invoke("b", call("five")).unknown("cut");
    given.wrote("five", "o2", 1).await;
    assert!(!history.invoke("b", call("six")).answered(plain(409, "request-in-progress")));

    // The verdict that was waited for stands further on than the commit.
    let waiting = Call::keyed(TENANT, "two", "two", &[b"two"]);
    let later = Answer {
        position: three.position,
        versions: vec![(order("o1"), 3)],
        stands: Stands::Later,
        replayed: true,
        ..yes.clone()
    };
    history.invoke("a", waiting).ok(later);

    let dry = Call::keyed(TENANT, "dry", "dry", &[b"dry"]).dry_run();
    history.invoke("a", dry).ok(plain(200, "dry"));
    let asked = given.done("a", "seven", "o1", 1).await;
    let read = history.read("a", order("o1"), asked.position);
    read.showed(4, asked.position);
    history.read("a", order("nothing"), asked.position).absent(None);
    drop(history.read("a", order("o1"), None));

    let log = Doctored::of(&given).await.records;
    let mut reader = history.reader("tail", 0);
    for record in &log {
        reader.saw(record.position, record.hash);
        history.observed_event("events", record.position, record.event_id);
    }
    history.observed_head("events", log.len() as u64);

    let report = given.check().await;
    let expected = Counts {
        commands: 9,
        invocations: 15,
        ok: 7,
        refused: 4,
        unknown: 4,
        resolved: 2,
        unknown_written: 1,
        unknown_absent: 1,
        replayed: 3,
        reads: 2,
        reads_unanswered: 1,
        observations: 2 * log.len() as u64 + 1,
        records: log.len() as u64,
    };
    assert_eq!(report.assert_green().counts, expected);
}

#[tokio::test]
async fn a_stale_if_match_and_its_merge_are_green() {
    let given = Given::new();
    given.done("a", "one", "o1", 2).await;
    let merge = call("merge").expecting(order("o1"), 2);
    let merging = given.history.invoke("a", merge);
    merging.ok(given.wrote("merge", "o1", 1).await);
    given.check().await.assert_green();
}

#[tokio::test]
#[should_panic(expected = "this run proves nothing")]
async fn a_history_without_an_acknowledgement_is_refused() {
    let given = Given::new();
    given.history.invoke("a", call("lost")).unknown("cut");
    given.check().await.assert_green();
}

#[tokio::test]
#[should_panic(expected = "I8: it says so itself")]
async fn a_violation_is_told_when_the_test_fails() {
    let given = Given::new();
    given.done("a", "one", "o1", 1).await;
    let mut doctored = Doctored::of(&given).await;
    doctored.damaged = true;
    let report = check(&given.history, &doctored).await.unwrap();
    report.assert_green();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_at_the_same_time_are_recorded_whole() {
    let given = std::sync::Arc::new(Given::new());
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let given = std::sync::Arc::clone(&given);
            tokio::spawn(async move {
                for turn in 0..25 {
                    let (client, stream) = (format!("c{number}"), format!("o{number}"));
                    given.done(&client, &format!("{number}-{turn}"), &stream, 1 + turn % 3).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let report = given.check().await;
    assert_eq!(report.assert_green().counts.ok, 200);
    assert!(History::new().snapshot().sent.is_empty());
}
