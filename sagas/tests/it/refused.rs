//! What a runner does when the store does not take what a saga decided: later, or never; and what it says of a saga that is there already.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::ids::OrderId;
use domain::order::event::Capture;
use domain::order::state::Status;
use domain::saga::Decision;
use domain::saga::event::{Fact, Started};
use domain::time::Timestamp;
use domain::{Event, order, stream};
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::{EventStore, Filter};
use sagas::runner;
use schemas::{Actor, Metadata};
use serde_json::json;
use uuid::Uuid;

use super::faulty::Faulty;
use super::ledger::all_sagas_ended;
use super::services::{id_of, stored};
use super::shop::{Shop, meta, tenant};

async fn facts(shop: &Shop, order_id: OrderId) -> Vec<Fact> {
    let events = shop.services.events(&tenant(), &stream::saga("checkout", order_id.0)).await;
    let facts = events.into_iter().filter_map(|event| match event {
        Event::Saga(decision) => Some(decision.facts),
        _ => None,
    });
    facts.flatten().collect()
}

async fn until(what: &str, mut enough: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !enough().await {
        assert!(began.elapsed() < Duration::from_secs(30), "it takes too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the runner has seen the log to its end and saved that.
async fn caught_up(shop: &Shop) {
    until("the checkpoint comes to the end", async || {
        let head = shop.store.head().borrow().position;
        let row = shop.store.consumer(&runner::consumer(0)).await.unwrap();
        row.is_some_and(|row| row.checkpoint.position >= head)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_start_is_refused_now_is_started_later() {
    let mut shop = Shop::open(0).await;
    let faulty = Faulty::new(shop.store.clone());
    faulty.appends.store(usize::MAX, Ordering::SeqCst);
    let life = shop.live_on(faulty.clone());
    let mut orders = Vec::new();
    for number in 1..=8 {
        orders.push(shop.place(number, Capture::AtConfirmation, "sandbox:approve").await);
    }
    until("starts are refused", async || faulty.refused.load(Ordering::SeqCst) >= 5).await;
    let row = shop.store.consumer(&runner::consumer(0)).await.unwrap().unwrap();
    let first = shop.store.read_log(0, &Filter { kinds: vec!["OrderPlaced".into()], ..Filter::default() }, 1).await;
    assert!(row.checkpoint.position < first.unwrap().records[0].position, "no checkpoint passes what is not done");
    // A restart meanwhile finds them again.
    life.stop().await;
    let life = shop.live_on(faulty.clone());
    faulty.appends.store(6, Ordering::SeqCst);
    for order_id in &orders {
        assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
    }
    assert!(life.lives());
    all_sagas_ended(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_that_are_refused_now_stop_nothing() {
    let mut shop = Shop::open(0).await;
    let faulty = Faulty::new(shop.store.clone());
    faulty.saves.store(usize::MAX, Ordering::SeqCst);
    let life = shop.live_on(faulty.clone());
    let order_id = shop.place(1, Capture::AtConfirmation, "sandbox:approve").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    until("checkpoints are refused", async || faulty.refused.load(Ordering::SeqCst) > 1).await;
    faulty.saves.store(0, Ordering::SeqCst);
    caught_up(&shop).await;
    assert!(life.lives());
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_can_never_be_written_is_parked_in_its_own_stream_and_no_other_waits() {
    let mut shop = Shop::open(0).await;
    let faulty = Faulty::new(shop.store.clone());
    let large = OrderId(Uuid::from_u128(1));
    *faulty.never.lock().unwrap() = Some((large.to_string(), 400));
    let life = shop.live_on(faulty.clone());
    shop.place(1, Capture::AtConfirmation, "sandbox:approve").await;
    let other = shop.place(2, Capture::AtConfirmation, "sandbox:approve").await;
    assert_eq!(shop.verdict(other).await, Status::Confirmed);
    caught_up(&shop).await;
    let parked = |facts: &[Fact]| matches!(facts, [Fact::Parked(parked)] if parked.reason == "too_large" && parked.detail.contains("too large"));
    let found = facts(&shop, large).await;
    assert!(parked(&found), "{found:?}");
    // After a restart it is as it was: parked once, and the others go on.
    life.stop().await;
    let life = shop.live_on(faulty.clone());
    let third = shop.place(3, Capture::AtConfirmation, "sandbox:approve").await;
    assert_eq!(shop.verdict(third).await, Status::Confirmed);
    caught_up(&shop).await;
    assert!(parked(&facts(&shop, large).await));
    assert_eq!(shop.placed(large).await.status, Status::Pending);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_can_never_be_written_parks_its_saga() {
    let mut shop = Shop::open(0).await;
    let faulty = Faulty::new(shop.store.clone());
    let order_id = OrderId(Uuid::from_u128(1));
    let life = shop.live_on(faulty.clone());
    let late = shop.place(1, Capture::AtConfirmation, "sandbox:late").await;
    assert_eq!(late, order_id);
    until("it has begun", async || !facts(&shop, order_id).await.is_empty()).await;
    // What parks it is smaller than what it decides, so the limit lies between the two.
    *faulty.never.lock().unwrap() = Some((order_id.to_string(), 190));
    until("it is parked", async || facts(&shop, order_id).await.iter().any(|fact| matches!(fact, Fact::Parked(_))))
        .await;
    assert!(life.lives());
    let other = shop.place(2, Capture::AtConfirmation, "sandbox:approve").await;
    assert_eq!(shop.verdict(other).await, Status::Confirmed);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_meets_a_saga_with_other_content_is_noted_once_and_never_swallowed() {
    let mut shop = Shop::open(0).await;
    let order_id = OrderId(Uuid::from_u128(1));
    let started = Started {
        kind: "checkout".into(),
        definition: 1,
        subject: order_id.0,
        correlation: order_id.0,
        input: json!({
            "order_id": order_id, "amount": null, "instrument": "other", "capture": false,
            "expires_at": "2026-01-01T00:00:00Z",
        }),
    };
    let encoded =
        schemas::registry::encode(&Event::Saga(Decision::intervention(Timestamp::default(), Fact::Started(started))))
            .unwrap();
    let actor = Actor { id: "test".into(), via: "test".into(), on_behalf_of: None };
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        kind: encoded.kind,
        schema_version: encoded.schema_version,
        data: encoded.data,
        metadata: Metadata::new(actor, order_id.0).encode(),
    };
    let writes = vec![StreamWrite {
        stream: id_of(&tenant(), &stream::saga("checkout", order_id.0)),
        expected: Expectation::NoStream,
        events: vec![event],
    }];
    let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes };
    assert!(matches!(shop.store.append(batch).await.unwrap(), Outcome::Appended(_)));
    shop.place(1, Capture::AtConfirmation, "sandbox:approve").await;
    let conflicts = async || {
        let facts = facts(&shop, order_id).await;
        facts.iter().filter(|fact| matches!(fact, Fact::Noted(noted) if noted.note == runner::START_CONFLICT)).count()
    };
    for _ in 0..2 {
        let life = shop.live();
        until("the conflict is noted", async || conflicts().await > 0).await;
        caught_up(&shop).await;
        life.kill().await;
    }
    assert_eq!(conflicts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_whose_batch_is_too_large_parks_its_saga_and_waits() {
    let mut shop = Shop::open(0).await;
    let faulty = Faulty::new(shop.store.clone());
    let order_id = OrderId(Uuid::from_u128(1));
    *faulty.never_fires.lock().unwrap() = Some(order_id.to_string());
    let life = shop.live_on(faulty.clone());
    shop.place(1, Capture::AtConfirmation, "sandbox:capture-declines").await;
    until("it is parked", async || facts(&shop, order_id).await.iter().any(|fact| matches!(fact, Fact::Parked(_))))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = faulty.refused.load(Ordering::SeqCst);
    assert!(refused < 5, "it was tried {refused} times within a second");
    let other = shop.place(2, Capture::AtConfirmation, "sandbox:approve").await;
    assert_eq!(shop.verdict(other).await, Status::Confirmed);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_whose_id_is_in_the_log_is_not_tried_again_and_nobody_waits_for_it() {
    let mut shop = Shop::open(0).await;
    let faulty = Faulty::new(shop.store.clone());
    let order_id = OrderId(Uuid::from_u128(1));
    *faulty.forestalled.lock().unwrap() = Some(order_id.to_string());
    let life = shop.live_on(faulty.clone());
    shop.place(1, Capture::AtConfirmation, "sandbox:approve").await;
    let forestalled = |fact: &Fact| matches!(fact, Fact::Noted(noted) if noted.note == "forestalled");
    until("somebody was faster", async || facts(&shop, order_id).await.iter().any(forestalled)).await;
    let other = shop.place(2, Capture::AtConfirmation, "sandbox:approve").await;
    until("the other order is confirmed", async || shop.placed(other).await.status == Status::Confirmed).await;
    caught_up(&shop).await;
    assert!(life.lives());
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_other_content_right_after_the_first_is_a_conflict_too() {
    let mut shop = Shop::open(0).await;
    let order_id = shop.place(1, Capture::AtConfirmation, "sandbox:approve").await;
    let name = stream::order(order_id);
    let placed = shop.services.events(&tenant(), &name).await;
    let Some(Event::Order(order::Event::Placed(placed))) = placed.first() else { panic!("{placed:?}") };
    let mut other = placed.clone();
    other.payment.instrument = "sandbox:decline".into();
    shop.write(&name, stored(&Event::Order(order::Event::Placed(other)), &meta())).await;
    let life = shop.live();
    caught_up(&shop).await;
    let conflict = |fact: &&Fact| matches!(fact, Fact::Noted(noted) if noted.note == runner::START_CONFLICT);
    let facts = facts(&shop, order_id).await;
    assert_eq!(facts.iter().filter(conflict).count(), 1, "{facts:?}");
    assert!(matches!(facts[0], Fact::Started(_)), "{facts:?}");
    life.stop().await;
}
