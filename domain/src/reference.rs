//! An external reference, taken once per channel, for ever: the stream exists or it does not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Class};
use crate::ids::OrderId;
use crate::stream;

/// `ReferenceClaimed`: it belongs to this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claimed {
    /// The order.
    pub order_id: OrderId,
}

/// A fact about an external reference.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Claimed(Claimed),
}

/// Take it for this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The order.
    pub order_id: OrderId,
}

/// Why it cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// Another order has it.
    #[error("the external reference belongs to order {order_id}")]
    DuplicateExternalRef {
        /// That order.
        order_id: OrderId,
    },
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        "duplicate-external-ref"
    }

    fn class(&self) -> Class {
        Class::Conflict
    }
}

/// An external reference, and whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference(pub Option<OrderId>);

impl Aggregate for Reference {
    const CATEGORY: &'static str = stream::REFERENCE;
    const FOLD: u32 = 1;
    type Command = Claim;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Claim) -> Result<Vec<Event>, Refusal> {
        match self.0 {
            None => Ok(vec![Event::Claimed(Claimed {
                order_id: command.order_id,
            })]),
            Some(order_id) if order_id == command.order_id => Ok(vec![]),
            Some(order_id) => Err(Refusal::DuplicateExternalRef { order_id }),
        }
    }

    fn evolve(&mut self, event: &Event) {
        let Event::Claimed(claimed) = event;
        self.0 = Some(claimed.order_id);
    }
}
