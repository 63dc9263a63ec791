//! A command to a service, as a saga sends it: which streams, and what of each. One command is one batch.

use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, OrderId, PaymentId, ReservationId, Sku};
use crate::{order, payment, reservation, stock};

/// A command to one of the services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// To ordering.
    Order {
        /// The order.
        order_id: OrderId,
        /// What of it.
        command: order::Command,
    },
    /// To payments.
    Payment {
        /// The payment.
        payment_id: PaymentId,
        /// What of it.
        command: payment::Command,
    },
    /// To payments: take money that is held, where the order lets it be taken. Asked of both in one batch, so that no capture slips past a hold.
    Capture {
        /// The order.
        order_id: OrderId,
        /// The payment.
        payment_id: PaymentId,
        /// The capture.
        command: payment::Command,
    },
    /// To inventory: all of them or none.
    Inventory {
        /// For a reservation without an order, the command to its own stream.
        reservation: Option<(ReservationId, reservation::Command)>,
        /// The commands to the stock streams; each location and SKU once.
        stock: Vec<StockCommand>,
    },
}

/// A command to the stock of a SKU at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommand {
    /// Where.
    pub location: LocationId,
    /// The SKU.
    pub sku: Sku,
    /// What of it.
    pub command: stock::Command,
}

/// The services that commands go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Service {
    /// Orders.
    Ordering,
    /// Stock and reservations.
    Inventory,
    /// Payments.
    Payments,
}

impl Command {
    /// Which service it goes to.
    #[must_use]
    pub fn service(&self) -> Service {
        match self {
            Self::Order { .. } => Service::Ordering,
            Self::Payment { .. } | Self::Capture { .. } => Service::Payments,
            Self::Inventory { .. } => Service::Inventory,
        }
    }
}
