//! A record that cannot be read: nothing of its stream is reacted to until it is set aside, not after a restart either; everything else
//! goes on, and what came meanwhile is made up for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::ids::{CaptureId, OrderId, PaymentId, Tenant, derived};
use domain::order::event::Capture;
use domain::order::state::Status;
use domain::payment::Payment;
use domain::record::{self, SetAside};
use domain::saga::checkout;
use domain::saga::event::Fact;
use domain::stream::{self, StreamName};
use domain::{Aggregate as _, Command, Event, payment};
use event_store::EventStore as _;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::partition::of_correlation;
use sagas::{Dispatch, DispatchError};
use schemas::Metadata;
use uuid::Uuid;

use super::faulty::Faulty;
use super::ledger::{all_sagas_ended, reconcile};
use super::services::{id_of, stored};
use super::shop::{Shop, cancel, meta, ship, tenant};

/// Metadata of what belongs to an order, as the executor writes it.
fn of(order_id: OrderId) -> Metadata {
    Metadata { correlation: order_id.0, ..meta() }
}

fn dreamt(order_id: OrderId) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        kind: "Dreamt".into(),
        schema_version: 1,
        data: bytes::Bytes::from_static(b"{}"),
        metadata: of(order_id).encode(),
    }
}

async fn set_aside(shop: &Shop, name: &StreamName, order_id: OrderId, version: u64) {
    let it = SetAside {
        position: 0,
        version,
        kind: "Dreamt".into(),
        unreadable: "not known".into(),
        reason: "a test".into(),
    };
    shop.write(name, stored(&Event::Record(record::Event::SetAside(it)), &of(order_id))).await;
}

