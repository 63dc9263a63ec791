//! Which sale a credit belongs to: credit notes name none, so they are matched to open quantity of the same customer and SKU, newest
//! sale first. Before the simulated shipment they cancel units, after it they are a return.

use std::collections::HashMap;

use domain::ids::{CustomerRef, LineId, Sku};
use domain::time::Timestamp;

use super::{Action, CreditPlan, Options, OrderPlan, Placing, Plan, Portion, SHIPS_AFTER_S, Wanted};
use crate::import::content::{Credit, Sale};
use crate::import::keys::RowKey;

/// Units of a line that no credit has taken yet.
struct Open {
    order: usize,
    line_id: LineId,
    at: Timestamp,
    left: u32,
}

type Opens = HashMap<(CustomerRef, Sku), Vec<Open>>;

pub(super) fn plan(
    plan: &mut Plan,
    mut sales: Vec<Sale>,
    mut credits: Vec<Credit>,
    options: &Options,
    simulated: bool,
) {
    sales.sort_by_key(|sale| (sale.at, sale.line));
    credits.sort_by_key(|credit| (credit.at, credit.line));
    let mut opens = Opens::new();
    let mut left: Vec<u64> = Vec::with_capacity(sales.len());
    let mut credits = credits.into_iter().peekable();
    for sale in sales {
        while let Some(credit) = credits.next_if(|credit| (credit.at, credit.line) < (sale.at, sale.line)) {
            spread(credit, &mut opens, &mut left, plan, options);
        }
        left.push(sale.lines.iter().map(|line| u64::from(line.qty)).sum());
        open(&sale, plan.orders.len(), &mut opens);
        plan.orders.push(order(sale, options, simulated));
    }
    for credit in credits {
        spread(credit, &mut opens, &mut left, plan, options);
    }
    if simulated {
        for (order, left) in plan.orders.iter_mut().zip(left) {
            ship(order, left, options);
        }
    }
}

fn order(sale: Sale, options: &Options, simulated: bool) -> OrderPlan {
    let row = RowKey { invoice: sale.external_ref.to_string(), ordinal: 1 };
    let order_id = options.origin.order_id(&sale.external_ref, sale.at);
    OrderPlan {
        order_id,
        name: sale.external_ref.to_string(),
        line: sale.line,
        place: Some(Placing {
            key: options.origin.row_key(&row, ""),
            print: super::print(&sale),
            command: Box::new(super::place(sale, order_id, options, simulated)),
        }),
        actions: vec![],
    }
}

fn open(sale: &Sale, order: usize, opens: &mut Opens) {
    let Some(customer) = &sale.customer else {
        return;
    };
    for line in &sale.lines {
        let open = Open { order, line_id: line.line_id, at: sale.at, left: line.qty };
        opens.entry((customer.clone(), line.sku.clone())).or_default().push(open);
    }
}

/// Spreads a credit over open units, newest first, and returns the rest.
fn spread(credit: Credit, opens: &mut Opens, left: &mut [u64], plan: &mut Plan, options: &Options) {
    let Some(customer) = credit.customer.clone() else {
        let key = options.origin.row_key(&credit.key, "1");
        let recorded = super::recorded(&credit, &key, 0, credit.qty);
        plan.credits.push(CreditPlan { at: credit.at, credit: recorded });
        return;
    };
    let (mut done, mut part) = (0, 0);
    let stack = opens.entry((customer, credit.sku.clone())).or_default();
    while let Some(open) = stack.last_mut().filter(|_| done < credit.qty) {
        let qty = open.left.min(credit.qty - done);
        part += 1;
        let portion = portion(&credit, part, done, (open.line_id, qty), options);
        let cancels = credit.at < open.at.plus_seconds(SHIPS_AFTER_S);
        if cancels {
            left[open.order] -= u64::from(qty);
        }
        plan.orders[open.order].actions.push(if cancels { Action::Cancel(portion) } else { Action::Return(portion) });
        done += qty;
        open.left -= qty;
        if open.left == 0 {
            stack.pop();
        }
    }
    if done < credit.qty {
        plan.wanted.push(Wanted { credit, done, part });
    }
}

/// A part of a credit: after `done` units of it, `qty` units of a line.
pub(super) fn portion(
    credit: &Credit,
    part: u32,
    done: u32,
    (line_id, qty): (LineId, u32),
    options: &Options,
) -> Portion {
    let key = options.origin.row_key(&credit.key, &part.to_string());
    let otherwise = super::recorded(credit, &key, done, qty);
    Portion { key, at: credit.at, line_id, qty, otherwise }
}

/// Puts the simulated shipment between the cancellations before it and the returns after it.
fn ship(order: &mut OrderPlan, left: u64, options: &Options) {
    let Some(placing) = &order.place else { return };
    if left == 0 {
        return;
    }
    let at = placing.command.occurred_at.unwrap_or_default().plus_seconds(SHIPS_AFTER_S);
    let row = RowKey { invoice: order.name.clone(), ordinal: 1 };
    let before = order.actions.iter().take_while(|action| matches!(action, Action::Cancel(_))).count();
    order.actions.insert(before, Action::Ship { key: options.origin.row_key(&row, "ship"), at });
}
