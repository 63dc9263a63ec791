//! The summary of an event: one line, and its reason if it has one. Amounts are in minor units, because most events
//! name no currency. It never contains a personal field.

use domain::order::event::{AfterLoss, Disposition, Means};
use domain::{Event, import, order, outcome, payment, record, reservation, saga, stock};

use crate::models::word;

/// What happened, in one line.
#[must_use]
pub fn summary(event: &Event) -> String {
    match event {
        Event::Order(event) => of_order(event),
        Event::Payment(event) => of_payment(event),
        Event::Stock(event) => of_stock(event),
        Event::Reservation(event) => of_reservation(event),
        Event::Reference(_) => "external reference taken".into(),
        Event::Outcome(outcome::Event::Settled(it)) => match &it.verdict {
            outcome::Verdict::Refused { code, message, .. } => {
                format!("command refused ({code}): {message}")
            }
            outcome::Verdict::NothingToDo => "command had nothing to do".into(),
        },
        Event::Import(event) => of_import(event),
        Event::Saga(event) => of_saga(event),
        Event::Record(record::Event::SetAside(it)) => {
            format!("record of version {} ({}) set aside, it could not be read", it.version, it.kind)
        }
    }
}

fn of_order(event: &order::Event) -> String {
    use order::Event as E;
    match event {
        E::Placed(it) => {
            let units: u64 = it.lines.iter().map(|line| u64::from(line.qty)).sum();
            format!(
                "placed through {}: {} lines, {units} units, {} {} in all",
                it.channel,
                it.lines.len(),
                it.totals.total,
                it.currency
            )
        }
        E::Confirmed(it) => format!("confirmed, {} authorised", it.authorised),
        E::Rejected(it) => format!("rejected: {}", word(&it.reason)),
        E::Completed(_) => "completed".into(),
        E::Edited(it) => format!("edited: {} changes, balance {:+}", it.changes.len(), it.balance_change),
        E::LinesReserved(it) => format!("{} units reserved", sum(it.lines.iter().map(|line| line.qty))),
        E::LinesBackordered(it) => format!("{} units on backorder", sum(it.lines.iter().map(|line| line.qty))),
        E::LinesUnreserved(it) => format!("{} units no longer reserved", sum(it.lines.iter().map(|line| line.qty))),
        E::LinesCancelled(it) => format!(
            "{} units cancelled, worth {}{}",
            sum(it.lines.iter().map(|line| line.qty)),
            it.amount,
            if it.whole { "; nothing of the order is left" } else { "" }
        ),
        E::CancellationClosed(_) => "cancellation closed: its goods are released".into(),
        E::Cancelled(_) => "cancelled".into(),
        E::HoldPlaced(_) => "put on hold".into(),
        E::HoldReleased(it) => format!("hold released: {}", it.resolution),
        E::ShippingAddressChanged(_) => "shipping address changed".into(),
        E::NoteAdded(it) => format!("note added ({})", word(&it.visibility)),
        E::TagsSet(it) => format!("tags set: {}", it.tags.join(", ")),
        E::ShipmentRequested(it) => format!(
            "shipment requested: {} units from {}, {} to capture",
            sum(it.lines.iter().map(|line| line.qty)),
            it.location,
            it.to_capture
        ),
        E::ShipmentDispatched(_) => "shipment dispatched".into(),
        E::ShipmentRefused(_) => "shipment refused".into(),
        E::TrackingUpdated(it) => format!("tracking: {}", it.tracking.as_deref().unwrap_or("none")),
        E::ShipmentDelivered(it) => format!("{} units delivered", sum(it.lines.iter().map(|line| line.qty))),
        E::ShipmentLost(it) => format!("{} units lost", sum(it.lines.iter().map(|line| line.qty))),
        E::ReturnRequested(it) => format!("return of {} units announced", sum(it.lines.iter().map(|line| line.qty))),
        E::ReturnDeclined(_) => "return declined".into(),
        E::ReturnReceived(it) => {
            let of = |wanted| sum(it.lines.iter().filter(|line| line.disposition == wanted).map(|line| line.qty));
            format!(
                "return received: {} units restocked, {} damaged, {} missing; {} owed",
                of(Disposition::Restock),
                of(Disposition::Damaged),
                of(Disposition::Missing),
                it.refund.iter().map(|line| line.amount).sum::<i64>()
            )
        }
        E::ShipmentWithdrawn(_) => "shipment withdrawn".into(),
        E::LossDecided(it) => {
            let units = sum(it.lines.iter().map(|line| line.qty));
            match it.then {
                AfterLoss::Resend => format!("{units} lost units are sent again by another order"),
                AfterLoss::Refund | AfterLoss::Later => {
                    format!(
                        "{units} lost units, worth {}, are refunded",
                        it.lines.iter().map(|line| line.amount).sum::<i64>()
                    )
                }
            }
        }
        E::ShipmentFound(it) => format!("{} lost units were found", sum(it.lines.iter().map(|line| line.qty))),
        E::StockWanted(it) => {
            format!("{} units requested from stock again", sum(it.reserve.iter().map(|line| line.qty)))
        }
        E::RefundGranted(it) => format!("refund of {} granted", it.amount),
        E::RefundDeclined(it) => format!("refund not paid by the provider: {}", it.code),
        E::RefundPaid(_) => "refund paid by hand".into(),
        E::RefundWithdrawn(_) => "refund withdrawn".into(),
        E::PaymentAdded(it) => match it.means {
            Means::External { .. } => format!("{} paid another way", it.amount),
            Means::Provider { .. } => format!("a further payment of {} requested", it.amount),
        },
        E::PaymentReleased(_) => "a payment voided manually".into(),
        E::SurplusReleased(it) => {
            format!("surplus released: {} kept on hold", it.keep.iter().map(|share| share.amount).sum::<i64>())
        }
        E::PaymentRecorded(it) => format!(
            "payment {}: {} authorised, {} captured, {} refunded",
            word(&it.status),
            it.authorised,
            it.captured,
            it.refunded
        ),
    }
}

