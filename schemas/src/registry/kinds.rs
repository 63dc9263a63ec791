//! The table of each event's stored type name. A name that was ever written stays; the golden files guard its meaning.

use std::sync::{Arc, LazyLock};

use domain::{Event, import, order, outcome, payment, record, reference, reservation, saga, stock};
use schemars::schema_for;
use uuid::Uuid;

use super::{Encoded, Error, Kind, StoredEvent, read, unknown, write};

macro_rules! stored {
    ($list:ident: $module:ident as $wrap:ident { $($kind:literal => $variant:ident($payload:ty)),+ $(,)? } $($more:item)*) => {
        impl StoredEvent for $module::Event {
            const KINDS: &'static [&'static str] = &[$($kind),+];

            fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)+
                }
            }

            fn encode(&self) -> Result<Encoded, Error> {
                match self {
                    $(Self::$variant(payload) => {
                        static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from($kind));
                        write($kind, &NAME, payload)
                    })+
                }
            }

            fn decode(kind: &str, schema_version: u32, data: &[u8]) -> Result<Self, Error> {
                match kind {
                    $($kind => read($kind, schema_version, data).map(Self::$variant),)+
                    _ => Err(unknown(kind, schema_version)),
                }
            }

            fn of(event: &Event) -> Option<&Self> {
                match event {
                    Event::$wrap(event) => Some(event),
                    _ => None,
                }
            }

            fn event(&self) -> Event {
                Event::$wrap(self.clone())
            }

            $($more)*
        }

        fn $list() -> Vec<(&'static str, Kind)> {
            vec![$((
                $kind,
                Kind {
                    decode: |version, data| {
                        read($kind, version, data).map($module::Event::$variant).map(Event::$wrap)
                    },
                    schema: || schema_for!($payload),
                },
            )),+]
        }
    };
}

/// Every stored type.
pub(super) fn all() -> Vec<(&'static str, Kind)> {
    [orders(), payments(), stocks(), reservations(), references(), outcomes(), imports(), sagas(), records()]
        .into_iter()
        .flatten()
        .collect()
}

stored! {
    orders: order as Order {
        "OrderPlaced" => Placed(order::event::Placed),
        "OrderConfirmed" => Confirmed(order::event::Confirmed),
        "OrderRejected" => Rejected(order::event::Rejected),
        "OrderCompleted" => Completed(order::event::Completed),
        "OrderEdited" => Edited(order::event::Edited),
        "LinesReserved" => LinesReserved(order::event::LinesReserved),
        "LinesBackordered" => LinesBackordered(order::event::LinesBackordered),
        "LinesUnreserved" => LinesUnreserved(order::event::LinesUnreserved),
        "LinesCancelled" => LinesCancelled(order::event::LinesCancelled),
        "CancellationClosed" => CancellationClosed(order::event::CancellationClosed),
        "OrderCancelled" => Cancelled(order::event::Cancelled),
        "HoldPlaced" => HoldPlaced(order::event::HoldPlaced),
        "HoldReleased" => HoldReleased(order::event::HoldReleased),
        "ShippingAddressChanged" => ShippingAddressChanged(order::event::ShippingAddressChanged),
        "NoteAdded" => NoteAdded(order::event::NoteAdded),
        "TagsSet" => TagsSet(order::event::TagsSet),
        "ShipmentRequested" => ShipmentRequested(order::event::ShipmentRequested),
        "ShipmentDispatched" => ShipmentDispatched(order::event::ShipmentDispatched),
        "ShipmentRefused" => ShipmentRefused(order::event::ShipmentRefused),
        "TrackingUpdated" => TrackingUpdated(order::event::TrackingUpdated),
        "ShipmentDelivered" => ShipmentDelivered(order::event::ShipmentDelivered),
        "ShipmentLost" => ShipmentLost(order::event::ShipmentLost),
        "ReturnRequested" => ReturnRequested(order::event::ReturnRequested),
        "ReturnDeclined" => ReturnDeclined(order::event::ReturnDeclined),
        "ReturnReceived" => ReturnReceived(order::event::ReturnReceived),
        "RefundGranted" => RefundGranted(order::event::RefundGranted),
        "ShipmentWithdrawn" => ShipmentWithdrawn(order::event::ShipmentWithdrawn),
        "LossDecided" => LossDecided(order::event::LossDecided),
        "ShipmentFound" => ShipmentFound(order::event::ShipmentFound),
        "StockWanted" => StockWanted(order::event::StockWanted),
        "RefundDeclined" => RefundDeclined(order::event::RefundDeclined),
        "RefundPaid" => RefundPaid(order::event::RefundPaid),
        "RefundWithdrawn" => RefundWithdrawn(order::event::RefundWithdrawn),
        "PaymentAdded" => PaymentAdded(order::event::PaymentAdded),
        "PaymentReleased" => PaymentReleased(order::event::PaymentReleased),
        "SurplusReleased" => SurplusReleased(order::event::SurplusReleased),
        "PaymentRecorded" => PaymentRecorded(order::event::PaymentRecorded),
    }

    fn correlation(&self) -> Option<Uuid> {
        match self {
            // It may be placed together with what another order decides, and belongs to itself.
            Self::Placed(placed) => Some(placed.order_id.0),
            _ => None,
        }
    }
}

