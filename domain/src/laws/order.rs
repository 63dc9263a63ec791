//! The laws of an order: what must hold after every event of its stream. Read from the state alone; no law asks the
//! rule book whether it is right.

use super::Violation;
use crate::ids::LineId;
use crate::money::Minor;
use crate::order::Order;
use crate::order::event::{Capture, Event};
use crate::order::state::{
    LineState, Payment, Placed, Refund, RefundProgress, Shipment, ShipmentLine, ShipmentStatus, Status,
};

type Verdict = Result<(), Violation>;

/// Whether every law of an order holds.
///
/// # Errors
/// The first law that does not.
pub(crate) fn check(order: &Order) -> Verdict {
    let Order::Placed(order) = order else {
        return Ok(());
    };
    for (id, line) in &order.lines {
        counters(*id, line)?;
        arithmetic(*id, line)?;
        values(*id, line)?;
    }
    totals(order)?;
    shipments(order)?;
    returns_and_cancellations(order)?;
    money(order)?;
    ends(order)
}

/// Whether an order may become this one by one event: what ended stays ended, what left, was cancelled, came back or was taken is
/// never fewer.
///
/// # Errors
/// The first law that does not hold.
pub(crate) fn check_step(before: &Order, after: &Order) -> Verdict {
    let Order::Placed(before) = before else {
        return Ok(());
    };
    let Order::Placed(after) = after else {
        return broken("an order stays", "it was placed and is absent".to_owned());
    };
    let allowed = match before.status {
        Status::Pending => after.status != Status::Completed,
        Status::Confirmed => !matches!(after.status, Status::Pending | Status::Rejected),
        ended => after.status == ended,
    };
    law(allowed, "terminal statuses have no successors", || {
        format!("{} became {}", before.status.name(), after.status.name())
    })?;
    law(after.payment().captured >= before.payment().captured, "captured money is never less", || {
        let (before, after) = (before.payment().captured, after.payment().captured);
        format!("captured {before} became {after}")
    })?;
    for (id, one) in &before.lines {
        let Some(other) = after.lines.get(id) else {
            return broken("lines stay", format!("line {id} is gone"));
        };
        let grows = one.cancelled <= other.cancelled
            && one.shipped <= other.shipped
            && one.delivered <= other.delivered
            && one.returned <= other.returned;
        law(grows, "what happened to units stays", || format!("line {id}: {one:?} became {other:?}"))?;
    }
    Ok(())
}

/// Whether an order may release this surplus: never what it is still to take.
///
/// # Errors
/// The first violated law.
pub(crate) fn check_release(before: &Order, event: &Event, after: &Order) -> Verdict {
    let (Event::SurplusReleased(_), Order::Placed(before), Order::Placed(after)) = (event, before, after) else {
        return Ok(());
    };
    let (had, has) = (before.ledger().held, after.ledger());
    law(has.held >= had.min(has.to_capture()), "what is still to be taken stays held", || {
        format!("{had} was held, and then {has:?}")
    })
}

/// Whether the laws hold that speak of what all events of a command say together.
///
/// # Errors
/// The first violated law.
pub(crate) fn check_batch(order: &Order) -> Verdict {
    let Order::Placed(order) = order else {
        return Ok(());
    };
    let ends = order.payments.iter().any(|payment| payment.ending.is_some());
    if !ends || order.status != Status::Confirmed || order.cancelling() {
        return Ok(());
    }
    let to_capture = order.ledger().to_capture();
    for payment in order.payments.iter().filter(|payment| payment.ending.is_some() && payment.held() > 0) {
        let id = payment.payment_id;
        let waiting = order.shipments.values().filter(|s| waits(s) || s.status == ShipmentStatus::Withdrawn);
        let shares = waiting.flat_map(|s| &s.captures).filter(|it| !it.done && it.share.payment_id == id);
        let promised: Minor = shares.map(|it| it.share.amount).sum();
        let others: Minor = order.payments.iter().filter(|it| it.payment_id != id).map(Payment::held).sum();
        let replaced = order.payments.iter().any(|it| it.replaces == Some(id));
        let released = order.released_holds.values().map(|it| &it.hold);
        let held = order.holds.values().chain(released).any(|it| it.reason == "authorisation_ending");
        let needed = payment.held().min(to_capture - others) > promised;
        law(!needed || replaced || held, "the end of an authorisation that is needed is seen to", || {
            format!("{payment:?} of {to_capture}: {promised} promised, {others} held by others")
        })?;
    }
    Ok(())
}