fn of_payment(event: &payment::Event) -> String {
    use payment::Event as E;
    match event {
        E::AuthorisationRequested(it) => {
            format!("authorisation of {} {} requested (attempt {})", it.amount.amount, it.amount.currency, it.attempt)
        }
        E::Authorised(it) => format!("{} authorised", it.amount),
        E::Declined(it) => format!("declined: {}", it.code),
        E::AuthorisationEnding(it) => format!("authorisation ends at {}", it.capture_before),
        E::AuthorisationExpired(it) => format!("authorisation expired, {} free again", it.amount),
        E::OutcomeUnknown(it) => {
            format!("the provider did not say whether it did {} (attempt {})", verb(&it.verb), it.attempt)
        }
        E::CaptureRequested(it) => format!("capture of {} requested", it.amount),
        E::Captured(it) => format!("{} captured", it.amount),
        E::CaptureFailed(it) => format!("capture failed: {}", it.code),
        E::RemainderReleased(it) => format!("{} released by the only capture", it.amount),
        E::VoidWanted(_) => "void pending until the request at the provider is settled".into(),
        E::VoidRequested(it) => format!("void of {} requested", it.amount),
        E::Voided(it) => format!("{} voided", it.amount),
        E::VoidFailed(it) => format!("void failed: {}", it.code),
        E::RaiseRequested(it) => format!("raise of the authorisation by {} requested", it.amount),
        E::AuthorisationRaised(it) => format!("{} more authorised", it.amount),
        E::RaiseFailed(it) => format!("raise failed: {}", it.code),
        E::RefundRequested(it) => format!("refund of {} requested", it.amount),
        E::RefundSettled(it) => format!("{} refunded", it.amount),
        E::RefundFailed(it) => format!("refund failed: {}", it.code),
        E::OutcomeResolved(it) => format!("{} is known to be {}: {}", verb(&it.verb), word(&it.verdict), it.evidence),
    }
}

