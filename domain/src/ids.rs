//! One type for each kind of id, so that no two are mixed up. Ids come in from outside; none is made here at random.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::text::{self, BadText, Case};

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

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
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
    /// A raise of an authorisation.
    RaiseId,
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

/// The version of the ids that Daybook derives (RFC 9562, 5.8: a custom id). Callers use ids of any other version,
/// including version 5, with which integrations derive theirs.
pub const DERIVED: usize = 8;

/// An id that is derived from another, the same one each time: the hash of version 5 over the parent and the name of
/// the new thing, marked as version 8. Sagas derive their ids in this way, so callers may not use an id of that version
/// for a reservation, refund, cancellation, capture, note or adjustment.
#[must_use]
pub fn derived(parent: Uuid, name: &str) -> Uuid {
    let hashed = Uuid::new_v5(&parent, name.as_bytes());
    uuid::Builder::from_bytes(hashed.into_bytes()).with_version(uuid::Version::Custom).into_uuid()
}

/// A fingerprint of the content of a request under an id: equal only for the same content under the same id.
pub(crate) fn fingerprint(id: Uuid, asked: &impl Serialize) -> Uuid {
    // Commands always have a JSON form.
    Uuid::new_v5(&id, &serde_json::to_vec(asked).unwrap_or_default())
}

/// The id of something that callers name within an order, unique across orders: `kind` and `id`, scoped by the order.
/// `what` distinguishes several things derived from it (`""` for itself). Equal ids on two orders, and an id that
/// equals that of the order, never collide.
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

/// A text that is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {fault}")]
pub struct BadName {
    what: &'static str,
    fault: BadText,
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident ($what:literal, $longest:literal, $case:ident)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        pub struct $name(String);

        impl $name {
            /// The longest that it can be, in characters.
            pub const LONGEST: usize = $longest;

            /// Accepts a text from outside: normalises it, then checks the result. See [`crate::text`].
            ///
            /// # Errors
            /// If it is empty, too long, begins or ends with a space, or has a character that is not allowed in a name.
            pub fn try_new(text: impl AsRef<str>) -> Result<Self, BadName> {
                let name = text::name(text.as_ref(), $longest, Case::$case);
                name.map(Self).map_err(|fault| BadName { what: $what, fault })
            }

            /// Accepts a stored text: a name that was valid when it was written stays valid. Only its size is bounded,
            /// and every result of [`Self::try_new`] is within the bound.
            ///
            /// # Errors
            /// If it is empty or larger than any name.
            pub fn stored(text: impl Into<String>) -> Result<Self, BadName> {
                let text: String = text.into();
                if (1..=$longest * char::MAX.len_utf8()).contains(&text.len()) {
                    return Ok(Self(text));
                }
                Err(BadName { what: $what, fault: BadText::Length { least: 1, longest: $longest } })
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

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        /// Reads a stored name; for input from outside see [`crate::text::Entered`].
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::stored(String::deserialize(deserializer)?).map_err(de::Error::custom)
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
    Tenant("tenant", 64, Kept),
    /// A stock keeping unit; two that differ only in letter case are the same, so it is stored in upper case.
    Sku("SKU", 64, Upper),
    /// Where stock is kept.
    LocationId("location", 64, Lower),
    /// Where an order comes from: a web shop, a marketplace, an import.
    Channel("channel", 64, Kept),
    /// The order's number in the channel that it comes from.
    ExternalRef("external reference", 128, Kept),
    /// The customer's id at the caller's; no name and no address.
    CustomerRef("customer reference", 128, Kept),
}
