//! What ends at a time, by the clock of a test: soon after an advance, and in the next life as well.

use std::time::{Duration, Instant};

use domain::ids::{HoldId, OrderId, derived};
use domain::order;
use domain::order::event::Capture;
use domain::order::state::Status;
use domain::time::Timestamp;
use event_store::EventStore;
use event_store::clock::TestClock;

use super::ledger::{all_sagas_ended, reconcile};
use super::shop::{Shop, ship};

const HOUR: u32 = 3_600;
/// Long before anything would happen by a clock that nobody advances, and long enough for a machine that has much else to do.
const SOON: Duration = Duration::from_secs(20);

impl Shop {
    fn in_an_hour(&self) -> Timestamp {
        Timestamp::from_micros(self.store.now()).plus_seconds(HOUR)
    }

    async fn advance(&self, seconds: u32) {
        self.store.advance(i64::from(seconds) * 1_000_000).await.unwrap();
    }

    async fn hold(&mut self, order_id: OrderId, until: Option<Timestamp>) -> HoldId {
        let hold_id = HoldId(derived(order_id.0, "hold"));
        let hold = order::Command::PlaceHold { hold_id, reason: "look".into(), note: None, until };
        assert_eq!(self.order(order_id, hold).await, None);
        hold_id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_when_the_clock_is_advanced_to_its_end_and_what_waited_for_it_goes_on() {
    let mut shop = Shop::open_for_a_test().await;
    let life = shop.live();
    let held = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    let forever = shop.place(2, Capture::AtShipment, "sandbox:approve").await;
    for order_id in [held, forever] {
        assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    }
    let until = shop.in_an_hour();
    let hold_id = shop.hold(held, Some(until)).await;
    shop.hold(forever, None).await;
    shop.advance(HOUR / 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(shop.placed(held).await.holds.contains_key(&hold_id), "its time is not over");
    let asked = Instant::now();
    shop.advance(HOUR / 2 + 1).await;
    let order = shop.until(held, |order| order.holds.is_empty()).await;
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert_eq!(order.released_holds[&hold_id].resolution, "until");
    assert_eq!(shop.order(held, ship(held)).await, None, "it ships again");
    shop.until(held, |order| order.status == Status::Completed).await;
    assert!(!shop.placed(forever).await.holds.is_empty(), "one without an end stays");
    all_sagas_ended(&shop).await;
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_whose_time_is_over_while_nobody_runs_is_released_by_the_next_life() {
    let mut shop = Shop::open_for_a_test().await;
    let life = shop.live();
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let until = shop.in_an_hour();
    let hold_id = shop.hold(order_id, Some(until)).await;
    // Long enough that its process is begun, and waits.
    tokio::time::sleep(Duration::from_millis(500)).await;
    life.kill().await;
    shop.advance(2 * HOUR).await;
    let life = shop.live();
    let order = shop.until(order_id, |order| order.holds.is_empty()).await;
    assert_eq!(order.released_holds[&hold_id].resolution, "until");
    all_sagas_ended(&shop).await;
    life.stop().await;
}
