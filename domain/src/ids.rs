//! One type for each kind of id, so that no two are mixed up. Ids come in from outside; none is made here at random.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// An order.
    OrderId,
    /// A payment.
    PaymentId,
    /// A reservation of stock, over one SKU or many.
    ReservationId,
    /// A shipment of an order.
    ShipmentId,
    /// A return of an order.
    ReturnId,
    /// A refund.
    RefundId,
    /// A capture of authorised money.
    CaptureId,
    /// A hold on an order.
    HoldId,
    /// An edit of an order.
    EditId,
    /// A cancellation of an order or of some of its lines.
    CancellationId,
    /// A note on an order.
    NoteId,
    /// A bulk run.
    ImportId,
}

/// An id that is made from another, the same one each time: version 5 of the parent and the name of what is made.
#[must_use]
pub fn derived(parent: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&parent, name.as_bytes())
}

/// An id of something that callers name within an order, unique across orders: `kind` and `id` scoped by the order. `what` tells apart
/// what one of them makes (`""` for itself). Equal ids on two orders, and an id that equals that of the order, never meet.
#[must_use]
pub fn within(order_id: OrderId, kind: &str, id: Uuid, what: &str) -> Uuid {
    let slash = if what.is_empty() { "" } else { "/" };
    derived(order_id.0, &format!("{kind}/{id}{slash}{what}"))
}

/// A line of an order, numbered from 1 within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LineId(pub u32);

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that is empty, too long, or holds a control character.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} has 1 to {longest} characters, none of them a control character, and no space at either end")]
pub struct BadName {
    what: &'static str,
    longest: usize,
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident ($what:literal, $longest:literal $(, $fold:ident)?)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest that it can be, in characters.
            pub const LONGEST: usize = $longest;

            /// Takes a text that fits.
            ///
            /// # Errors
            /// If it is empty, too long, begins or ends with a space, or holds a control character.
            pub fn try_new(text: impl Into<String>) -> Result<Self, BadName> {
                let text: String = text.into();
                let fits = !text.is_empty()
                    && text.chars().count() <= $longest
                    && !text.chars().any(char::is_control)
                    && text.trim().len() == text.len();
                if !fits {
                    return Err(BadName { what: $what, longest: $longest });
                }
                $(let text = text.$fold();)?
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::try_new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                Self::try_new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )+};
}

text_id! {
    /// Whose data it is.
    Tenant("tenant", 64),
    /// A stock keeping unit; letter case does not tell two apart, so it is kept in upper case.
    Sku("SKU", 64, to_uppercase),
    /// Where stock is kept.
    LocationId("location", 64),
    /// Where an order comes from: a web shop, a marketplace, an import.
    Channel("channel", 64),
    /// The order's number in the channel that it comes from.
    ExternalRef("external reference", 128),
    /// The customer's id at the caller's; no name and no address.
    CustomerRef("customer reference", 128),
}