/// Whether an order that ended is settled: the captured money that is not refunded is what the customer owes for the
/// units kept, plus refunds that the provider would not pay. Holds whenever no saga of the order is running. An order
/// that ships unpaid has its debt elsewhere.
///
/// # Errors
/// The first violated law.
pub fn check_settled(order: &Order) -> Verdict {
    let Order::Placed(order) = order else {
        return Ok(());
    };
    if !order.status.is_terminal() {
        return Ok(());
    }
    let ledger = order.ledger();
    let external = |id| order.payment_of(id).is_some_and(crate::order::state::Payment::is_external);
    let parts = || order.refunds.values().flat_map(|refund| &refund.parts);
    let open = parts().filter(|part| part.progress == RefundProgress::Pending && !external(part.payment_id)).count();
    law(open == 0, "what is granted is given back", || format!("{open} parts of refunds are open"))?;
    if order.payment_terms.capture == Capture::PayLater {
        return Ok(());
    }
    let due = ledger.owed + ledger.unpaid;
    law(ledger.kept() == due, "captured − refunded = value of units kept", || {
        format!("{} kept: {ledger:?}", ledger.kept())
    })
}

fn counters(id: LineId, line: &LineState) -> Verdict {
    let sum = |counters: &[u32]| counters.iter().copied().map(u64::from).sum::<u64>();
    let ordered = u64::from(line.line.qty);
    let assigned = [line.cancelled, line.reserved, line.backordered, line.unassigned(), line.shipped];
    law(ordered == sum(&assigned), "ordered = cancelled + reserved + backordered + unassigned + shipped", || {
        format!("line {id}: {ordered} = Σ{assigned:?}")
    })?;
    law(line.shipping <= line.reserved, "none beyond reserved ships", || {
        format!("line {id}: {} of {}", line.shipping, line.reserved)
    })?;
    law(sum(&[line.delivered, line.lost]) <= sum(&[line.shipped]), "delivered + lost ≤ shipped", || {
        let (delivered, lost, shipped) = (line.delivered, line.lost, line.shipped);
        format!("line {id}: {delivered} + {lost} of {shipped}")
    })?;
    law(
        sum(&[line.returned, line.return_requested, line.lost]) <= sum(&[line.shipped]),
        "returned + announced + lost ≤ shipped",
        || {
            let (returned, announced, lost) = (line.returned, line.return_requested, line.lost);
            format!("line {id}: {returned} + {announced} + {lost} of {}", line.shipped)
        },
    )?;
    law(sum(&[line.restocked, line.written_off]) == sum(&[line.returned]), "restocked + written off = returned", || {
        let (restocked, written_off) = (line.restocked, line.written_off);
        format!("line {id}: {restocked} + {written_off} of {}", line.returned)
    })
}

fn arithmetic(id: LineId, state: &LineState) -> Verdict {
    let line = &state.line;
    let net = line.subtotal - line.discount - line.order_discount;
    let total = if line.tax_included { net } else { net + line.tax };
    let parts = [line.subtotal, line.discount, line.order_discount, line.tax, net];
    law(
        line.total == total && parts.iter().all(|amount| *amount >= 0),
        "line total = subtotal − discounts + tax",
        || format!("line {id}: {} = {parts:?}", line.total),
    )
}

fn values(id: LineId, line: &LineState) -> Verdict {
    let parts = [
        (line.cancelled, line.cancelled_value),
        (line.shipping, line.shipping_value),
        (line.shipped, line.shipped_value),
    ];
    let given: Minor = parts.iter().map(|(_, value)| value).sum();
    let numbers = || format!("line {id}: {given} of {}, {parts:?}", line.line.total);
    law(
        parts.iter().all(|(units, value)| *value >= 0 && (*units > 0 || *value == 0)),
        "only units have a value",
        numbers,
    )?;
    law(given <= line.line.total, "the parts of a line are not worth more than it", numbers)?;
    law(line.free() > 0 || given == line.line.total, "the last unit takes the rest of its line", numbers)?;
    let back = line.back_value();
    let gone = line.returned + line.lost_refunded;
    law(
        (0..=line.shipped_value).contains(&back)
            && (gone < line.shipped || back == line.shipped_value)
            && (gone > 0 || back == 0),
        "what came back is worth what it was shipped for",
        || {
            let (returned, shipped) = (line.returned, line.shipped);
            let value = line.shipped_value;
            format!("line {id}: {returned} of {shipped} for {back} of {value}")
        },
    )
}

