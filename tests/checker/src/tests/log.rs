//! I4 to I8: what is wrong with a log whatever its clients were told.

use super::doctored::Doctored;
use super::given::{Given, only};
use crate::Invariant::{I4, I5, I6, I7, I8};

/// Four records: two of one order, one of a second, one of a third. Nobody's but the first are in the history.
async fn given() -> Given {
    let given = Given::new();
    given.done("a", "one", "o1", 2).await;
    given.wrote("two", "o2", 1).await;
    given.wrote("three", "o3", 1).await;
    given.check().await.assert_green();
    given
}

#[tokio::test]
async fn i4_a_hole() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await;
    doctored.records[3].position = 5;
    let report = given.check_against(&doctored.rechained()).await;
    only(&report, I4, 1);
    assert_eq!(report.violations[0].positions, [3, 5]);
}

#[tokio::test]
async fn i4_a_log_that_does_not_begin_at_1() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await;
    doctored.records.drain(..2);
    let found = given.check_against(&doctored.rechained()).await;
    // The acknowledged command is gone with it.
    assert_eq!(found.totals[&I4], 1, "{found}");
}

#[tokio::test]
async fn i4_a_position_comes_again() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await;
    doctored.records[3].position = 3;
    only(&given.check_against(&doctored.rechained()).await, I4, 1);
}

#[tokio::test]
async fn i4_the_head_is_beyond_the_log() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await.rechained();
    doctored.head = 9;
    only(&given.check_against(&doctored).await, I4, 1);
}

#[tokio::test]
async fn i4_a_reader_of_everything_missed_something() {
    let given = given().await;
    let log = Doctored::of(&given).await;
    let mut reader = given.history.reader("tail", 1);
    reader.saw(2, log.records[1].hash);
    reader.saw(4, log.records[3].hash);
    only(&given.check().await, I4, 1);
}

#[tokio::test]
async fn i5_a_version_is_left_out() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await;
    doctored.records[3].version = 2;
    only(&given.check_against(&doctored.rechained()).await, I5, 1);
}

#[tokio::test]
async fn i5_a_version_comes_again_in_one_append() {
    let given = given().await;
    given.wrote("four", "o4", 2).await;
    let mut doctored = Doctored::of(&given).await;
    doctored.records[5].version = 1;
    only(&given.check_against(&doctored.rechained()).await, I5, 1);
}

#[tokio::test]
async fn i6_two_appends_rested_on_one_version() {
    let given = given().await;
    let doctored = Doctored::of(&given).await.with_copy(3, |copy| {
        copy.command_id = uuid::Uuid::now_v7();
    });
    only(&given.check_against(&doctored).await, I6, 1);
}

#[tokio::test]
async fn i7_an_event_id_comes_again() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await;
    doctored.records[3].event_id = doctored.records[2].event_id;
    let report = given.check_against(&doctored.rechained()).await;
    only(&report, I7, 1);
    assert_eq!(report.violations[0].positions, [3, 4]);
}

#[tokio::test]
async fn i8_a_byte_is_changed() {
    let given = given().await;
    let mut doctored = Doctored::of(&given).await;
    doctored.records[2].data = "{\"number\":1}".into();
    let report = given.check_against(&doctored).await;
    only(&report, I8, 1);
    assert_eq!(report.violations[0].positions, [3]);
}

#[tokio::test]
async fn i8_the_store_says_that_it_is_damaged() {
    let given = Given::new();
    let mut doctored = Doctored::of(&given).await;
    doctored.damaged = true;
    only(&given.check_against(&doctored).await, I8, 1);
}
