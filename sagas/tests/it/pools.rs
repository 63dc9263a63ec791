//! Several processes share the sagas of one store by partition: whoever dies, every order comes to its end once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::ids::{OrderId, ReturnId, derived};
use domain::order;
use domain::order::command::{ReceivedUnits, ReturnUnits};
use domain::order::event::{Capture, Disposition};
use domain::order::state::Status;
use event_store::EventStore;
use event_store::partition::CORRELATIONS;
use sagas::runner;

use super::faulty::Faulty;
use super::ledger::{all_came_through_their_doors, all_sagas_ended, laws_hold, open_sagas, reconcile};
use super::shop::{LEASE, Shop, WITHIN, cancel, ship};

/// The partitions that are leased now, by owner.
async fn leased(shop: &Shop) -> BTreeMap<String, BTreeSet<u32>> {
    let now = shop.store.now();
    let mut leased: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for row in shop.store.consumers(runner::NAME).await.unwrap() {
        if row.lease.lease_until > now {
            let of = leased.entry(row.lease.owner).or_default();
            of.insert(row.lease.key.partition);
        }
    }
    leased
}

/// Waits until the partitions are leased to these, and as many to each of them.
async fn shared_by(shop: &Shop, owners: &[&str]) -> BTreeMap<String, BTreeSet<u32>> {
    let begun = Instant::now();
    loop {
        let leased = leased(shop).await;
        let all: usize = leased.values().map(BTreeSet::len).sum();
        let by_all = leased.keys().eq(owners.iter().copied());
        // A process that came later gets its share one by one.
        let (partitions, share) = (CORRELATIONS as usize, CORRELATIONS as usize / owners.len());
        let even = leased.values().all(|its| [share, partitions.div_ceil(owners.len())].contains(&its.len()));
        if by_all && even && all == partitions {
            return leased;
        }
        assert!(begun.elapsed() < WITHIN, "{leased:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a process has partitions in which sagas are open.
async fn in_the_middle(shop: &Shop, owner: &str) {
    let begun = Instant::now();
    loop {
        let open = open_sagas(shop).await;
        let its = leased(shop).await.remove(owner).unwrap_or_default();
        if open.iter().any(|(_, partition)| its.contains(partition)) {
            return;
        }
        assert!(begun.elapsed() < WITHIN, "{owner} has nothing open");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn return_all(order_id: OrderId, receipt: bool) -> order::Command {
    let return_id = ReturnId(derived(order_id.0, "return"));
    let line_id = domain::ids::LineId(1);
    if receipt {
        let lines = vec![ReceivedUnits { line_id, qty: 3, disposition: Disposition::Restock, location: None }];
        return order::Command::ReceiveReturn { return_id, receipt: None, lines };
    }
    let lines = vec![ReturnUnits { line_id, qty: 3, reason: "too small".into() }];
    order::Command::RequestReturn { return_id, lines }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_share_the_work_and_what_one_left_half_done_the_other_finishes() {
    let mut shop = Shop::open(0).await;
    let first = shop.join("a");
    let second = shop.join("b");
    let shares = shared_by(&shop, &["a", "b"]).await;
    assert!(shares.values().all(|its| its.len() == 8), "{shares:?}");

    let instruments = [
        "sandbox:approve",
        "sandbox:late",
        "sandbox:late,refund-timeout",
        "sandbox:flaky",
        "sandbox:decline",
        "sandbox:late,capture-timeout,void-late",
    ];
    let mut orders = Vec::new();
    for number in 0..36_usize {
        let instrument = instruments[number % 6];
        let capture = [Capture::AtShipment, Capture::AtConfirmation][number / 6 % 2];
        let number = u128::try_from(number + 1).unwrap();
        orders.push(shop.place(number, capture, instrument).await);
    }
    shop.promise("C", 100).await;
    let mut waiting = Vec::new();
    for number in 101..=106 {
        let lines = [("C", 2, true)];
        let placed = shop.place_lines(number, Capture::AtShipment, "sandbox:approve", &lines);
        waiting.push(placed.await);
    }
    in_the_middle(&shop, "a").await;
    first.kill().await;

    for (at, order_id) in orders.iter().enumerate() {
        let rejected = shop.verdict(*order_id).await == Status::Rejected;
        assert_eq!(rejected, at % 6 == 4, "{order_id}");
    }
    for order_id in &waiting {
        assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
        let lines = shop.placed(*order_id).await.lines;
        assert!(lines.values().any(|line| line.backordered > 0));
    }
    shared_by(&shop, &["b"]).await;
    let third = shop.join("c");
    shared_by(&shop, &["b", "c"]).await;

    let confirmed: Vec<_> =
        (orders.iter().enumerate()).filter(|(at, _)| at % 6 != 4).map(|(_, order_id)| *order_id).collect();
    let (cancelled, shipped) = confirmed.split_at(12);
    for order_id in cancelled {
        assert_eq!(shop.order(*order_id, cancel(*order_id)).await, None);
    }
    for order_id in shipped {
        assert_eq!(shop.order(*order_id, ship(*order_id)).await, None);
    }
    shop.receive("C", 100).await;
    in_the_middle(&shop, "b").await;
    second.kill().await;
    for order_id in cancelled {
        shop.until(*order_id, |it| it.status == Status::Cancelled).await;
    }
    for order_id in shipped {
        shop.until(*order_id, |it| it.status == Status::Completed).await;
        for receipt in [false, true] {
            let returned = return_all(*order_id, receipt);
            assert_eq!(shop.order(*order_id, returned).await, None);
        }
    }
    for order_id in &waiting {
        shop.until(*order_id, |it| it.lines.values().all(|line| line.backordered == 0)).await;
        assert_eq!(shop.order(*order_id, ship(*order_id)).await, None);
        shop.until(*order_id, |it| it.status == Status::Completed).await;
    }
    for order_id in shipped {
        shop.until(*order_id, |it| it.payment().refunded == 3_000).await;
    }
    all_sagas_ended(&shop).await;
    assert!(third.lives());
    let mut kinds = all_came_through_their_doors(&shop).await;
    let mut count = |kind: &str| kinds.remove(kind).unwrap_or(0);
    // Each return is refunded; of each cancellation what was taken by then is refunded, or what was held is let go.
    let (refunds, surpluses, postings) = (count("refund"), count("surplus"), count("posting"));
    assert_eq!(refunds + surpluses, 18 + 12, "{refunds} refunds, {surpluses} let go");
    assert!(postings >= refunds + surpluses, "{postings}");
    let expected = [("allocation", 6), ("cancellation", 12), ("checkout", 42), ("fulfilment", 24), ("return", 18)];
    let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(kinds, BTreeMap::from(expected));
    orders.extend(waiting);
    laws_hold(&shop, &orders).await;
    reconcile(&shop).await;

    third.stop().await;
    // Given back, and not only over: a lease that is over still says whose it was.
    for row in shop.store.consumers(runner::NAME).await.unwrap() {
        assert_eq!(row.lease.owner, "", "a stop gives everything back: {:?}", row.lease);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_gets_its_share_and_one_that_stops_hands_it_over_at_once() {
    let mut shop = Shop::open(0).await;
    let first = shop.join("a");
    shared_by(&shop, &["a"]).await;
    let late = shop.place(1, Capture::AtShipment, "sandbox:late").await;
    let second = shop.join("b");
    shared_by(&shop, &["a", "b"]).await;
    let later = shop.place(2, Capture::AtShipment, "sandbox:late").await;
    first.stop().await;
    shared_by(&shop, &["b"]).await;
    assert_eq!(shop.verdict(late).await, Status::Confirmed);
    assert_eq!(shop.verdict(later).await, Status::Confirmed);
    all_sagas_ended(&shop).await;
    let first = shop.join("a");
    shared_by(&shop, &["a", "b"]).await;
    second.stop().await;
    first.stop().await;
    reconcile(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_a_while_stops_nothing_for_good() {
    let mut shop = Shop::open(0).await;
    let faulty = Faulty::new(shop.store.clone());
    let life = shop.join_with("a", faulty.clone(), shop.services.clone());
    shared_by(&shop, &["a"]).await;
    let mut orders = Vec::new();
    for number in 1..=12 {
        let placed = shop.place(number, Capture::AtConfirmation, "sandbox:late");
        orders.push(placed.await);
    }
    // Once for a moment, and once for longer than the leases last.
    for (from, down) in [(13, Duration::from_millis(300)), (19, LEASE * 2)] {
        faulty.down.store(true, Ordering::SeqCst);
        for number in from..from + 6 {
            let placed = shop.place(number, Capture::AtConfirmation, "sandbox:approve");
            orders.push(placed.await);
        }
        tokio::time::sleep(down).await;
        assert!(faulty.refused.swap(0, Ordering::SeqCst) > 0);
        faulty.down.store(false, Ordering::SeqCst);
        for order_id in &orders {
            assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
        }
    }
    all_sagas_ended(&shop).await;
    assert!(life.lives());
    laws_hold(&shop, &orders).await;
    reconcile(&shop).await;
    life.stop().await;
}

/// One runner for all, then a pool, then one runner again, on the same rows: what the other way of dividing the work left open is found.
#[tokio::test(flavor = "multi_thread")]
async fn the_work_is_divided_otherwise_while_sagas_are_open() {
    let mut shop = Shop::open(0).await;
    let mut orders = Vec::new();
    for round in 0..2_u128 {
        for divided in [false, true] {
            let life = if divided { shop.join("a") } else { shop.live() };
            let from = 1 + round * 40 + u128::from(divided) * 20;
            for order_id in &orders {
                assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
            }
            for number in from..from + 20 {
                let placed = shop.place(number, Capture::AtConfirmation, "sandbox:late");
                orders.push(placed.await);
            }
            if divided {
                shared_by(&shop, &["a"]).await;
            }
            while open_sagas(&shop).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            life.stop().await;
            let open = open_sagas(&shop).await.len();
            assert!(open > 0, "they have to be open when the work is divided otherwise");
        }
    }
    let life = shop.live();
    all_sagas_ended(&shop).await;
    for order_id in &orders {
        assert_eq!(shop.verdict(*order_id).await, Status::Confirmed);
    }
    laws_hold(&shop, &orders).await;
    reconcile(&shop).await;
    life.stop().await;
}
