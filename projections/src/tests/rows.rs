//! Given events, then rows: each read model against the domain's own folds.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::order::Order;

use super::shop::{Shop, TENANT, main, sku};
use crate::order_list::{Filter, Query, Sort};
use crate::stock_levels::Which;
use crate::{Options, Projections, Reads};
use crate::{open_quantity, order_detail, order_list, order_timeline, payments, stock_ledger, stock_levels};

async fn caught_up(shop: &Shop) -> (Arc<Projections>, Reads) {
    let projections = Projections::open(Options::new(shop.folder.path().join("read")), shop.log()).await.unwrap();
    projections.catch_up(None).await.unwrap();
    let reads = projections.reads();
    (projections, reads)
}

fn all() -> Query {
    Query { tenant: TENANT.into(), limit: 200, count: true, ..Query::default() }
}

fn placed(order: &Order) -> &domain::order::state::Placed {
    match order {
        Order::Placed(placed) => placed,
        Order::Absent => panic!("not placed"),
    }
}

#[tokio::test]
async fn every_order_is_shown_as_its_fold() {
    let mut shop = Shop::open();
    shop.trade(40).await;
    let (_projections, reads) = caught_up(&shop).await;
    for (id, order) in &shop.orders {
        let answer = order_detail::by_id(&reads, TENANT, *id).await.unwrap();
        assert_eq!(answer.position, shop.head());
        assert_eq!(answer.value.unwrap().order, *order);
    }
    let other = order_detail::by_id(&reads, "another", *shop.orders.keys().next().unwrap()).await.unwrap();
    assert!(other.value.is_none(), "another tenant's orders are not there");
}

#[tokio::test]
async fn the_list_says_of_each_order_what_its_fold_says() {
    let mut shop = Shop::open();
    shop.trade(40).await;
    let (_projections, reads) = caught_up(&shop).await;
    let page = order_list::page(&reads, &all()).await.unwrap().value;
    assert_eq!(page.orders.len(), 40);
    assert_eq!(page.count.unwrap(), order_list::Count { value: 40, exact: true });
    for shown in &page.orders {
        let order = placed(&shop.orders[&shown.order_id]);
        assert_eq!(shown.status, order.status().name());
        assert_eq!(shown.total, order.totals.total);
        assert_eq!(shown.units, order.lines.values().map(|line| u64::from(line.line.qty)).sum::<u64>());
        assert_eq!(shown.placed_at, order.occurred_at.unwrap().micros());
        assert_eq!(shown.tags, order.tags);
    }
    let times: Vec<_> = page.orders.iter().map(|order| order.placed_at).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
}

#[tokio::test]
async fn filters_find_what_the_folds_say_and_counters_count_it() {
    let mut shop = Shop::open();
    shop.trade(60).await;
    let (_projections, reads) = caught_up(&shop).await;
    let expect = |wanted: &dyn Fn(&domain::order::state::Placed) -> bool| {
        shop.orders.iter().filter(|(_, order)| wanted(placed(order))).map(|(id, _)| *id).collect::<BTreeSet<_>>()
    };
    let cases: Vec<(&str, &str, BTreeSet<_>, bool)> = vec![
        ("status", "completed", expect(&|o| o.status().name() == "completed"), true),
        ("status[in]", "pending,cancelled", expect(&|o| ["pending", "cancelled"].contains(&o.status().name())), true),
        ("customer", "c-1", expect(&|o| o.customer.as_ref().unwrap().as_str() == "c-1"), false),
        ("sku", "mug", expect(&|o| o.lines.values().any(|line| line.line.sku == sku("MUG"))), false),
        (
            "sku[in]",
            "LAMP,CUP",
            expect(&|o| o.lines.values().any(|l| ["LAMP", "CUP"].contains(&l.line.sku.as_str()))),
            false,
        ),
        ("tag", "simulated", expect(&|_| true), false),
        ("placed_at[lt]", "1970-01-01T00:00:10Z", expect(&|o| o.occurred_at.unwrap().micros() < 10_000_000), false),
        ("return_status", "returned", expect(&|o| format!("{:?}", o.return_status()) == "Returned"), true),
    ];
    let ranged: Vec<(&str, &str, BTreeSet<_>, bool)> = vec![
        ("customer[prefix]", "c-", expect(&|_| true), false),
        ("customer[prefix]", "c-1", expect(&|o| o.customer.as_ref().unwrap().as_str().starts_with("c-1")), false),
        ("on_hold", "false", expect(&|_| true), false),
        ("channel", "web", expect(&|o| o.channel.as_str() == "web"), false),
        ("fulfilment_status", "shipped", expect(&|o| format!("{:?}", o.fulfilment_status()) == "Shipped"), false),
        ("tag[in]", "simulated,other", expect(&|_| true), false),
    ];
    let since = Filter::parse("placed_at[gte]", "1970-01-01T00:00:00Z").unwrap();
    let by_total: Vec<(&str, &str, BTreeSet<_>, bool)> = vec![
        ("total[gte]", "2000", expect(&|o| o.totals.total >= 2000), false),
        ("total[lt]", "2000", expect(&|o| o.totals.total < 2000), false),
    ];
    let cases = cases.into_iter().map(|case| (case, None, Sort::default()));
    let ranged = ranged.into_iter().map(|case| (case, Some(since.clone()), Sort::default()));
    let by_total = by_total.into_iter().map(|case| (case, None, Sort::parse("total").unwrap()));
    for ((field, value, wanted, exact), range, sort) in cases.chain(ranged).chain(by_total) {
        let filters = std::iter::once(Filter::parse(field, value).unwrap()).chain(range).collect();
        let query = Query { filters, sort, ..all() };
        let page = order_list::page(&reads, &query).await.unwrap().value;
        let found: BTreeSet<_> = page.orders.iter().map(|order| order.order_id).collect();
        assert_eq!(found, wanted, "{field}={value}");
        let count = page.count.unwrap();
        assert_eq!(count.exact, exact, "{field}={value}");
        if exact {
            assert_eq!(count.value, wanted.len() as u64, "{field}={value}");
        }
    }
}

