//! I9 and I29: what was seen of the log, and what reads showed.

use event_store::EventStore;
use uuid::Uuid;

use super::doctored::Doctored;
use super::given::{Given, only, order};
use crate::Invariant::{I9, I29};

/// An order of four events, acknowledged; four positions, the last of them another order's.
async fn given() -> Given {
    let given = Given::new();
    given.done("a", "one", "o1", 2).await;
    given.done("a", "two", "o1", 1).await;
    given.wrote("three", "o2", 1).await;
    given
}

#[tokio::test]
async fn i9_the_end_of_the_log_is_lost() {
    let given = given().await;
    let head = *given.store.head().borrow();
    given.history.observed("tail", head.position, head.hash);
    given.check().await.assert_green();
    let mut doctored = Doctored::of(&given).await;
    doctored.records.pop();
    only(&given.check_against(&doctored.rechained()).await, I9, 1);
}

#[tokio::test]
async fn i9_another_record_is_where_one_was_seen() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await;
    let (hash, event) = (doctored.records[3].hash, doctored.records[3].event_id);
    doctored.records[3].event_id = Uuid::now_v7();
    let doctored = doctored.rechained();
    given.history.observed("tail", 4, hash);
    only(&given.check_against(&doctored).await, I9, 1);
    given.history.observed_event("events", 4, event);
    only(&given.check_against(&doctored).await, I9, 2);
}

#[tokio::test]
async fn i9_a_read_showed_what_the_log_does_not_have() {
    let given = given().await;
    given.history.read("a", order("o1"), None).showed(4, Some(3));
    only(&given.check().await, I9, 1);
    let given = super::sights::given().await;
    given.history.read("a", order("o1"), None).showed(3, Some(5));
    only(&given.check().await, I9, 1);
}

#[tokio::test]
async fn i29_a_read_showed_less_than_was_asked_for() {
    let given = given().await;
    let read = |client: &str, min| given.history.read(client, order("o1"), min);
    read("a", Some(3)).showed(3, Some(4));
    read("b", None).showed(2, Some(2));
    read("c", Some(4)).showed(3, None);
    given.check().await.assert_green();

    read("d", Some(3)).showed(2, None);
    only(&given.check().await, I29, 1);
    read("e", Some(3)).absent(None);
    only(&given.check().await, I29, 2);
    read("f", Some(4)).showed(3, Some(3));
    only(&given.check().await, I29, 3);
    read("g", None).showed(2, Some(3));
    only(&given.check().await, I29, 4);
}

#[tokio::test]
async fn i29_a_session_went_back() {
    let given = given().await;
    let read = |client: &str| given.history.read(client, order("o1"), None);
    let overlapping = read("a");
    read("a").showed(3, None);
    overlapping.showed(2, None);
    read("b").showed(2, None);
    given.check().await.assert_green();
    read("a").showed(2, None);
    only(&given.check().await, I29, 1);
}