/// The runner has passed all that was there: an order that is placed now is confirmed.
async fn others_go_on(shop: &mut Shop, number: u128) {
    let other = shop.place(number, Capture::AtShipment, "sandbox:approve").await;
    assert_eq!(shop.verdict(other).await, Status::Confirmed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_read_waits_and_is_taken_up_once_the_record_is_set_aside() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let name = stream::order(order_id);
    let requested = shop.placed(order_id).await;
    let version = shop.write(&name, dreamt(order_id)).await;
    // A later version of the program, which can read it, takes a command.
    let order = domain::order::Order::Placed(requested);
    for event in order.decide(&ship(order_id)).unwrap() {
        shop.write(&name, stored(&Event::Order(event), &of(order_id))).await;
    }
    let fulfilment = stream::saga("fulfilment", derived(order_id.0, "shipment"));
    others_go_on(&mut shop, 2).await;
    assert!(shop.services.events(&tenant(), &fulfilment).await.is_empty(), "nothing is made of what cannot be read");
    life.kill().await;
    let life = shop.live();
    others_go_on(&mut shop, 3).await;
    assert!(shop.services.events(&tenant(), &fulfilment).await.is_empty(), "nor after a restart");
    set_aside(&shop, &name, order_id, version).await;
    shop.until(order_id, |order| order.status == Status::Completed).await;
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_held_are_told_until_they_are_released_or_their_runner_ends() {
    let mut shop = Shop::open(0).await;
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    let life = shop.live();
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let name = stream::order(order_id);
    let version = shop.write(&name, dreamt(order_id)).await;
    others_go_on(&mut shop, 2).await;
    let holds = life.holds.clone();
    assert_eq!(holds.streams(), 1);
    life.stop().await;
    assert_eq!(holds.streams(), 0, "nobody here holds anything");
    let life = shop.live();
    others_go_on(&mut shop, 3).await;
    assert_eq!(life.holds.streams(), 1, "it is held after a restart too");
    set_aside(&shop, &name, order_id, version).await;
    others_go_on(&mut shop, 4).await;
    assert_eq!(life.holds.streams(), 0);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_the_provider_for_a_payment_that_cannot_be_read() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let payment_id = PaymentId(derived(order_id.0, "payment"));
    let name = stream::payment(payment_id);
    let state: Payment = shop.payment(order_id).await;
    let version = shop.write(&name, dreamt(order_id)).await;
    let capture = payment::Command::Capture { capture_id: CaptureId(Uuid::from_u128(7)), amount: 1_000 };
    for event in state.decide(&capture).unwrap() {
        shop.write(&name, stored(&Event::Payment(event), &of(order_id))).await;
    }
    others_go_on(&mut shop, 2).await;
    let captured = async |shop: &Shop| {
        let book = shop.sandbox.book().await.unwrap();
        book.iter().find(|account| account.payment_id == payment_id).unwrap().captured
    };
    assert_eq!(captured(&shop).await, 0);
    life.kill().await;
    let life = shop.live();
    others_go_on(&mut shop, 3).await;
    assert_eq!(captured(&shop).await, 0, "nor after a restart");
    set_aside(&shop, &name, order_id, version).await;
    let began = std::time::Instant::now();
    loop {
        if let Payment::Requested(payment) = shop.payment(order_id).await
            && payment.captured == 1_000
        {
            break;
        }
        assert!(began.elapsed() < super::shop::WITHIN, "it is not captured");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(captured(&shop).await, 1_000);
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_cannot_be_read_is_left_alone_and_goes_on_once_the_record_is_set_aside() {
    let mut shop = Shop::open(0).await;
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:dark-3").await;
    let name = stream::saga(checkout::KIND, order_id.0);
    let life = shop.live();
    while shop.services.events(&tenant(), &name).await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    life.kill().await;
    let version = shop.write(&name, dreamt(order_id)).await;
    let life = shop.live();
    others_go_on(&mut shop, 2).await;
    let written = shop.services.events(&tenant(), &name).await.len();
    others_go_on(&mut shop, 3).await;
    assert_eq!(shop.services.events(&tenant(), &name).await.len(), written, "nothing is added to it");
    set_aside(&shop, &name, order_id, version).await;
    assert_ne!(shop.verdict(order_id).await, Status::Pending);
    all_sagas_ended(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_partitions_waits_and_goes_on_in_the_same_way() {
    let mut shop = Shop::open(0).await;
    let lives = [shop.join("a"), shop.join("b")];
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let name = stream::order(order_id);
    let order = domain::order::Order::Placed(shop.placed(order_id).await);
    let version = shop.write(&name, NewEvent { metadata: bytes::Bytes::new(), ..dreamt(order_id) }).await;
    for event in order.decide(&ship(order_id)).unwrap() {
        shop.write(&name, stored(&Event::Order(event), &of(order_id))).await;
    }
    others_go_on(&mut shop, 2).await;
    set_aside(&shop, &name, order_id, version).await;
    shop.until(order_id, |order| order.status == Status::Completed).await;
    reconcile(&shop).await;
    for life in lives {
        life.stop().await;
    }
}

/// A service that does nothing about stock for one order, and says that it does.
struct Deaf {
    inner: Arc<dyn Dispatch>,
    to: OrderId,
}

#[async_trait]
impl Dispatch for Deaf {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        if matches!(command, Command::Inventory { .. }) && meta.correlation == self.to.0 {
            return Ok(());
        }
        self.inner.dispatch(tenant, command_id, command, meta).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_answer_is_set_aside_is_not_taken_for_done() {
    let mut shop = Shop::open(0).await;
    let order_id = OrderId(Uuid::from_u128(1));
    let deaf = Arc::new(Deaf { inner: shop.services.clone(), to: order_id });
    let life = shop.join_with("a", shop.store.clone(), deaf);
    shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    let saga = stream::saga(checkout::KIND, order_id.0);
    let facts = async |shop: &Shop| {
        let events = shop.services.events(&tenant(), &saga).await;
        let decisions = events.into_iter().filter_map(|event| match event {
            Event::Saga(decision) => Some(decision.facts),
            _ => None,
        });
        decisions.flatten()
    };
    let asked = loop {
        let asked = facts(&shop).await.find_map(|fact| match fact {
            Fact::StepAsked(asked) if asked.step == "reserve" => Some(asked.command_id),
            _ => None,
        });
        if let Some(asked) = asked {
            break asked;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    // What a later version of the service answers cannot be read here, and an operator sets it aside.
    let stock = stream::stock(&"main".parse().unwrap(), &"A".parse().unwrap());
    let stream = id_of(&tenant(), &stock);
    let write = StreamWrite { stream, expected: Expectation::Any, events: vec![dreamt(order_id)] };
    let batch = Batch { command_id: asked, fingerprint: [7; 32], writes: vec![write] };
    let Outcome::Appended(receipt) = shop.store.append(batch).await.unwrap() else { panic!("it is not written") };
    set_aside(&shop, &stock, order_id, receipt.streams[0].last_version).await;
    let began = Instant::now();
    while !facts(&shop).await.any(|fact| matches!(fact, Fact::Parked(_))) {
        assert!(began.elapsed() < super::shop::WITHIN, "nobody is told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Longer than an answer that was not heard is waited for.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let facts: Vec<_> = facts(&shop).await.collect();
    let parked = |fact: &Fact| matches!(fact, Fact::Parked(parked) if parked.reason == "undeliverable");
    assert!(facts.last().is_some_and(parked), "{facts:?}");
    assert_eq!(shop.placed(order_id).await.status, Status::Pending);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_record_starts_that_an_older_version_cannot_read_is_started_by_one_that_can() {
    let mut shop = Shop::open(0).await;
    shop.promise("C", 100).await;
    let older = Faulty::new(shop.store.clone());
    *older.newer.lock().unwrap() = Some("BackorderAllocated");
    let life = shop.live_on(older);
    let order_id = shop.place_lines(1, Capture::AtShipment, "sandbox:approve", &[("C", 4, true)]).await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    shop.receive("C", 10).await;
    others_go_on(&mut shop, 2).await;
    life.stop().await;
    let life = shop.live();
    shop.until(order_id, |order| order.lines.values().all(|line| line.backordered == 0)).await;
    all_sagas_ended(&shop).await;
    life.stop().await;
}

async fn cancelled_meanwhile(restarted: bool) {
    let mut shop = Shop::open(0).await;
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:dark-3").await;
    let name = stream::saga(checkout::KIND, order_id.0);
    let life = shop.live();
    while shop.services.events(&tenant(), &name).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    life.kill().await;
    let version = shop.write(&name, dreamt(order_id)).await;
    let mut life = shop.live();
    others_go_on(&mut shop, 2).await;
    let refused = shop.order(order_id, cancel(order_id)).await;
    assert_eq!(refused, None);
    others_go_on(&mut shop, 3).await;
    if restarted {
        life.stop().await;
        life = shop.live();
        others_go_on(&mut shop, 4).await;
    }
    set_aside(&shop, &name, order_id, version).await;
    assert_eq!(shop.verdict(order_id).await, Status::Cancelled);
    all_sagas_ended(&shop).await;
    let events = shop.services.events(&tenant(), &name).await;
    let Some(Event::Saga(last)) = events.last() else { panic!("{events:?}") };
    assert_eq!(last.ended().unwrap().outcome, "cancelled");
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_a_saga_is_left_alone_is_heard_once_it_can_be_read() {
    cancelled_meanwhile(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_a_saga_was_left_alone_is_heard_after_a_restart_too() {
    cancelled_meanwhile(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_that_several_partitions_hold_goes_on_in_all_of_them_once_the_last_record_is_set_aside() {
    let mut shop = Shop::open(0).await;
    let lives = [shop.join("a"), shop.join("b")];
    shop.promise("C", 100).await;
    let partition = |number: &u128| of_correlation("main", Uuid::from_u128(*number));
    let other = (2..).find(|number| partition(number) != partition(&1)).unwrap();
    let mut orders = Vec::new();
    for number in [1, other] {
        orders.push(shop.place_lines(number, Capture::AtShipment, "sandbox:approve", &[("C", 4, true)]).await);
    }
    for order_id in &orders {
        assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
    }
    let stock = stream::stock(&"main".parse().unwrap(), &"C".parse().unwrap());
    let mut unreadable = Vec::new();
    for order_id in &orders {
        let newer = NewEvent { kind: "BackorderAllocated".into(), schema_version: 99, ..dreamt(*order_id) };
        unreadable.push((*order_id, shop.write(&stock, newer).await));
    }
    others_go_on(&mut shop, 1_000).await;
    for (order_id, version) in unreadable {
        set_aside(&shop, &stock, order_id, version).await;
        // Each is seen before the next one comes.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    shop.receive("C", 100).await;
    for order_id in orders {
        shop.until(order_id, |order| order.lines.values().all(|line| line.backordered == 0)).await;
    }
    all_sagas_ended(&shop).await;
    for life in lives {
        life.stop().await;
    }
}
