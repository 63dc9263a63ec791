//! What comes of orders, whatever happens on the way.

use std::time::Duration;

use domain::order;
use domain::order::event::Capture;
use domain::order::state::Status;
use domain::payment::Payment;

use super::ledger::{all_sagas_ended, reconcile};
use super::shop::{Shop, cancel, ship};

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_confirmed_shipped_rejected_and_cancelled() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let good = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    let poor = shop.place(2, Capture::AtShipment, "sandbox:decline").await;
    let slow = shop.place(3, Capture::AtConfirmation, "sandbox:timeout-after-charge").await;
    let flaky = shop.place(4, Capture::AtShipment, "sandbox:flaky").await;
    let busy = shop.place(5, Capture::AtShipment, "sandbox:busy,void-timeout").await;
    let dark = shop.place(6, Capture::AtShipment, "sandbox:dark").await;
    assert_eq!(shop.verdict(good).await, Status::Confirmed);
    assert_eq!(shop.verdict(poor).await, Status::Rejected);
    assert_eq!(shop.verdict(slow).await, Status::Confirmed);
    assert_eq!(shop.verdict(flaky).await, Status::Confirmed);
    assert_eq!(shop.verdict(busy).await, Status::Confirmed);
    assert_eq!(shop.verdict(dark).await, Status::Confirmed);
    assert_eq!(shop.order(good, ship(good)).await, None);
    shop.until(good, |order| order.status == Status::Completed).await;
    assert_eq!(shop.order(busy, cancel(busy)).await, None);
    shop.until(busy, |order| order.status == Status::Cancelled).await;
    shop.until(slow, |order| order.payment().captured == 5_000).await;
    assert_eq!(shop.order(slow, cancel(slow)).await, None);
    shop.until(slow, |order| order.status == Status::Cancelled).await;
    assert_eq!(shop.reserved().await, 10, "those of flaky and dark");
    reconcile(&shop).await;
    life.stop().await;
}

/// Everything is killed at random moments, and started again; dispatches are lost before and after they were carried out.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_every_order_comes_to_its_end_and_nothing_happens_twice() {
    let mut shop = Shop::open(7).await;
    let instruments = [
        "sandbox:approve",
        "sandbox:decline",
        "sandbox:timeout-after-charge",
        "sandbox:flaky,capture-timeout",
        "sandbox:late,void-flaky",
        "sandbox:approve,refund-dark-1",
    ];
    let captures = [Capture::AtShipment, Capture::AtConfirmation];
    let mut orders = Vec::new();
    for (round, wait) in [3_u64, 40, 9, 90, 1, 25, 60, 5, 130, 15].into_iter().enumerate() {
        let life = shop.live();
        for number in 0..6_usize {
            let at = round * 6 + number;
            let instrument = instruments[at % instruments.len()];
            let number = u128::try_from(at + 1).unwrap();
            orders.push(shop.place(number, captures[round % 2], instrument).await);
            tokio::time::sleep(Duration::from_millis(wait / 6)).await;
        }
        // Some are refused, since they come too early or too late.
        for (at, order_id) in orders.iter().enumerate() {
            match (at + round) % 5 {
                0 => drop(shop.order(*order_id, ship(*order_id)).await),
                1 => drop(shop.order(*order_id, cancel(*order_id)).await),
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(wait)).await;
        life.kill().await;
        if round % 3 == 0 {
            shop.reopen_sandbox();
        }
    }
    let life = shop.live();
    for order_id in &orders {
        let over = |order: &order::state::Placed| {
            order.status != Status::Pending
                && order.cancellations.values().all(|it| it.closed)
                && order.shipments.values().all(|it| it.status != order::state::ShipmentStatus::Requested)
                && (order.status.is_terminal()
                    || order.payment_terms.capture == Capture::AtShipment
                    || order.payment().captured == 5_000)
        };
        shop.until(*order_id, over).await;
    }
    all_sagas_ended(&shop).await;
    let mut held = 0;
    for order_id in &orders {
        let order = shop.placed(*order_id).await;
        if order.status == Status::Confirmed {
            held += 5;
        }
        if matches!(order.status, Status::Cancelled | Status::Rejected)
            && let Payment::Requested(payment) = shop.payment(*order_id).await
        {
            assert_eq!(payment.captured - payment.refunded, 0, "{order_id}");
            assert_eq!(payment.held(), 0, "{order_id}");
        }
    }
    assert_eq!(shop.reserved().await, held);
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_saves_where_it_was_and_the_next_life_goes_on() {
    let mut shop = Shop::open(0).await;
    let mut stopped = 0;
    for number in 1..=20 {
        let late = shop.place(number, Capture::AtShipment, "sandbox:late").await;
        let life = shop.live();
        while matches!(shop.payment(late).await, Payment::Absent) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        life.stop().await;
        // On a busy machine the gateway may have answered before the stop.
        stopped += usize::from(shop.placed(late).await.status == Status::Pending);
        let life = shop.live();
        assert_eq!(shop.verdict(late).await, Status::Confirmed);
        life.stop().await;
        if stopped > 0 {
            break;
        }
    }
    assert!(stopped > 0, "no stop came while a payment was on its way");
    reconcile(&shop).await;
}