#[test]
fn what_the_list_cannot_be_narrowed_to_is_refused() {
    for (field, value) in [
        ("colour", "red"),
        ("status", "perhaps"),
        ("status[gte]", "pending"),
        ("status[like]", "pending"),
        ("status[in", "pending"),
        ("placed_at[gte]", "yesterday"),
        ("total", "12.50"),
        ("total", "99999999999999999999"),
        ("on_hold", "1"),
        ("payment_ending", "yes"),
        ("customer", ""),
        ("customer", "a\0b"),
    ] {
        assert!(Filter::parse(field, value).is_err(), "{field}={value}");
    }
    assert!(Sort::parse("-customer").is_err());
}

#[tokio::test]
async fn a_walk_by_cursor_meets_each_order_once_while_others_are_placed() {
    let mut shop = Shop::open();
    shop.trade(50).await;
    let (projections, reads) = caught_up(&shop).await;
    let there: BTreeSet<_> = shop.orders.keys().copied().collect();
    for sort in ["-placed_at", "placed_at", "-total", "total"] {
        let mut query = Query { limit: 7, sort: Sort::parse(sort).unwrap(), ..all() };
        let mut met = Vec::new();
        loop {
            let page = order_list::page(&reads, &query).await.unwrap().value;
            met.extend(page.orders.iter().map(|order| order.order_id));
            let at = 1_000 * i64::try_from(met.len()).unwrap();
            shop.place("late", &[("MUG", 1)], at).await;
            projections.catch_up(None).await.unwrap();
            let Some(next) = page.next else { break };
            query.cursor = Some(next);
        }
        let unique: BTreeSet<_> = met.iter().copied().collect();
        assert_eq!(unique.len(), met.len(), "{sort}: none twice");
        assert!(there.is_subset(&unique), "{sort}: none left out");
    }
}