stored! {
    payments: payment as Payment {
        "AuthorisationRequested" => AuthorisationRequested(payment::event::AuthorisationRequested),
        "PaymentAuthorised" => Authorised(payment::event::Authorised),
        "PaymentDeclined" => Declined(payment::event::Declined),
        "AuthorisationEnding" => AuthorisationEnding(payment::event::AuthorisationEnding),
        "AuthorisationExpired" => AuthorisationExpired(payment::event::AuthorisationExpired),
        "PaymentOutcomeUnknown" => OutcomeUnknown(payment::event::OutcomeUnknown),
        "CaptureRequested" => CaptureRequested(payment::event::CaptureRequested),
        "PaymentCaptured" => Captured(payment::event::Captured),
        "CaptureFailed" => CaptureFailed(payment::event::CaptureFailed),
        "RemainderReleased" => RemainderReleased(payment::event::RemainderReleased),
        "VoidWanted" => VoidWanted(payment::event::VoidWanted),
        "VoidRequested" => VoidRequested(payment::event::VoidRequested),
        "PaymentVoided" => Voided(payment::event::Voided),
        "VoidFailed" => VoidFailed(payment::event::VoidFailed),
        "RaiseRequested" => RaiseRequested(payment::event::RaiseRequested),
        "AuthorisationRaised" => AuthorisationRaised(payment::event::AuthorisationRaised),
        "RaiseFailed" => RaiseFailed(payment::event::RaiseFailed),
        "RefundRequested" => RefundRequested(payment::event::RefundRequested),
        "RefundSettled" => RefundSettled(payment::event::RefundSettled),
        "RefundFailed" => RefundFailed(payment::event::RefundFailed),
        "OutcomeResolved" => OutcomeResolved(payment::event::OutcomeResolved),
    }
}

stored! {
    stocks: stock as Stock {
        "StockRegistered" => Registered(stock::event::Registered),
        "StockReceived" => Received(stock::event::Received),
        "StockReserved" => Reserved(stock::event::Reserved),
        "StockBackordered" => Backordered(stock::event::Backordered),
        "ReservationExtended" => ReservationExtended(stock::event::ReservationExtended),
        "ReservationReleased" => ReservationReleased(stock::event::ReservationReleased),
        "ReservationExpired" => ReservationExpired(stock::event::ReservationExpired),
        "StockShipped" => Shipped(stock::event::Shipped),
        "ShipmentPutBack" => ShipmentPutBack(stock::event::ShipmentPutBack),
        "ReservationDeferred" => ReservationDeferred(stock::event::ReservationDeferred),
        "ReservationOrdered" => ReservationOrdered(stock::event::ReservationOrdered),
        "StockReturned" => Returned(stock::event::Returned),
        "StockWrittenOff" => WrittenOff(stock::event::WrittenOff),
        "StockAdjusted" => Adjusted(stock::event::Adjusted),
        "StockCounted" => Counted(stock::event::Counted),
        "BackorderAllocated" => BackorderAllocated(stock::event::BackorderAllocated),
    }

    fn correlation(&self) -> Option<Uuid> {
        match self {
            Self::BackorderAllocated(allocated) => Some(
                allocated
                    .order_id
                    .map_or(allocated.reservation_id.0, |order| order.0),
            ),
            _ => None,
        }
    }
}

