//! The kinds of sagas: which event starts which kind, and how a started saga is read again. A saga of an unknown kind
//! is left unchanged.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::event::Started;
use super::process::{Origin, PaymentSeen, Process};
use super::{
    addition, allocation, amendment, cancellation, checkout, fulfilment, hold, posting, refund, reservation, returns,
    surplus,
};
use crate::Event;
use crate::ids::OrderId;
use crate::order;
use crate::order::state::Placed;

/// Why a saga cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unloadable {
    /// Its first event is not its start.
    #[error("the saga's first event is not its start")]
    NotStarted,
    /// A process of another version of this program.
    #[error("the saga is a {kind} of definition {definition}, which this program does not know")]
    Unknown {
        /// Which process.
        kind: String,
        /// Which version of it.
        definition: u32,
    },
    /// An input that does not fit.
    #[error("the input of the {kind} cannot be read: {problem}")]
    Input {
        /// Which process.
        kind: String,
        /// What does not fit.
        problem: String,
    },
}

/// The process of a started saga.
pub(super) fn process(started: &Started) -> Result<Arc<dyn Process>, Unloadable> {
    match (started.kind.as_str(), started.definition) {
        (checkout::KIND, checkout::DEFINITION) => read::<checkout::Input>(started),
        (fulfilment::KIND, fulfilment::DEFINITION) => read::<fulfilment::Input>(started),
        (cancellation::KIND, cancellation::DEFINITION) => read::<cancellation::Input>(started),
        (returns::KIND, returns::DEFINITION) => read::<returns::Input>(started),
        (refund::KIND, refund::DEFINITION) => read::<refund::Input>(started),
        (allocation::KIND, allocation::DEFINITION) => read::<allocation::Input>(started),
        (amendment::KIND, amendment::DEFINITION) => read::<amendment::Input>(started),
        (addition::KIND, addition::DEFINITION) => read::<addition::Input>(started),
        (surplus::KIND, surplus::DEFINITION) => read::<surplus::Input>(started),
        (posting::KIND, posting::DEFINITION) => read::<posting::Input>(started),
        (reservation::KIND, reservation::DEFINITION) => read::<reservation::Input>(started),
        (hold::KIND, hold::DEFINITION) => read::<hold::Input>(started),
        _ => Err(Unloadable::Unknown { kind: started.kind.clone(), definition: started.definition }),
    }
}

fn read<P: Process + DeserializeOwned + 'static>(started: &Started) -> Result<Arc<dyn Process>, Unloadable> {
    match P::deserialize(&started.input) {
        Ok(process) => Ok(Arc::new(process)),
        Err(error) => Err(Unloadable::Input { kind: started.kind.clone(), problem: error.to_string() }),
    }
}

/// Whether processes of a kind move goods or money. While one that does is on its way, an order, its payment and its stock need not agree.
#[must_use]
pub fn moves(kind: &str) -> bool {
    kind != hold::KIND
}

/// What has to be known to start a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The event says all.
    Nothing,
    /// The order of the event, right after it.
    Order(OrderId),
    /// The payment of the event, after all that was recorded with it.
    Payment,
}

/// Whether an event may start a saga, and what has to be known for that. `stream` is the id of the event's stream.
#[must_use]
pub fn may_start(stream: &str, event: &Event) -> Option<Needs> {
    match event {
        Event::Order(event) => match event {
            order::Event::Placed(_) => Some(Needs::Nothing),
            order::Event::HoldPlaced(placed) => placed.until.map(|_| Needs::Nothing),
            order::Event::ShipmentRequested(_)
            | order::Event::LinesCancelled(_)
            | order::Event::ReturnReceived(_)
            | order::Event::RefundGranted(_)
            | order::Event::PaymentAdded(_)
            | order::Event::SurplusReleased(_)
            | order::Event::StockWanted(_)
            | order::Event::Edited(_) => stream.parse().ok().map(Needs::Order),
            _ => None,
        },
        Event::Payment(event) => posting::happened(event).map(|_| Needs::Payment),
        Event::Stock(crate::stock::Event::BackorderAllocated(_))
        | Event::Reservation(crate::reservation::Event::Opened(_)) => Some(Needs::Nothing),
        _ => None,
    }
}

/// The sagas that an event starts. `order` is the order right after the event, `payment` the payment after all that was recorded with it.
#[must_use]
pub fn start(origin: &Origin<'_>, order: Option<&Placed>, payment: Option<&PaymentSeen>) -> Vec<Started> {
    let one = match (origin.event, order) {
        (Event::Order(order::Event::Placed(_)), _) => checkout::start(origin),
        (Event::Order(order::Event::HoldPlaced(_)), _) => hold::start(origin),
        (Event::Order(event), Some(order)) => match event {
            order::Event::ShipmentRequested(_) => fulfilment::start(origin, order),
            order::Event::LinesCancelled(_) => cancellation::start(origin, order),
            order::Event::ReturnReceived(_) => returns::start(origin, order),
            order::Event::Edited(_) | order::Event::StockWanted(_) => amendment::start(origin, order),
            order::Event::PaymentAdded(_) => addition::start(origin, order),
            order::Event::RefundGranted(_) => return refund::start(origin, order),
            order::Event::SurplusReleased(_) => return surplus::start(origin, order),
            _ => None,
        },
        (Event::Payment(_), _) => posting::start(origin, payment),
        (Event::Stock(_), _) => allocation::start(origin),
        (Event::Reservation(_), _) => reservation::start(origin),
        _ => None,
    };
    one.into_iter().collect()
}
