//! The events of all aggregates.

use crate::{import, order, outcome, payment, record, reference, reservation, saga, stock};

/// An event of any aggregate or process.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its type")]
pub enum Event {
    Order(order::Event),
    Payment(payment::Event),
    Stock(stock::Event),
    Reservation(reservation::Event),
    Reference(reference::Event),
    Outcome(outcome::Event),
    Import(import::Event),
    Saga(saga::Decision),
    Record(record::Event),
}
