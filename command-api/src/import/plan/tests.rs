//! What a plan promises, on small files.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::HashMap;

use domain::ids::{Channel, LocationId, OrderId, Tenant};

use super::*;
use crate::import::content;

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

fn options() -> Options {
    Options {
        origin: Origin { tenant: Tenant::try_new("t").unwrap(), channel: Channel::try_new("retail").unwrap() },
        source: "test.csv".into(),
        policy: Policy::Rows,
        location: LocationId::try_new("default").unwrap(),
        faults: None,
    }
}

fn planned(rows: &str) -> Plan {
    let text = format!("{HEADER}{rows}");
    let content = content::parse(Layout::Retail, text.as_bytes()).unwrap();
    Plan::new(Layout::Retail, keys::sha256(text.as_bytes()), content, &options())
}

fn kinds(order: &OrderPlan) -> Vec<(&'static str, u32)> {
    let kind = |action: &Action| match action {
        Action::Cancel(portion) => ("cancel", portion.qty),
        Action::Ship { .. } => ("ship", 0),
        Action::Return(portion) => ("return", portion.qty),
    };
    order.actions.iter().map(kind).collect()
}

const TWO_SALES: &str = "1,A,a,5,2011-01-03 10:00:00,1,7,UK\n2,A,a,4,2011-01-05 10:00:00,1,7,UK\n";

#[test]
fn credits_go_to_the_newest_sale_first_and_cancel_before_the_shipment() {
    let plan = planned(&format!("{TWO_SALES}C3,A,a,-6,2011-01-05 12:00:00,1,7,UK\n"));
    assert_eq!(kinds(&plan.orders[0]), [("ship", 0), ("return", 2)]);
    assert_eq!(kinds(&plan.orders[1]), [("cancel", 4)]);
    assert!(plan.credits.is_empty() && plan.wanted.is_empty());
}

#[test]
fn after_a_day_a_credit_is_a_return() {
    let plan =
        planned(&format!("{TWO_SALES}C3,A,a,-1,2011-01-06 09:59:00,1,7,UK\nC4,A,a,-1,2011-01-06 10:00:00,1,7,UK\n"));
    assert_eq!(kinds(&plan.orders[1]), [("cancel", 1), ("ship", 0), ("return", 1)]);
}

#[test]
fn a_credit_never_goes_to_a_later_sale_or_another_customer() {
    let plan = planned(
        "C3,A,a,-1,2011-01-03 09:00:00,1,7,UK\n1,A,a,5,2011-01-03 10:00:00,1,8,UK\nC4,A,a,-1,2011-01-03 11:00:00,1,,UK\n",
    );
    assert_eq!(kinds(&plan.orders[0]), [("ship", 0)]);
    assert_eq!(plan.lookups().len(), 1);
    assert_eq!(plan.credits.len(), 1);
}

#[test]
fn what_is_left_goes_to_earlier_orders_and_then_to_the_import() {
    let mut plan = planned(&format!("{TWO_SALES}C3,A,a,-20,2011-01-07 12:00:00,0.335,7,UK\n"));
    let pair = plan.lookups().remove(0);
    let earlier = EarlierLine {
        order_id: OrderId::default(),
        name: "0".into(),
        line_id: LineId(3),
        placed_at: Timestamp::from_micros(0),
        to_cancel: 1,
        to_return: 2,
    };
    plan.settle(HashMap::from([(pair, vec![earlier])]), &options());
    assert_eq!(kinds(&plan.orders[2]), [("cancel", 1), ("return", 2)]);
    assert_eq!(plan.credits[0].credit.qty, 8);
    let portions = plan.orders.iter().flat_map(|order| &order.actions).filter_map(|action| match action {
        Action::Cancel(portion) | Action::Return(portion) => Some(portion.otherwise.amount),
        Action::Ship { .. } => None,
    });
    assert_eq!(portions.sum::<i64>() + plan.credits[0].credit.amount, 670);
}

#[test]
fn opening_stock_covers_every_sale_and_every_correction_downwards() {
    let plan = planned(&format!(
        "{TWO_SALES}3,A,broken,-2,2011-01-04 10:00:00,0,,UK\n4,B,found,3,2011-01-04 10:00:00,0,,UK\n5,POST,p,1,2011-01-04 10:00:00,9,7,UK\n"
    ));
    assert_eq!(plan.stock.len(), 2);
    let StockStep::Receive { qty, .. } = &plan.stock[0].steps[0] else { panic!("opening stock comes first") };
    assert_eq!(*qty, 11);
    assert!(matches!(plan.stock[1].steps[..], [StockStep::Adjust { delta: 3, .. }]));
}

#[test]
fn the_same_content_gives_the_same_plan_and_keys_are_unique() {
    let rows = format!("{TWO_SALES}C3,A,a,-6,2011-01-05 12:00:00,1,7,UK\nC3,A,a,-1,2011-01-05 12:00:00,1,7,UK\n");
    assert_eq!(planned(&rows), planned(&rows));
    let plan = planned(&rows);
    let mut keys: Vec<&str> = Vec::new();
    for order in &plan.orders {
        keys.extend(order.place.iter().map(|placing| placing.key.as_str()));
        keys.extend(order.actions.iter().map(|action| match action {
            Action::Cancel(portion) | Action::Return(portion) => portion.key.as_str(),
            Action::Ship { key, .. } => key.as_str(),
        }));
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn faults_come_from_the_seed_alone() {
    let with = |seed| {
        let faults = Faults { seed, mix: vec![("sandbox:decline".into(), 100), ("sandbox:flaky".into(), 100)] };
        (0..1000).map(|name| instrument(&name.to_string(), Some(&faults))).collect::<Vec<_>>()
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
    let declined = with(1).iter().filter(|name| *name == "sandbox:decline").count();
    assert!((60..140).contains(&declined), "{declined}");
}