fn verb(verb: &payment::event::Verb) -> &'static str {
    match verb {
        payment::event::Verb::Authorise => "authorise",
        payment::event::Verb::Capture { .. } => "capture",
        payment::event::Verb::Void => "void",
        payment::event::Verb::Raise { .. } => "raise",
        payment::event::Verb::Refund { .. } => "refund",
    }
}

fn of_stock(event: &stock::Event) -> String {
    use stock::Event as E;
    match event {
        E::Registered(it) => format!(
            "{} kept at {}: safety stock {}, backorder limit {}",
            it.sku, it.location, it.safety_stock, it.backorder_limit
        ),
        E::Received(it) => format!("{} units received", it.qty),
        E::Reserved(it) => format!("{} units reserved", it.qty),
        E::Backordered(it) => format!("{} units on backorder", it.qty),
        E::ReservationExtended(it) => format!("reservation extended until {}", it.expires_at),
        E::ReservationReleased(it) => format!("{} reserved and {} backordered units released", it.qty, it.backordered),
        E::ReservationExpired(it) => {
            format!("reservation expired: {} reserved and {} backordered units released", it.qty, it.backordered)
        }
        E::Shipped(it) => format!("{} units left", it.qty),
        E::ShipmentPutBack(it) if it.qty == 0 => "the shipment's units will not leave".into(),
        E::ShipmentPutBack(it) if it.released => format!("{} units are back in stock", it.qty),
        E::ShipmentPutBack(it) => format!("{} units are back in stock and reserved again", it.qty),
        E::ReservationDeferred(it) => format!("{} reserved units wait for stock again", it.qty),
        E::ReservationOrdered(it) => {
            format!("{} units taken over from reservation {}, {} released", it.qty, it.reservation_id, it.freed)
        }
        E::Returned(it) => format!("{} units returned", it.qty),
        E::WrittenOff(it) => format!("{} units written off", it.qty),
        E::Adjusted(it) => format!("adjusted by {:+}", it.delta),
        E::Counted(it) => format!("{} counted, {:+} against the book", it.counted, it.difference),
        E::BackorderAllocated(it) => format!("{} backordered units are now reserved", it.qty),
    }
}

fn of_reservation(event: &reservation::Event) -> String {
    match event {
        reservation::Event::Opened(it) => {
            format!("reservation of {} units until {}", sum(it.items.iter().map(|item| item.qty)), it.expires_at)
        }
        reservation::Event::Prolonged(it) => {
            format!("reservation prolonged until {}", it.expires_at)
        }
        reservation::Event::Closed(it) => match it.end {
            reservation::End::Ordered { order_id } => format!("reservation taken over by order {order_id}"),
            end => format!("reservation {}", end.name()),
        },
    }
}

fn of_import(event: &import::Event) -> String {
    match event {
        import::Event::Started(it) => format!("import of {} started", it.source),
        import::Event::RowsRefused(it) => format!("{} rows refused", it.rows.len()),
        import::Event::CreditRecorded(it) => {
            format!("credit {} of {} units of {} matches no sale", it.invoice, it.qty, it.sku)
        }
        import::Event::Finished(_) => "import finished".into(),
    }
}

/// What a decision says, in order.
fn of_saga(decision: &saga::Decision) -> String {
    let facts: Vec<_> = decision.facts.iter().map(of_fact).collect();
    facts.join("; ")
}

fn of_fact(fact: &saga::Fact) -> String {
    use saga::Fact as E;
    match fact {
        E::Started(it) => format!("{} started", it.kind),
        E::StepAsked(it) => format!("asked to {}{} (attempt {})", undo(it.direction), it.step, it.attempt),
        E::StepAnswered(it) => {
            let came = match &it.outcome {
                saga::event::StepOutcome::Done { .. } => "done".to_owned(),
                saga::event::StepOutcome::NotDone { code, .. } => format!("not done ({code})"),
                saga::event::StepOutcome::Unknown { detail } => format!("unknown ({detail})"),
            };
            format!("{}{}: {came}", undo(it.direction), it.step)
        }
        E::Unwinding(_) => "compensating the earlier steps".into(),
        E::Noted(it) => format!("noted: {}", it.note),
        E::TimerSet(it) => format!("timer {} set for {}", it.timer, it.due_at),
        E::TimerCancelled(it) => format!("timer {} cancelled", it.timer),
        E::TimerFired(it) => format!("timer {} fired", it.timer),
        E::Parked(it) => format!("parked: {}", it.detail),
        E::Resumed(_) => "resumed".into(),
        E::Ended(it) => format!("ended: {}{}", it.outcome, if it.undone { ", undone" } else { "" }),
    }
}

