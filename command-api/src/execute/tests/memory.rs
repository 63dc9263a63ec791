//! The cache: bounded, and never the only place of anything.

use domain::ids::OrderId;
use domain::money::{Currency, Rounding};
use domain::order::command::{NewLine, Place};
use domain::order::event::{Capture, PaymentTerms};
use domain::order::{self, Order};

use super::*;
use crate::execute::fold::Type;
use crate::execute::load;
use crate::execute::stream_id;
use streams::Until;

fn small() -> Options {
    Options { cached: 8, snapshot_every: 10, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_folds_are_let_go_and_those_ahead_of_the_log_are_not() {
    let house = House::new();
    let executor = house.executor_with(small());
    for n in 0..60 {
        let name = format!("S{n}");
        stocked(&executor, &name, n + 1).await;
    }
    assert!(executor.0.cache.len() <= 8 + 1);

    house.gate.shut();
    let names: Vec<String> = (0..40).map(|n| format!("S{n}")).collect();
    let calls: Vec<_> = names.iter().map(|name| begin(&executor, fresh(), one(name, receive(name, 1)))).collect();
    for name in &names {
        folded_to(&executor, &shelf(name), 3).await;
    }
    assert!(executor.0.cache.len() >= 40);
    house.gate.open(None);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    for n in 0..60 {
        let (stock, _) = executor.load::<Stock>(&tenant(), &shelf(&format!("S{n}"))).await.unwrap();
        assert_eq!(stock.on_hand, n + 1 + u32::from(n < 40));
    }
    assert!(executor.0.cache.len() <= 8 + 1);
}

/// An order of as many lines as the edge takes.
fn large_order(n: u128) -> (StreamName, order::Command) {
    let id = OrderId(Uuid::from_u128(n + 1));
    let lines = (1..=2_000).map(|line| NewLine {
        line_id: LineId(line),
        sku: Sku::try_new(format!("SKU-{n}-{line}")).unwrap(),
        title: format!("number {line}, in a box that says so"),
        qty: 1,
        unit_price: "2.50".to_owned().try_into().unwrap(),
        discount: 0,
        tax_bp: 0,
        tax_included: true,
        backorder_ok: false,
        stocked: true,
    });
    let place = Place {
        order_id: id,
        external_ref: None,
        channel: "web".parse().unwrap(),
        customer: None,
        currency: Currency::GBP,
        rounding: Rounding::HalfEven,
        lines: lines.collect(),
        discount: 0,
        shipping: vec![],
        ship_to: None,
        payment: PaymentTerms { capture: Capture::PayLater, instrument: "approve".into(), retry_for_s: 0 },
        location: LocationId::try_new("main").unwrap(),
        reserve_for_s: 900,
        occurred_at: None,
        tags: vec![],
        expected_total: None,
        replaces: None,
        basket: None,
    };
    (stream::order(id), order::Command::Place(Box::new(place)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_orders_are_kept_in_memory_by_their_bytes_and_not_by_their_number() {
    const BYTES: usize = 6 * 1024 * 1024;
    let house = House::new();
    let executor = house.executor_with(Options { cached_bytes: BYTES, ..Options::default() });
    let cache = &executor.0.cache;
    for n in 0..200 {
        stocked(&executor, &format!("S{n}"), 1).await;
    }
    assert!(cache.bytes() < BYTES / 4, "small ones take little: {}", cache.bytes());
    let (mut names, mut largest) = (Vec::new(), 0);
    for n in 0..16 {
        let (name, place) = large_order(n);
        let before = cache.bytes();
        executor.execute(fresh(), Plan::new().and::<Order>(name.clone(), place)).await.unwrap();
        largest = largest.max(cache.bytes().saturating_sub(before));
        assert!(cache.bytes() <= BYTES, "{} bytes after {n} orders", cache.bytes());
        names.push(name);
    }
    assert!(largest > 500_000, "an order of 2,000 lines counts for what it is: {largest}");
    assert!(cache.len() < 16, "{} are kept", cache.len());
    for name in names {
        let (order, version) = executor.load::<Order>(&tenant(), &name).await.unwrap();
        assert!(matches!(&*order, Order::Placed(placed) if placed.lines.len() == 2_000) && version == 1);
        assert!(cache.bytes() <= BYTES, "{} bytes while they are loaded again", cache.bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_that_stays_small_counts_for_little_however_long_its_stream_is() {
    let house = House::new();
    let executor = house.executor();
    for _ in 0..400 {
        stocked(&executor, "A", 1).await;
    }
    let bytes = executor.0.cache.bytes();
    assert!(bytes < 256 * 1024, "{bytes} bytes for one shelf");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_events_after_it_are_the_fold_of_all_events() {
    let house = House::new();
    let executor = house.executor_with(small());
    for n in 0..47_u128 {
        let wish = if n % 2 == 0 { receive("A", 3) } else { reserve("A", 1, Uuid::from_u128(n)) };
        executor.execute(fresh(), one("A", wish)).await.unwrap();
    }
    house.tracker.close();
    house.tracker.wait().await;
    let id = stream_id(&tenant(), &shelf("A"));
    let of = Type::of::<Stock>();
    let kept = house.store.snapshot(&id, of.fold).await.unwrap().unwrap();
    assert_eq!(kept.version, 40);
    let (quick, version) = house.executor().load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!(version, 48);
    let mut slow = (of.fresh)();
    let records = house.store.read_stream(&id, 1, event_store::Direction::Forwards, 1_000).await.unwrap();
    for record in &records {
        slow.apply(&streams::event(record).unwrap());
    }
    let slow: Arc<Stock> = slow.shown().downcast().unwrap();
    assert_eq!(quick, slow);

    // A version before the snapshot is folded without it.
    let earlier = load::fold(&*house.store, &id, of, Until::Version(12)).await.unwrap();
    assert_eq!(earlier.version, 12);
    let position = records[20].position;
    let before = load::fold(&*house.store, &id, of, Until::Position(position - 1)).await.unwrap();
    assert_eq!(before.version, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_another_history_is_not_believed() {
    let house = House::new();
    let executor = house.executor();
    stocked(&executor, "A", 5).await;
    let id = stream_id(&tenant(), &shelf("A"));
    let of = Type::of::<Stock>();
    let lie = Stock { on_hand: 1_000, ..Stock::default() };
    for (version, event_id) in [(2, Uuid::from_u128(1)), (9, Uuid::from_u128(2))] {
        house.store.keep_snapshot(
            id.clone(),
            event_store::snapshot::Snapshot {
                fold: of.fold,
                version,
                event_id,
                state: serde_json::to_vec(&lie).unwrap().into(),
            },
        );
        // State on its way into the store is trusted as little then as later, when the store has refused it.
        let (stock, version) = house.executor().load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
        assert_eq!((stock.on_hand, version), (5, 2));
    }
}
