//! Deferring: held units that there is no stock for wait for it again. Never more than is short, so that nothing is free afterwards.

use super::command::Command;
use super::decide::Decision;
use super::event::{Event, ReservationDeferred};
use super::refusal::Refusal;
use super::state::Stock;
use super::take;

pub(super) fn defer(stock: &Stock, command: &Command) -> Decision {
    let Command::Defer { reservation_id, order_id, lines, reason } = command else {
        return Ok(vec![]);
    };
    let order_id = Some(*order_id);
    let parts = take::held(stock, *reservation_id, order_id, lines)?;
    let wanted = parts.iter().map(|part| part.qty).sum();
    let short = stock.reserved.saturating_sub(stock.on_hand);
    if wanted > short {
        return Err(Refusal::NotShort { wanted, short });
    }
    let events = parts.into_iter().map(|part| {
        Event::ReservationDeferred(ReservationDeferred {
            reservation_id: part.reservation_id,
            order_id,
            qty: part.qty,
            lines: part.lines,
            reason: reason.clone(),
        })
    });
    Ok(events.collect())
}
