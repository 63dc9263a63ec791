//! Orders of earlier runs that a credit may belong to. The read models list a customer's orders; their open units are
//! folded from their streams at the position at which the run started, so that every run of the import finds the same.

use std::sync::Arc;

use command_api::import::plan::EarlierLine;
use command_api::import::run::{Earlier, Lookup};
use domain::Aggregate as _;
use domain::ids::{CustomerRef, OrderId, Tenant};
use domain::order::Order;
use domain::order::state::{Placed, Status};
use domain::stream;
use domain::time::Timestamp;
use event_store::EventStore;
use event_store::record::StreamId;
use projections::Reads;
use projections::order_list::{self, Filter, Query};
use streams::Until;

use crate::roles::Running;

/// Answers the look-ups of an import in this process.
#[must_use]
pub fn lookup(running: &Running) -> Earlier {
    let (log, reads) = (Arc::clone(&running.log), running.reads.clone());
    let tenant = running.tenant.clone();
    Arc::new(move |asked| {
        let (log, reads, tenant) = (Arc::clone(&log), reads.clone(), tenant.clone());
        Box::pin(async move { lines(&*log, &reads, &tenant, &asked).await.map_err(|error| format!("{error:#}")) })
    })
}

async fn lines(
    log: &dyn EventStore,
    reads: &Reads,
    tenant: &Tenant,
    asked: &Lookup,
) -> anyhow::Result<Vec<EarlierLine>> {
    let mut lines = Vec::new();
    for order_id in orders(reads, tenant, &asked.customer).await? {
        if let Some((placed, placed_at)) = as_of(log, tenant, order_id, asked.as_of).await? {
            lines.extend(open(&placed, placed_at, asked));
        }
    }
    Ok(lines)
}

/// The orders of a customer.
async fn orders(reads: &Reads, tenant: &Tenant, customer: &CustomerRef) -> anyhow::Result<Vec<OrderId>> {
    let mut query = Query {
        tenant: tenant.as_str().to_owned(),
        filters: vec![Filter::parse("customer", customer.as_str())?],
        limit: 200,
        ..Query::default()
    };
    let mut orders = Vec::new();
    loop {
        let page = order_list::page(reads, &query).await?.value;
        orders.extend(page.orders.iter().map(|order| order.order_id));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(orders),
        }
    }
}

/// An order as it was at a position, and when it was placed.
async fn as_of(
    log: &dyn EventStore,
    tenant: &Tenant,
    order_id: OrderId,
    position: u64,
) -> anyhow::Result<Option<(Box<Placed>, Timestamp)>> {
    let name = stream::order(order_id);
    let stream = StreamId::new(tenant.as_str(), name.category, name.id);
    let fresh = || (Order::default(), None);
    let folded =
        streams::fold(log, &stream, Until::Position(position), None, fresh, |(order, first), record, event| {
            first.get_or_insert(Timestamp::from_micros(record.recorded_at));
            if let Some(domain::Event::Order(event)) = event {
                order.evolve(event);
            }
        });
    let (order, recorded) = folded.await?;
    Ok(match order {
        Order::Placed(placed) => {
            let at = placed.occurred_at.or(recorded).unwrap_or_default();
            Some((Box::new(placed), at))
        }
        Order::Absent => None,
    })
}

fn open(placed: &Placed, placed_at: Timestamp, asked: &Lookup) -> Vec<EarlierLine> {
    if !matches!(placed.status, Status::Confirmed | Status::Completed) {
        return Vec::new();
    }
    let name = placed.external_ref.as_ref().map_or_else(|| placed.order_id.to_string(), ToString::to_string);
    let wanted = placed.lines.iter().filter(|(_, line)| line.line.sku == asked.sku);
    wanted
        .map(|(line_id, line)| EarlierLine {
            order_id: placed.order_id,
            name: name.clone(),
            line_id: *line_id,
            placed_at,
            to_cancel: line.free(),
            to_return: line.returnable(),
        })
        .filter(|line| line.to_cancel > 0 || line.to_return > 0)
        .collect()
}