/// The same text with another character in the middle.
fn mended(text: &str) -> String {
    let mut letters: Vec<_> = text.chars().collect();
    let middle = letters.len() / 2;
    letters[middle] = if letters[middle] == 'x' { 'y' } else { 'x' };
    letters.into_iter().collect()
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_only() {
    let mut shop = Shop::open();
    shop.trade(20).await;
    let (_projections, reads) = caught_up(&shop).await;
    let query = Query { limit: 5, ..all() };
    let cursor = order_list::page(&reads, &query).await.unwrap().value.next;
    assert!(order_list::page(&reads, &Query { cursor: cursor.clone(), ..query.clone() }).await.is_ok());
    let filters = vec![Filter::parse("status", "pending").unwrap()];
    let others = [
        Query { filters, cursor: cursor.clone(), ..query.clone() },
        Query { sort: Sort::parse("total").unwrap(), cursor: cursor.clone(), ..query.clone() },
        Query { tenant: "another".into(), cursor: cursor.clone(), ..query.clone() },
        Query { cursor: Some("AAAA".into()), ..query.clone() },
        Query { cursor: Some("not base64!".into()), ..query.clone() },
        Query { cursor: cursor.map(|text| mended(&text)), ..query },
    ];
    for other in others {
        let refused = order_list::page(&reads, &other).await;
        assert!(matches!(refused, Err(order_list::PageError::Cursor(_))), "{other:?}");
    }
}

#[tokio::test]
async fn stock_levels_are_those_of_the_fold_and_the_ledger_adds_up_to_them() {
    let mut shop = Shop::open();
    shop.trade(40).await;
    let (_projections, reads) = caught_up(&shop).await;
    for ((name, _), stock) in &shop.stocks {
        let shown = stock_levels::by_sku(&reads, TENANT, &sku(name)).await.unwrap().value.remove(0);
        let level = shown.level;
        assert_eq!(
            (
                level.on_hand,
                level.reserved,
                level.backordered,
                level.safety_stock,
                level.backorder_limit,
                level.available()
            ),
            (
                stock.on_hand,
                stock.reserved,
                stock.backordered,
                stock.safety_stock,
                stock.backorder_limit,
                stock.available()
            ),
            "{name}"
        );
        let mut moves = Vec::new();
        let mut before = None;
        loop {
            let page = stock_ledger::page(&reads, TENANT, &sku(name), &main(), before, 10).await.unwrap().value;
            let Some(last) = page.last() else { break };
            before = Some(last.version);
            moves.extend(page);
        }
        assert_eq!(moves.len() as u64, shown.version);
        assert_eq!(moves.iter().map(|m| m.on_hand_change).sum::<i64>(), i64::from(stock.on_hand), "{name}");
        assert_eq!(moves.iter().map(|m| m.reserved_change).sum::<i64>(), i64::from(stock.reserved), "{name}");
        moves.reverse();
        let mut running = 0;
        for m in &moves {
            running += m.on_hand_change;
            assert_eq!(running, i64::from(m.on_hand), "{name} after {}", m.version);
        }
    }
    let page = stock_levels::page(&reads, TENANT, Which::All, None, 2).await.unwrap().value;
    let rest = stock_levels::page(&reads, TENANT, Which::All, Some((&page[1].sku, &page[1].location)), 10)
        .await
        .unwrap()
        .value;
    assert_eq!(page.len() + rest.len(), shop.stocks.len());
}

#[tokio::test]
async fn open_quantity_is_what_was_neither_cancelled_nor_sent_back_newest_first() {
    let mut shop = Shop::open();
    shop.receive("MUG", 100).await;
    let old = shop.place("c-1", &[("MUG", 5)], 1_000).await;
    let new = shop.place("c-1", &[("MUG", 4)], 2_000).await;
    shop.place("c-2", &[("MUG", 9)], 3_000).await;
    let gone = shop.place("c-1", &[("MUG", 2)], 4_000).await;
    shop.cancel(gone, None).await;
    shop.confirm(old).await;
    shop.ship(old).await;
    shop.take_back(old, 2).await;
    shop.confirm(new).await;
    shop.cancel(new, Some(1)).await;
    let (_projections, reads) = caught_up(&shop).await;
    let customer = "c-1".parse().unwrap();
    let open = |before| open_quantity::newest_first(&reads, TENANT, Some(&customer), &MUG, before, 10);
    static MUG: std::sync::LazyLock<domain::ids::Sku> = std::sync::LazyLock::new(|| sku("MUG"));
    let lines = open(i64::MAX).await.unwrap().value;
    let told: Vec<_> = lines.iter().map(|line| (line.order_id, line.open, line.shipped, line.returned)).collect();
    assert_eq!(told, [(new, 3, 0, 0), (old, 3, 5, 2)]);
    assert_eq!(open(2_000).await.unwrap().value.len(), 1, "only what was placed before");
}

#[tokio::test]
async fn the_timeline_tells_what_happened_to_an_order_wherever_it_was_recorded() {
    let mut shop = Shop::open();
    shop.receive("MUG", 100).await;
    let id = shop.place("c-1", &[("MUG", 5)], 1_000).await;
    shop.place("c-2", &[("MUG", 1)], 1_000).await;
    let payment = shop.authorise(id).await;
    shop.confirm(id).await;
    shop.ship(id).await;
    shop.take_back(id, 1).await;
    let (_projections, reads) = caught_up(&shop).await;
    let entries = order_timeline::page(&reads, TENANT, id.0, 0, 100).await.unwrap().value;
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    for kind in [
        "OrderPlaced",
        "AuthorisationRequested",
        "PaymentAuthorised",
        "StockReserved",
        "OrderConfirmed",
        "StockShipped",
        "StockReturned",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    assert!(entries.iter().all(|entry| entry.actor == "clerk-7" && !entry.summary.is_empty()));
    assert!(entries.is_sorted_by_key(|entry| entry.position));
    assert_eq!(kinds.iter().filter(|kind| **kind == "OrderPlaced").count(), 1, "no other order's events");
    let rest = order_timeline::page(&reads, TENANT, id.0, entries[2].position, 100).await.unwrap().value;
    assert_eq!(rest, entries[3..]);
    let shown = payments::by_id(&reads, TENANT, payment).await.unwrap().value.unwrap();
    assert_eq!(shown.payment, shop.payments[&payment]);
    assert_eq!(payments::by_order(&reads, TENANT, id).await.unwrap().value, [shown]);
}
