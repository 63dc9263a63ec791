//! The names of the streams: `{category}-{id}`. The one place that makes them.

use uuid::Uuid;

use crate::ids::{
    Channel, ExternalRef, ImportId, LocationId, OrderId, PaymentId, ReservationId, ReturnId, ShipmentId, Sku,
};

/// A stream's name within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName {
    /// What kind of stream.
    pub category: &'static str,
    /// Which one of that kind.
    pub id: String,
}

/// Orders.
pub const ORDER: &str = "order";
/// Payments.
pub const PAYMENT: &str = "payment";
/// Stock of a SKU at a location.
pub const STOCK: &str = "stock";
/// Reservations that no order asked for.
pub const RESERVATION: &str = "reservation";
/// Sagas.
pub const SAGA: &str = "saga";
/// Names that lead to an order: external references, ids of shipments and returns.
pub const REFERENCE: &str = "ref";
/// Outcomes of commands that changed nothing.
pub const OUTCOME: &str = "outcome";
/// Bulk runs.
pub const IMPORT: &str = "import";

/// An order's stream.
#[must_use]
pub fn order(id: OrderId) -> StreamName {
    StreamName { category: ORDER, id: id.to_string() }
}

/// A payment's stream.
#[must_use]
pub fn payment(id: PaymentId) -> StreamName {
    StreamName { category: PAYMENT, id: id.to_string() }
}

/// The stream of a SKU's stock at a location.
#[must_use]
pub fn stock(location: &LocationId, sku: &Sku) -> StreamName {
    StreamName { category: STOCK, id: format!("{}/{}", escape(location.as_str()), escape(sku.as_str())) }
}

/// The location and the SKU that a stock stream's id names; `None` if it names none.
#[must_use]
pub fn parse_stock(id: &str) -> Option<(LocationId, Sku)> {
    let (location, sku) = id.split_once('/')?;
    Some((LocationId::stored(unescape(location)?).ok()?, Sku::stored(unescape(sku)?).ok()?))
}

/// A standalone reservation's stream.
#[must_use]
pub fn reservation(id: ReservationId) -> StreamName {
    StreamName { category: RESERVATION, id: id.to_string() }
}

/// A saga's stream.
#[must_use]
pub fn saga(kind: &str, subject: Uuid) -> StreamName {
    StreamName { category: SAGA, id: format!("{kind}-{subject}") }
}

/// The stream that takes an external reference.
#[must_use]
pub fn reference(channel: &Channel, external_ref: &ExternalRef) -> StreamName {
    StreamName { category: REFERENCE, id: format!("{}-{}", escape(channel.as_str()), escape(external_ref.as_str())) }
}

/// The stream that leads from a shipment to its order. The slash, which is escaped in every channel, keeps it apart from external references.
#[must_use]
pub fn shipment(id: ShipmentId) -> StreamName {
    StreamName { category: REFERENCE, id: format!("shipment/{id}") }
}

/// The stream that leads from a return to its order.
#[must_use]
pub fn returned(id: ReturnId) -> StreamName {
    StreamName { category: REFERENCE, id: format!("return/{id}") }
}

/// The stream of a command that changed nothing.
#[must_use]
pub fn outcome(command_id: Uuid) -> StreamName {
    StreamName { category: OUTCOME, id: command_id.to_string() }
}

/// A bulk run's stream.
#[must_use]
pub fn import(id: ImportId) -> StreamName {
    StreamName { category: IMPORT, id: id.to_string() }
}

/// Escapes what separates the parts of an id: `%`, `/` and `-` as `%` and two hexadecimal digits.
fn escape(part: &str) -> String {
    part.replace('%', "%25").replace('/', "%2F").replace('-', "%2D")
}

fn unescape(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        text.push(match rest.get(at + 1..at + 3)? {
            "25" => '%',
            "2F" => '/',
            "2D" => '-',
            _ => return None,
        });
        rest = &rest[at + 3..];
    }
    text.push_str(rest);
    Some(text)
}

#[test]
fn a_stock_streams_id_tells_its_parts_again() {
    let location = LocationId::try_new("north/2%-a").expect("fits");
    let sku = Sku::try_new("a-1/b%2F").expect("fits");
    assert_eq!(parse_stock(&stock(&location, &sku).id), Some((location, sku)));
    assert_eq!(parse_stock("no-slash"), None);
}

#[test]
fn the_longest_names_make_stream_ids_that_the_log_takes() {
    // The log's bound is 2,048 bytes, that of the databases' index entries a little above.
    for letter in ["%", "\u{10400}"] {
        let location = LocationId::try_new(letter.repeat(LocationId::LONGEST)).expect("fits");
        let sku = Sku::try_new(letter.repeat(Sku::LONGEST)).expect("fits");
        let channel = Channel::try_new(letter.repeat(Channel::LONGEST)).expect("fits");
        let external_ref = ExternalRef::try_new(letter.repeat(ExternalRef::LONGEST)).expect("fits");
        for id in [stock(&location, &sku).id, reference(&channel, &external_ref).id] {
            assert!(id.len() <= 1_024, "{} bytes: {id}", id.len());
        }
        assert_eq!(parse_stock(&stock(&location, &sku).id), Some((location, sku)));
    }
}