fn totals(order: &Placed) -> Verdict {
    let lines = || order.lines.values().map(|l| &l.line);
    let shipping: Minor = order.shipping.iter().map(|s| s.total).sum();
    let shipping_tax: Minor = order.shipping.iter().map(|s| s.tax).sum();
    let sums = [
        lines().map(|l| l.subtotal).sum::<Minor>(),
        lines().map(|l| l.discount + l.order_discount).sum(),
        shipping,
        lines().map(|l| l.tax).sum::<Minor>() + shipping_tax,
        lines().map(|l| l.total).sum::<Minor>() + shipping,
    ];
    let t = &order.totals;
    let told = [t.subtotal, t.discount, t.shipping, t.tax, t.total];
    law(told == sums, "totals = Σ lines and charges", || {
        format!("subtotal, discount, shipping, tax, total are {told:?}, the sums {sums:?}")
    })?;
    let (shipped, cancelled) = (order.shipping_shipped, order.shipping_cancelled);
    law(shipped >= 0 && cancelled >= 0 && shipped + cancelled <= shipping, "shipping charges are due once", || {
        format!("{shipped} with shipments and {cancelled} cancelled of {shipping}")
    })
}

fn shipments(order: &Placed) -> Verdict {
    for (id, line) in &order.lines {
        let sum = |which: fn(&Shipment) -> bool, of: fn(&ShipmentLine) -> i64| -> i64 {
            let shipments = order.shipments.values().filter(|s| which(s));
            shipments.filter_map(|s| s.lines.get(id)).map(of).sum()
        };
        let left = |shipment: &Shipment| shipment.status.has_left();
        let told = [
            sum(waits, |l| i64::from(l.qty)),
            sum(waits, |l| l.amount),
            sum(left, |l| i64::from(l.qty)),
            sum(left, |l| l.amount),
            sum(left, |l| i64::from(l.delivered)),
            sum(left, |l| i64::from(l.lost)),
        ];
        let counted = [
            i64::from(line.shipping),
            line.shipping_value,
            i64::from(line.shipped),
            line.shipped_value,
            i64::from(line.delivered),
            i64::from(line.lost),
        ];
        law(told == counted, "Σ shipments = lines", || format!("line {id}: {told:?} and {counted:?}"))?;
    }
    let live = order.shipments.values();
    let charges: Minor = live.filter(|s| waits(s) || s.status.has_left()).map(|s| s.shipping).sum();
    law(charges == order.shipping_shipped, "Σ shipping charges of shipments = what is due with them", || {
        format!("{charges} and {}", order.shipping_shipped)
    })
}

/// Whether the shipment contains its units: it waits to leave, or was withdrawn without a cancellation of the units.
fn waits(shipment: &Shipment) -> bool {
    match shipment.status {
        ShipmentStatus::Requested => true,
        ShipmentStatus::Withdrawn => shipment.cancellation_id.is_none(),
        ShipmentStatus::Dispatched | ShipmentStatus::Refused | ShipmentStatus::Delivered | ShipmentStatus::Lost => {
            false
        }
    }
}

fn returns_and_cancellations(order: &Placed) -> Verdict {
    for (id, line) in &order.lines {
        let announced: u64 = order.returns.values().filter_map(|r| r.open.get(id)).map(|qty| u64::from(*qty)).sum();
        law(announced == u64::from(line.return_requested), "Σ announced returns = lines", || {
            format!("line {id}: {announced} and {}", line.return_requested)
        })?;
    }
    let owed: Minor = order.returns.values().map(|r| r.refund).sum();
    let back: Minor = order.lines.values().map(|l| l.returned_value).sum();
    law(owed == back, "Σ returns = value that came back", || format!("{owed} and {back}"))?;
    let told: Minor = order.cancellations.values().map(|c| c.amount).sum();
    let lines: Minor = order.lines.values().map(|l| l.cancelled_value).sum();
    let cancelled = lines + order.shipping_cancelled;
    law(told == cancelled, "Σ cancellations = value cancelled", || format!("{told} and {cancelled}"))
}

