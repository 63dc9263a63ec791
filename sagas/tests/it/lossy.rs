//! Commands through a queue that loses, repeats and reorders them: what was asked for and is not answered in the log is sent again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::order::event::Capture;
use domain::order::state::Status;

use event_store::{EventStore as _, Filter};

use super::faulty::{Broken, Queue};
use super::ledger::{all_came_through_their_doors, all_sagas_ended, laws_hold, reconcile};
use super::shop::{Shop, cancel, ship};

/// Orders of three ways, to their end.
async fn three_ways(shop: &mut Shop) {
    let mut orders = Vec::new();
    for number in 1..=9 {
        let placed = shop.place(number, Capture::AtShipment, "sandbox:approve");
        orders.push(placed.await);
    }
    for (at, order_id) in orders.iter().enumerate() {
        assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
        match at % 3 {
            0 => assert_eq!(shop.order(*order_id, ship(*order_id)).await, None),
            1 => assert_eq!(shop.order(*order_id, cancel(*order_id)).await, None),
            _ => {}
        }
    }
    for (at, order_id) in orders.iter().enumerate() {
        let end = [Status::Completed, Status::Cancelled, Status::Confirmed][at % 3];
        shop.until(*order_id, |it| it.status == end).await;
    }
    all_sagas_ended(shop).await;
    laws_hold(shop, &orders).await;
    reconcile(shop).await;
    all_came_through_their_doors(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wiped_queue_lost_is_sent_again() {
    let mut shop = Shop::open(0).await;
    let queue = Arc::new(Queue { lost_first: 12, lost_every: 7, ..Queue::new(shop.services.clone()) });
    let life = shop.join_with("a", shop.store.clone(), queue.clone());
    three_ways(&mut shop).await;
    assert!(queue.lost.load(Ordering::SeqCst) > 12);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_and_in_another_order_is_carried_out_once() {
    let mut shop = Shop::open(0).await;
    let queue = Arc::new(Queue { jumbled: true, ..Queue::new(shop.services.clone()) });
    let life = shop.join_with("a", shop.store.clone(), queue.clone());
    three_ways(&mut shop).await;
    assert!(queue.repeated.load(Ordering::SeqCst) > 20);
    life.stop().await;
}

/// What a service puts aside is told to the saga, which waits for a person; once the service is mended it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_puts_aside_parks_its_saga() {
    let mut shop = Shop::open(0).await;
    let broken =
        Arc::new(Broken { inner: shop.services.clone(), aside: Mutex::default(), mended: AtomicBool::new(false) });
    let life = shop.join_with("a", shop.store.clone(), broken.clone());
    let mut orders = Vec::new();
    for number in 1..=3 {
        let placed = shop.place(number, Capture::AtConfirmation, "sandbox:approve");
        orders.push(placed.await);
    }
    let parked = async || {
        let log = shop.store.read_log(0, &Filter::default(), 100_000).await;
        let parked = log.unwrap().records.into_iter();
        let parked = parked.filter(|record| &*record.kind == "SagaParked");
        parked.map(|record| String::from_utf8_lossy(&record.data).into_owned()).collect::<Vec<_>>()
    };
    while parked().await.len() < orders.len() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for told in parked().await {
        assert!(told.contains("undeliverable") && told.contains("a shelf is gone"), "{told}");
    }
    assert!(broken.aside.lock().unwrap().len() >= orders.len());
    broken.mended.store(true, Ordering::SeqCst);
    for order_id in &orders {
        assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
    }
    life.stop().await;
}

/// A queue is wiped, and the process that filled it dies before it could send anything again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_sent_again_by_whoever_comes_next() {
    let mut shop = Shop::open(0).await;
    let dark = Arc::new(Queue { lost_first: usize::MAX, ..Queue::new(shop.services.clone()) });
    let life = shop.join_with("a", shop.store.clone(), dark.clone());
    let mut orders = Vec::new();
    for number in 1..=6 {
        let placed = shop.place(number, Capture::AtConfirmation, "sandbox:approve");
        orders.push(placed.await);
    }
    while dark.lost.load(Ordering::SeqCst) < orders.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Long enough for the checkpoint to be past the asking.
    tokio::time::sleep(Duration::from_millis(200)).await;
    life.kill().await;
    for order_id in &orders {
        assert_eq!(shop.placed(*order_id).await.status, Status::Pending);
    }
    let life = shop.join("b");
    for order_id in &orders {
        assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
    }
    all_sagas_ended(&shop).await;
    laws_hold(&shop, &orders).await;
    reconcile(&shop).await;
    life.stop().await;
}
