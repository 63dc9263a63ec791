//! Credits that no sale of the content covers, and the orders of earlier runs that may. The open units of those orders
//! are read at the position at which this run started, so that every run finds the same.

use std::collections::{BTreeMap, HashMap};

use domain::ids::{CustomerRef, LineId, OrderId, Sku};
use domain::time::Timestamp;

use super::{Action, CreditPlan, Options, OrderPlan, Plan, matching, recorded};
use crate::import::content::Credit;

/// A credit, or the rest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The credit.
    pub credit: Credit,
    /// Units of it that sales of this content cover.
    pub done: u32,
    /// Parts that it has been spread over.
    pub part: u32,
}

/// A line of an order that existed before this run, with its open units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierLine {
    /// The order.
    pub order_id: OrderId,
    /// Its number, for messages.
    pub name: String,
    /// The line.
    pub line_id: LineId,
    /// When the order was placed, in business time.
    pub placed_at: Timestamp,
    /// Units that have not shipped.
    pub to_cancel: u32,
    /// Units that have shipped and not come back.
    pub to_return: u32,
}

impl Plan {
    /// The (customer, SKU) pairs to look up before [`Self::settle`].
    #[must_use]
    pub fn lookups(&self) -> Vec<(CustomerRef, Sku)> {
        let pairs: std::collections::BTreeSet<_> = self
            .wanted
            .iter()
            .filter_map(|wanted| Some((wanted.credit.customer.clone()?, wanted.credit.sku.clone())))
            .collect();
        pairs.into_iter().collect()
    }

    /// Spreads the credits over lines of earlier orders, newest first; the unmatched rest becomes a recorded credit.
    pub fn settle(&mut self, mut earlier: HashMap<(CustomerRef, Sku), Vec<EarlierLine>>, options: &Options) {
        for lines in earlier.values_mut() {
            lines.sort_by_key(|line| (line.placed_at, line.order_id, line.line_id));
        }
        let mut orders: BTreeMap<OrderId, OrderPlan> = BTreeMap::new();
        for Wanted { credit, mut done, mut part } in std::mem::take(&mut self.wanted) {
            let pair = credit.customer.clone().map(|customer| (customer, credit.sku.clone()));
            let lines = pair.and_then(|pair| earlier.get_mut(&pair));
            for line in lines.into_iter().flatten().rev().filter(|line| line.placed_at <= credit.at) {
                let mut take = |open: &mut u32, make: fn(super::Portion) -> Action| {
                    let qty = (*open).min(credit.qty - done);
                    if qty > 0 {
                        part += 1;
                        let portion = matching::portion(&credit, part, done, (line.line_id, qty), options);
                        let order = orders.entry(line.order_id).or_insert_with(|| OrderPlan {
                            order_id: line.order_id,
                            name: line.name.clone(),
                            line: credit.line,
                            place: None,
                            actions: vec![],
                        });
                        order.actions.push(make(portion));
                        done += qty;
                        *open -= qty;
                    }
                };
                take(&mut line.to_cancel, Action::Cancel);
                take(&mut line.to_return, Action::Return);
            }
            if done < credit.qty {
                let key = options.origin.row_key(&credit.key, &(part + 1).to_string());
                let credit_recorded = recorded(&credit, &key, done, credit.qty - done);
                self.credits.push(CreditPlan { at: credit.at, credit: credit_recorded });
            }
        }
        self.orders.extend(orders.into_values());
    }
}
