//! Names that a command to an order takes, in the same batch: its external reference, the ids of its shipments and returns. Every plan
//! of a command to an order is made here; one made elsewhere could take a name twice.

use domain::ids::OrderId;
use domain::order::{Command, Order};
use domain::reference::{self, Kind, Reference};
use domain::stream::{self, StreamName};

use crate::execute::Plan;

/// The plan of a command to an order; the order's state comes with the answer.
#[must_use]
pub fn order(order_id: OrderId, command: Command) -> Plan {
    let name = name(&command);
    let plan = Plan::new().and::<Order>(stream::order(order_id), command);
    claim(plan, order_id, name)
}

/// The plan of a command to an order that nobody needs to see.
#[must_use]
pub fn order_unseen(order_id: OrderId, command: Command) -> Plan {
    let name = name(&command);
    let plan = Plan::new().and_unseen::<Order>(stream::order(order_id), command);
    claim(plan, order_id, name)
}

fn name(command: &Command) -> Option<(StreamName, Kind)> {
    match command {
        Command::Place(place) => {
            place.external_ref.as_ref().map(|name| (stream::reference(&place.channel, name), Kind::ExternalRef))
        }
        Command::RequestShipment { shipment_id, .. } => Some((stream::shipment(*shipment_id), Kind::Shipment)),
        Command::RequestReturn { return_id, .. } => Some((stream::returned(*return_id), Kind::Return)),
        _ => None,
    }
}

fn claim(plan: Plan, order_id: OrderId, name: Option<(StreamName, Kind)>) -> Plan {
    match name {
        Some((name, kind)) => plan.and_unseen::<Reference>(name, reference::Command::Claim { order_id, kind }),
        None => plan,
    }
}
