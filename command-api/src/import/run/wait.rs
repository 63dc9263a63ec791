//! Waiting until an order is as a process leaves it. Woken by the log's head, and never longer than the run's patience.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::OrderId;
use domain::order::Order;
use domain::order::state::Placed;
use domain::stream;

use super::Error;
use super::send::Sender;

/// The pause between two reads of the same order. The head moves hundreds of times a second while hundreds of orders
/// wait; reading each of them each time would cost more than the work itself.
const GAP: Duration = Duration::from_millis(4);
/// A look without being woken, in case nothing moves.
const POLL: Duration = Duration::from_secs(1);

/// The order as it is.
pub(super) async fn order(sender: &Sender, order_id: OrderId) -> Result<Arc<Order>, Error> {
    let (order, _) = sender.executor.load::<Order>(sender.tenant(), &stream::order(order_id)).await?;
    Ok(order)
}

/// Waits until `found` finds something in the order.
pub(super) async fn until<T>(
    sender: &Sender,
    (order_id, name): (OrderId, &str),
    what: &'static str,
    found: impl Fn(&Placed) -> Option<T>,
) -> Result<T, Error> {
    let begun = Instant::now();
    let mut head = sender.executor.store().head();
    loop {
        head.mark_unchanged();
        if let Order::Placed(placed) = &*order(sender, order_id).await?
            && let Some(found) = found(placed)
        {
            return Ok(found);
        }
        if begun.elapsed() > sender.patience {
            return Err(Error::NoAnswer { order: name.to_owned(), waited: begun.elapsed(), what });
        }
        let moved = tokio::time::timeout(POLL, head.changed()).await;
        if matches!(moved, Ok(Err(_))) {
            return Err(Error::Stopped);
        }
        tokio::time::sleep(GAP).await;
    }
}