stored! {
    reservations: reservation as Reservation {
        "ReservationOpened" => Opened(reservation::Opened),
        "ReservationProlonged" => Prolonged(reservation::Prolonged),
        "ReservationClosed" => Closed(reservation::Closed),
    }
}

stored! {
    references: reference as Reference {
        "ReferenceClaimed" => Claimed(reference::Claimed),
    }
}

stored! {
    outcomes: outcome as Outcome {
        "CommandSettled" => Settled(outcome::Settled),
    }
}

stored! {
    imports: import as Import {
        "ImportStarted" => Started(import::Started),
        "ImportRowsRefused" => RowsRefused(import::RowsRefused),
        "CreditRecorded" => CreditRecorded(import::CreditRecorded),
        "ImportFinished" => Finished(import::Finished),
    }
}

const SAGA_STARTED: &str = "SagaStarted";
const SAGA_DECIDED: &str = "SagaDecided";
const SAGA_PARKED: &str = "SagaParked";
const SAGA_RESUMED: &str = "SagaResumed";
const SAGA_ENDED: &str = "SagaEnded";

/// A saga's decisions: the name tells what changed most, so that operators and followers can ask for it; what is stored
/// is the same.
impl StoredEvent for saga::Decision {
    const KINDS: &'static [&'static str] = &[SAGA_STARTED, SAGA_DECIDED, SAGA_PARKED, SAGA_RESUMED, SAGA_ENDED];

    fn kind(&self) -> &'static str {
        match (self.started(), self.ended(), self.parks()) {
            (Some(_), _, _) => SAGA_STARTED,
            (None, Some(_), _) => SAGA_ENDED,
            (None, None, Some(true)) => SAGA_PARKED,
            (None, None, Some(false)) => SAGA_RESUMED,
            (None, None, None) => SAGA_DECIDED,
        }
    }

    fn encode(&self) -> Result<Encoded, Error> {
        static NAMES: LazyLock<Vec<Arc<str>>> =
            LazyLock::new(|| saga::Decision::KINDS.iter().copied().map(Arc::from).collect());
        let kind = self.kind();
        let name = NAMES.iter().find(|name| &***name == kind).ok_or_else(|| unknown(kind, 1))?;
        write(kind, name, self)
    }

    fn decode(kind: &str, schema_version: u32, data: &[u8]) -> Result<Self, Error> {
        let Some(name) = Self::KINDS.iter().find(|known| **known == kind) else {
            return Err(unknown(kind, schema_version));
        };
        let read: Self = read(name, schema_version, data)?;
        if read.facts.is_empty() || read.kind() != *name {
            let source = serde::de::Error::custom(format!("its {} facts are not those of its type", read.facts.len()));
            return Err(Error::Malformed { kind: name, version: schema_version, source });
        }
        Ok(read)
    }

    fn of(event: &Event) -> Option<&Self> {
        match event {
            Event::Saga(decision) => Some(decision),
            _ => None,
        }
    }

    fn event(&self) -> Event {
        Event::Saga(self.clone())
    }
}

fn sagas() -> Vec<(&'static str, Kind)> {
    macro_rules! of {
        ($kind:expr, $what:literal) => {
            (
                $kind,
                Kind {
                    decode: |version, data| saga::Decision::decode($kind, version, data).map(Event::Saga),
                    schema: || {
                        let mut schema = schema_for!(saga::Decision);
                        schema.insert("description".into(), format!("`{}`: {}", $kind, $what).into());
                        schema
                    },
                },
            )
        };
    }
    vec![
        of!(SAGA_STARTED, "a saga begins; it may end in the same decision."),
        of!(SAGA_DECIDED, "a saga continues."),
        of!(SAGA_PARKED, "a saga cannot continue by itself; a person or late evidence has to help."),
        of!(SAGA_RESUMED, "a saga that was parked continues."),
        of!(SAGA_ENDED, "a saga ends."),
    ]
}

stored! {
    records: record as Record {
        "RecordSetAside" => SetAside(record::SetAside),
    }
}