fn money(order: &Placed) -> Verdict {
    for payment in &order.payments {
        let (authorised, captured, voided) = (payment.authorised, payment.captured, payment.voided);
        law(captured + voided <= authorised && voided >= 0, "captured ≤ authorised", || {
            format!("{captured} and {voided} let go of {authorised}")
        })?;
        let id = payment.payment_id;
        let parts = order.refunds.values().flat_map(|refund| &refund.parts).filter(|part| part.payment_id == id);
        let granted: Minor = parts.filter(|part| part.stands()).map(|part| part.amount).sum();
        law(granted <= captured, "Σ granted ≤ captured", || format!("{granted} of {captured} of payment {id}"))?;
        let refunded = payment.refunded;
        law((0..=captured).contains(&refunded), "refunded + refund pending ≤ captured", || {
            format!("{refunded} of {captured} of payment {id}")
        })?;
    }
    law(order.refunds.values().all(|r| r.amount > 0), "a refund is more than nothing", || {
        format!("{:?}", order.refunds)
    })?;
    let whole = order.refunds.values().all(|r| r.parts.iter().map(|part| part.amount).sum::<Minor>() == r.amount);
    law(whole, "Σ parts = refund", || format!("{:?}", order.refunds))?;
    let by_hand = |refund: &Refund| refund.by_hand;
    for (line_id, line) in &order.lines {
        let granted = order.credit_of(line);
        law(granted <= line.shipped_value, "refunded by a line ≤ what left of it", || {
            format!("line {line_id}: {granted} of {}", line.shipped_value)
        })?;
    }
    if order.payment_terms.capture == Capture::PayLater {
        return Ok(());
    }
    // A refund may have been granted before the goods left; it is then not owed for them.
    let gifts: Minor = order.refunds.values().filter(|refund| by_hand(refund)).map(|refund| refund.amount).sum();
    let shipped = order.shipments.values().filter(|s| s.status.has_left());
    let value: Minor = shipped.map(|s| s.shipping + s.lines.values().map(|l| l.amount).sum::<Minor>()).sum();
    let (captured, netted) = (order.payment().captured, netted(order));
    law(value <= captured + gifts + netted, "nothing ships before it is captured", || {
        format!(
            "{value} shipped, {captured} captured, {gifts} granted by hand, {netted} of what is gone again pays for the rest"
        )
    })
}

/// The value of goods that came back or got lost, as far as no refund was granted for it: it stays with the order and pays for other goods.
/// A refund that failed is still owed, and pays for nothing.
pub(super) fn netted(order: &Placed) -> Minor {
    let back: Minor = order.lines.values().map(LineState::back_value).sum();
    let followed = order.refunds.values().filter(|refund| !refund.by_hand);
    let granted = |refund: &Refund| refund.standing() + refund.failed() + refund.withdrawn();
    (back - followed.map(granted).sum::<Minor>()).max(0)
}

fn ends(order: &Placed) -> Verdict {
    let sum = |of: fn(&LineState) -> u32| order.lines.values().map(of).map(u64::from).sum::<u64>();
    let open = sum(LineState::open);
    let shipped = sum(|l| l.shipped);
    let held = sum(|l| l.reserved) + sum(|l| l.backordered);
    let closed = order.cancellations.values().all(|c| c.closed);
    let (fits, law_name) = match order.status {
        Status::Pending => (shipped == 0, "nothing ships before confirmation"),
        Status::Confirmed => (true, ""),
        Status::Completed => {
            let whole = open == 0 && shipped > 0 && order.shipping_left() == 0;
            (whole, "completed means shipped, and nothing open")
        }
        Status::Rejected => (held == 0 && shipped == 0, "rejected means nothing held and nothing shipped"),
        Status::Cancelled => (open == 0 && shipped == 0 && closed, "cancelled means all of it, and nothing shipped"),
    };
    law(fits, law_name, || format!("{open} open, {shipped} shipped, {held} held, cancellations closed: {closed}"))
}

fn law(holds: bool, law: &'static str, detail: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { broken(law, detail()) }
}

fn broken(law: &'static str, detail: String) -> Verdict {
    Err(Violation { law, detail })
}
