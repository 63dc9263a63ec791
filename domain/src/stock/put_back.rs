//! Putting back: a shipment for which units were taken does not leave, so they are where they were; or it never took any, and never will.

use super::allocate::TOGETHER;
use super::command::Command;
use super::decide::Decision;
use super::event::{Event, LetGo, ShipmentPutBack};
use super::refusal::Refusal;
use super::state::{Stock, TakenOut};
use super::take;

/// Why units that were never taken are let go.
const REASON: &str = "shipment put back";

pub(super) fn put_back(stock: &Stock, command: &Command) -> Decision {
    let Command::PutBack { shipment_id, reservation_id, order_id, lines, release } = command else {
        return Ok(vec![]);
    };
    let Some(taken) = stock.taken_for(*shipment_id) else {
        if lines.is_empty() {
            return Err(Refusal::InvalidQuantity { qty: 0 });
        }
        let mut events = vec![Event::ShipmentPutBack(ShipmentPutBack {
            shipment_id: *shipment_id,
            reservation_id: *reservation_id,
            order_id: *order_id,
            qty: 0,
            lines: vec![],
            released: *release,
        })];
        if *release {
            let let_go = Command::Release {
                reservation_id: *reservation_id,
                order_id: *order_id,
                qty: None,
                lines: lines.iter().map(|it| LetGo { line_id: it.line_id, qty: it.qty, backordered: 0 }).collect(),
                release_id: shipment_id.0,
                expires_at: None,
                reason: REASON.to_owned(),
            };
            events.extend(take::release(stock, &let_go)?);
        }
        return Ok(events);
    };
    if taken.iter().any(|out_of| out_of.order_id != *order_id) {
        // It is another's, under the same id: there is nothing of the caller's to put back.
        return Ok(vec![]);
    }
    stock.room_for(taken.iter().fold(0, |sum, out_of| units(out_of).saturating_add(sum)))?;
    let events = taken.iter().map(|out_of| {
        Event::ShipmentPutBack(ShipmentPutBack {
            shipment_id: *shipment_id,
            reservation_id: out_of.reservation_id,
            order_id: out_of.order_id,
            qty: units(out_of),
            lines: out_of.lines.clone(),
            released: *release,
        })
    });
    let events = events.collect();
    // Units that are held again are nobody else's: only those let go can serve who waits.
    Ok(if *release { stock.with_allocations(events, TOGETHER) } else { events })
}

fn units(out_of: &TakenOut) -> u32 {
    let lines = out_of.lines.iter();
    lines.fold(0, |sum, share| sum.saturating_add(share.qty))
}
