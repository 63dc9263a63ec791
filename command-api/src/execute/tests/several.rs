//! Commands over several streams: all of it or nothing.

use domain::Command;
use domain::command::StockCommand;
use domain::ids::OrderId;
use domain::reservation::{self, Reservation};

use super::*;
use crate::execute::{Expected, Verdict};

fn holding(items: &[(&str, u32)], reservation: Uuid) -> Command {
    let reservation_id = ReservationId(reservation);
    Command::Inventory {
        reservation: Some((
            reservation_id,
            reservation::Command::Open {
                reservation_id,
                items: items
                    .iter()
                    .map(|(name, qty)| reservation::Item { sku: sku(name), location: north(), qty: *qty })
                    .collect(),
                opened_at: Timestamp::default(),
                expires_at: Timestamp::from_micros(1_000_000),
                hold_for_s: 60,
                reference: None,
            },
        )),
        stock: items
            .iter()
            .map(|(name, qty)| StockCommand {
                location: north(),
                sku: sku(name),
                command: reserve(name, *qty, reservation),
            })
            .collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_held_or_none_and_the_refusal_names_all_that_is_short() {
    let house = House::new();
    let executor = house.executor();
    for (name, qty) in [("A", 5), ("B", 1), ("C", 5)] {
        stocked(&executor, name, qty).await;
    }
    let metadata = fresh().metadata;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let command = holding(&[("C", 6), ("A", 1), ("B", 3)], first);
    let id = Uuid::new_v5(&first, b"reserve");
    let done = executor.execute_command(&tenant(), id, command, metadata.clone()).await.unwrap();
    let refused = done.refused().unwrap();
    assert_eq!(refused.code, "out-of-stock");
    assert_eq!(
        serde_json::Value::Object(refused.details.clone()),
        serde_json::json!({"shortfalls": [
            {"sku": "C", "location": "north", "wanted": 6, "available": 5},
            {"sku": "B", "location": "north", "wanted": 3, "available": 1},
        ]})
    );
    assert_eq!(house.count("StockReserved").await, 0);
    assert_eq!(house.count("ReservationOpened").await, 0);

    let command = holding(&[("C", 5), ("A", 1), ("B", 1)], second);
    let id = Uuid::new_v5(&second, b"reserve");
    for replayed in [false, true] {
        let done = executor.execute_command(&tenant(), id, command.clone(), metadata.clone()).await.unwrap();
        assert_eq!((done.verdict, done.replayed), (Verdict::Applied, replayed));
        let categories: Vec<_> = done.streams.iter().map(|(name, _)| name.category).collect();
        assert_eq!(categories, ["reservation", "stock", "stock", "stock"]);
    }
    let log = house.log().await;
    let batch = &log[log.len() - 4..];
    assert!(batch.iter().all(|(_, kind)| kind != "CommandSettled"));
    let held = executor.load::<Reservation>(&tenant(), &stream::reservation(ReservationId(second))).await.unwrap();
    assert!(matches!(*held.0, Reservation::Open(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_that_cross_each_other_do_not_block_each_other() {
    let house = House::new();
    let executor = house.executor();
    let names = ["A", "B", "C", "D"];
    for name in names {
        stocked(&executor, name, 1_000).await;
    }
    let calls: Vec<_> = (0..200_usize)
        .map(|n| {
            let plan = (0..names.len()).fold(Plan::new(), |plan, k| {
                let name = names[(n + k * (1 + n % 3 * 2)) % names.len()];
                if plan.steps.iter().any(|step| step.stream == shelf(name)) {
                    return plan;
                }
                plan.and_unseen::<Stock>(shelf(name), reserve(name, 1, Uuid::from_u128(n as u128 + 1)))
            });
            begin(&executor, fresh(), plan)
        })
        .collect();
    let all = async {
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().verdict, Verdict::Applied);
        }
    };
    tokio::time::timeout(LONGEST, all).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_to_a_waiting_order_belongs_to_that_order() {
    let house = House::new();
    let executor = house.executor();
    let register = stock::Command::Register { sku: sku("A"), location: north(), safety_stock: 0, backorder_limit: 10 };
    executor.execute(fresh(), one("A", register)).await.unwrap();
    let waiting = OrderId(Uuid::from_u128(99));
    let stock::Command::Reserve(wish) = reserve("A", 2, Uuid::from_u128(1)) else {
        unreachable!("that is what it makes")
    };
    let wish = stock::Command::Reserve(Reserve { order_id: Some(waiting), backorder_ok: vec![LineId(1)], ..wish });
    executor.execute(fresh(), one("A", wish)).await.unwrap();
    stocked(&executor, "A", 5).await;
    let page = house.store.read_log(0, &Filter::default(), 100).await.unwrap();
    let mut allocated = 0;
    for record in page.records.iter().filter(|record| &*record.stream.category != stream::SAGA) {
        let metadata = Metadata::decode(&record.metadata).unwrap();
        if &*record.kind == "BackorderAllocated" {
            allocated += 1;
            assert_eq!(metadata.correlation, waiting.0);
        } else {
            assert_eq!(metadata.correlation, Uuid::from_u128(7));
        }
        assert_eq!(metadata.actor.id, "clerk");
    }
    assert_eq!(allocated, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_none_is_refused_before_anything_is_read() {
    let house = House::new();
    let executor = house.executor();
    let twice = one("A", receive("A", 1)).and::<Stock>(shelf("A"), receive("A", 1));
    let foreign = Plan::new().and::<Stock>(stream::order(OrderId::default()), receive("A", 1));
    for plan in [Plan::new(), twice, foreign] {
        let answer = executor.execute(fresh(), plan).await;
        assert!(matches!(answer.unwrap_err(), Error::Plan(_)));
    }
    let elsewhere = Request { if_match: Some((shelf("B"), Expected::Version(1))), ..fresh() };
    let answer = executor.execute(elsewhere, one("A", receive("A", 1))).await;
    assert!(matches!(answer.unwrap_err(), Error::Plan(_)));
    assert!(house.log().await.is_empty());
}