fn undo(direction: saga::event::Direction) -> &'static str {
    match direction {
        saga::event::Direction::Do => "",
        saga::event::Direction::Undo => "undo ",
    }
}

/// Why it happened, where the event says so.
#[must_use]
pub fn reason(event: &Event) -> Option<String> {
    use order::Event as O;
    match event {
        Event::Order(O::Rejected(it)) => Some(it.detail.clone().unwrap_or_else(|| word(&it.reason))),
        Event::Order(O::Edited(it)) => Some(it.reason.clone()),
        Event::Order(O::LinesUnreserved(it)) => Some(it.reason.clone()),
        Event::Order(O::LinesCancelled(it)) => Some(it.reason.clone()),
        Event::Order(O::Cancelled(it)) => Some(it.reason.clone()),
        Event::Order(O::HoldPlaced(it)) => Some(it.reason.clone()),
        Event::Order(O::HoldReleased(it)) => Some(it.resolution.clone()),
        Event::Order(O::ShipmentRefused(it)) => Some(it.reason.clone()),
        Event::Order(O::ReturnRequested(it)) => it.lines.first().map(|line| line.reason.clone()),
        Event::Order(O::ReturnDeclined(it)) => Some(it.reason.clone()),
        Event::Order(O::RefundGranted(it)) => Some(it.reason.clone()),
        Event::Payment(payment::Event::Declined(it)) => Some(it.code.clone()),
        Event::Payment(payment::Event::OutcomeUnknown(it)) => it.detail.clone(),
        Event::Payment(payment::Event::CaptureFailed(it)) => Some(it.code.clone()),
        Event::Payment(payment::Event::VoidFailed(it)) => Some(it.code.clone()),
        Event::Payment(payment::Event::RaiseFailed(it)) => Some(it.code.clone()),
        Event::Payment(payment::Event::RefundRequested(it)) => Some(it.reason.clone()),
        Event::Payment(payment::Event::RefundFailed(it)) => Some(it.code.clone()),
        Event::Payment(payment::Event::OutcomeResolved(it)) => Some(it.evidence.clone()),
        Event::Stock(stock::Event::ReservationReleased(it)) => Some(it.reason.clone()),
        Event::Stock(stock::Event::ReservationDeferred(it)) => Some(it.reason.clone()),
        Event::Stock(stock::Event::WrittenOff(it)) => Some(it.reason.clone()),
        Event::Stock(stock::Event::Adjusted(it)) => Some(it.reason.clone()),
        Event::Outcome(outcome::Event::Settled(outcome::Settled {
            verdict: outcome::Verdict::Refused { code, .. },
            ..
        })) => Some(code.clone()),
        Event::Saga(decision) => decision.facts.iter().find_map(|fact| match fact {
            saga::Fact::Unwinding(it) => Some(it.reason.clone()),
            saga::Fact::Parked(it) => Some(it.reason.clone()),
            saga::Fact::Resumed(it) => Some(it.reason.clone()),
            _ => None,
        }),
        Event::Record(record::Event::SetAside(it)) => Some(it.reason.clone()),
        Event::Order(_) | Event::Payment(_) | Event::Stock(_) => None,
        Event::Outcome(_) | Event::Reservation(_) | Event::Reference(_) | Event::Import(_) => None,
    }
}

fn sum(units: impl Iterator<Item = u32>) -> u64 {
    units.map(u64::from).sum()
}
