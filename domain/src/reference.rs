//! A name that leads to an order: its number in a channel, the id of a shipment or of a return. A name is taken once,
//! permanently, and never given to another order; only the number of a rejected order can be taken by the next one, and
//! then leads to that.

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

/// A fact about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Claimed(Claimed),
}

/// What kind of name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The order's number in a channel.
    ExternalRef,
    /// The id of a shipment.
    Shipment,
    /// The id of a return.
    Return,
}

/// A wish about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Take it for this order.
    Claim {
        /// The order.
        order_id: OrderId,
        /// What kind of name it is.
        kind: Kind,
    },
    /// Take an external reference for this order, after the one that has it was rejected. That it was is for the caller to know.
    Succeed {
        /// The order.
        order_id: OrderId,
        /// The one before.
        rejected: OrderId,
    },
    /// Say whether anything has it: refused if nothing does.
    Find,
}

/// Why it cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// Nothing has it.
    #[error("there is nothing of that id")]
    NotFound,
    /// Another order has the external reference.
    #[error("the external reference belongs to order {order_id}")]
    DuplicateExternalRef {
        /// That order.
        order_id: OrderId,
    },
    /// Another order has the id.
    #[error("the id belongs to order {order_id}: make another")]
    IdTaken {
        /// That order.
        order_id: OrderId,
    },
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::DuplicateExternalRef { .. } => "duplicate-external-ref",
            Self::IdTaken { .. } => "id-taken",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound => Class::Absent,
            Self::DuplicateExternalRef { .. } | Self::IdTaken { .. } => Class::Conflict,
        }
    }
}

/// A name, and whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference(pub Option<OrderId>);

impl Aggregate for Reference {
    const CATEGORY: &'static str = stream::REFERENCE;
    const FOLD: u32 = 1;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (self.0, *command) {
            (None, Command::Claim { order_id, .. }) => Ok(vec![Event::Claimed(Claimed { order_id })]),
            (None, Command::Find) => Err(Refusal::NotFound),

            (None, Command::Succeed { .. }) => Err(Refusal::NotFound),

            (Some(_), Command::Find) => Ok(vec![]),
            (Some(owner), Command::Succeed { order_id, .. }) if owner == order_id => Ok(vec![]),
            (Some(owner), Command::Succeed { order_id, rejected }) if owner == rejected => {
                Ok(vec![Event::Claimed(Claimed { order_id })])
            }
            (Some(order_id), Command::Succeed { .. }) => Err(Refusal::DuplicateExternalRef { order_id }),
            (Some(owner), Command::Claim { order_id, .. }) if owner == order_id => Ok(vec![]),
            (Some(order_id), Command::Claim { kind, .. }) => Err(match kind {
                Kind::ExternalRef => Refusal::DuplicateExternalRef { order_id },
                Kind::Shipment | Kind::Return => Refusal::IdTaken { order_id },
            }),
        }
    }

    fn evolve(&mut self, event: &Event) {
        let Event::Claimed(claimed) = event;
        self.0 = Some(claimed.order_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: OrderId = OrderId(uuid::Uuid::from_u128(1));
    const THIRD: OrderId = OrderId(uuid::Uuid::from_u128(3));
    const OTHER: OrderId = OrderId(uuid::Uuid::from_u128(2));

    fn claim(order_id: OrderId, kind: Kind) -> Command {
        Command::Claim { order_id, kind }
    }

    #[test]
    fn a_name_is_taken_once_and_for_one_order() {
        let mut name = Reference::default();
        assert_eq!(name.decide(&Command::Find), Err(Refusal::NotFound));
        for event in name.decide(&claim(ONE, Kind::Shipment)).expect("free") {
            name.evolve(&event);
        }
        assert_eq!(name, Reference(Some(ONE)));
        assert_eq!(name.decide(&claim(ONE, Kind::Shipment)), Ok(vec![]));
        assert_eq!(name.decide(&Command::Find), Ok(vec![]));
        assert_eq!(name.decide(&claim(OTHER, Kind::Shipment)), Err(Refusal::IdTaken { order_id: ONE }));
        assert_eq!(name.decide(&claim(OTHER, Kind::ExternalRef)), Err(Refusal::DuplicateExternalRef { order_id: ONE }));
    }

    #[test]
    fn the_number_of_a_rejected_order_goes_to_the_next_one_and_leads_to_it() {
        let succeed = |order_id, rejected| Command::Succeed { order_id, rejected };
        let mut name = Reference(Some(ONE));
        assert_eq!(Reference::default().decide(&succeed(OTHER, ONE)), Err(Refusal::NotFound));
        for event in name.decide(&succeed(OTHER, ONE)).expect("the one before was rejected") {
            name.evolve(&event);
        }
        assert_eq!(name, Reference(Some(OTHER)));
        assert_eq!(name.decide(&succeed(OTHER, ONE)), Ok(vec![]));
        assert_eq!(name.decide(&succeed(THIRD, ONE)), Err(Refusal::DuplicateExternalRef { order_id: OTHER }));
        assert_eq!(name.decide(&succeed(ONE, ONE)), Err(Refusal::DuplicateExternalRef { order_id: OTHER }));
    }
}
