//! What must be true when everything has come to rest: nothing is left over, the books agree, the laws hold, and everything that a
//! saga had to see came through its own door.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use domain::ids::{OrderId, derived};
use domain::laws;
use domain::laws::Watched;
use domain::laws::crossing::{Holdings, Owner};
use domain::order::Order;
use domain::payment::Payment;
use domain::stock::Stock;
use domain::{Event, stream};
use event_store::partition::of_correlation;
use event_store::record::Record;
use event_store::{EventStore, Filter};
use schemas::{Metadata, registry};
use uuid::Uuid;

use super::services::{self, id_of};
use super::shop::{Shop, WITHIN, tenant};

/// All of the log.
pub(crate) async fn log(store: &dyn EventStore) -> Vec<Record> {
    let (mut records, mut after) = (Vec::new(), 0);
    loop {
        let page = store.read_log(after, &Filter::default(), 10_000).await.unwrap();
        records.extend(page.records);
        if page.next <= after {
            return records;
        }
        after = page.next;
    }
}

pub(crate) fn event(record: &Record) -> Event {
    registry::decode(&record.kind, record.schema_version, &record.data).unwrap()
}

/// Which correlation partition's runner sees a record.
pub(crate) fn partition(record: &Record) -> u32 {
    of_correlation(&record.stream.tenant, sagas::correlate()(record))
}

/// What Daybook believes of the money is what the provider's own book says (I22).
pub(crate) async fn reconcile(shop: &Shop) {
    for account in shop.sandbox.book().await.unwrap() {
        let orders = 1..=200_u128;
        let order_id = orders
            .map(|number| OrderId(uuid::Uuid::from_u128(number)))
            .find(|id| derived(id.0, "payment") == account.payment_id.0)
            .unwrap();
        let Payment::Requested(payment) = shop.payment(order_id).await else {
            panic!("the provider knows a payment that nobody asked for: {account:?}");
        };
        let ours = (payment.authorised, payment.captured, payment.refunded, payment.voided);
        let theirs = (account.authorised, account.captured, account.refunded, account.voided);
        assert_eq!(ours, theirs, "{order_id}");
    }
    let entries = shop.sandbox.entries().await.unwrap();
    let mut done: Vec<_> = entries.iter().filter(|entry| entry.code.is_none()).collect();
    done.sort_by_key(|entry| (entry.payment_id, entry.verb.clone()));
    for pair in done.windows(2) {
        let same = (pair[0].payment_id, &pair[0].verb) == (pair[1].payment_id, &pair[1].verb);
        assert!(!same, "an effect happened twice: {pair:?}");
    }
}

pub(crate) async fn all_sagas_ended(shop: &Shop) {
    let mut open = Vec::new();
    let since = Instant::now();
    while since.elapsed() < WITHIN {
        open = open_sagas(shop).await;
        if open.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not every saga has ended: {open:?}");
}

/// The sagas that were started and have not ended, with their partitions.
pub(crate) async fn open_sagas(shop: &Shop) -> Vec<(String, u32)> {
    let mut open = BTreeMap::new();
    for record in log(shop.store.as_ref()).await {
        let Ok(Event::Saga(decision)) = streams::event(&record) else { continue };
        if decision.started().is_some() {
            open.insert(record.stream.to_string(), partition(&record));
        }
        if decision.ended().is_some() {
            open.remove(&record.stream.to_string());
        }
    }
    open.into_iter().collect()
}

/// The laws of each order against its payment and what stock did for it, and those of the stock.
pub(crate) async fn laws_hold(shop: &Shop, orders: &[OrderId]) {
    let mut holdings: HashMap<Owner, Holdings> = HashMap::new();
    let mut stocks = BTreeMap::new();
    for record in log(shop.store.as_ref()).await {
        let Event::Stock(moved) = event(&record) else {
            continue;
        };
        let place = stream::parse_stock(&record.stream.id).unwrap();
        stocks.insert(record.stream.id.clone(), place.clone());
        for (owner, units) in laws::crossing::moved(&moved) {
            let holdings = holdings.entry(owner).or_default();
            *holdings.entry(place.clone()).or_default() += units;
        }
    }
    for (location, sku) in stocks.values() {
        let id = id_of(&tenant(), &stream::stock(location, sku));
        let (stock, _) = shop.services.load::<Stock>(&id, services::stocked).await.unwrap();
        Watched::of(stock).end().unwrap();
    }
    for order_id in orders {
        let order = Order::Placed(shop.placed(*order_id).await);
        let payment = shop.payment(*order_id).await;
        let none = Holdings::new();
        let held = holdings.get(&Owner::Order(*order_id)).unwrap_or(&none);
        Watched::of(order.clone()).end().unwrap();
        laws::order::check_settled(&order).unwrap();
        Watched::of(payment.clone()).end().unwrap();
        laws::crossing::check(&order, &[&payment], held, false)
            .unwrap_or_else(|broken| panic!("{order_id}: {broken:?}"));
    }
}

/// Everything that a saga must see comes through the door of its own partition: what started it, its own events, the answers to what
/// it asked for, and what happens to its order and its payment. How many sagas that was said of, by kind.
pub(crate) async fn all_came_through_their_doors(shop: &Shop) -> BTreeMap<String, usize> {
    let log = log(shop.store.as_ref()).await;
    let by_id: HashMap<Uuid, &Record> = log.iter().map(|it| (it.event_id, it)).collect();
    let mut by_command: HashMap<Uuid, Vec<&Record>> = HashMap::new();
    for record in &log {
        by_command.entry(record.command_id).or_default().push(record);
    }
    let mut doors = HashMap::new();
    let mut kinds = BTreeMap::new();
    for record in log.iter().filter(|it| &*it.kind == "SagaStarted") {
        let Event::Saga(decision) = event(record) else { panic!("{record:?}") };
        let started = decision.started().unwrap().clone();
        let door = of_correlation(&record.stream.tenant, started.correlation);
        doors.insert(record.stream.clone(), door);
        *kinds.entry(started.kind).or_default() += 1;
        let causation = Metadata::decode(&record.metadata).unwrap().causation;
        let origin = by_id[&causation.unwrap()];
        assert_eq!(partition(origin), door, "it cannot start: {origin:?}");
        for record in &log {
            let id = record.stream.id.parse::<Uuid>().ok();
            let payment = derived(started.correlation, "payment");
            let concerns = match &*record.stream.category {
                stream::ORDER => id == Some(started.correlation),
                stream::PAYMENT => id == Some(payment),
                _ => false,
            };
            assert!(!concerns || partition(record) == door, "{record:?}");
        }
    }
    for record in log.iter().filter(|it| &*it.stream.category == stream::SAGA) {
        let door = doors[&record.stream];
        assert_eq!(partition(record), door, "{record:?}");
        let Event::Saga(decision) = event(record) else { panic!("{record:?}") };
        for asked in decision.asked() {
            let answer = by_command.get(&asked);
            let heard = answer.is_none_or(|all| all.iter().any(|it| partition(it) == door));
            assert!(heard, "the answer to {asked} is not heard: {answer:?}");
            for record in answer.into_iter().flatten() {
                // What stock that came free is given to is a matter of other orders.
                let others = &*record.kind == "BackorderAllocated";
                assert!(others || partition(record) == door, "{record:?}");
            }
        }
    }
    kinds
}
