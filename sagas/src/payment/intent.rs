//! The requests of a payment to the provider: one intent for each attempt. The keys and the command ids are derived
//! from it, so every repetition is the same request.

use domain::ids::{OrderId, PaymentId, Tenant, derived};
use domain::money::Minor;
use domain::payment::Event;
use domain::payment::event::{AuthorisationRequested, Verb};
use domain::saga::Recorded;
use event_store::record::{Position, Record, Version};
use uuid::Uuid;

/// A request of a payment; at most one of several attempts is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct IntentKey {
    pub(super) tenant: Tenant,
    pub(super) payment_id: PaymentId,
    verb: (u8, Uuid),
}

/// A request to be made.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) key: IntentKey,
    pub(super) verb: Verb,
    pub(super) attempt: u32,
    pub(super) amount: Minor,
    pub(super) position: Position,
    pub(super) version: Version,
    /// For an authorisation: all that there is to know.
    pub(super) authorisation: Option<AuthorisationRequested>,
    /// The saga that asked for it, as the record's metadata says.
    pub(super) saga: Option<String>,
}

impl IntentKey {
    fn new(tenant: &Tenant, payment_id: PaymentId, verb: Verb) -> Self {
        let verb = match verb {
            Verb::Authorise => (0, Uuid::nil()),
            Verb::Capture { capture_id } => (1, capture_id.0),
            Verb::Void => (2, Uuid::nil()),
            Verb::Refund { refund_id } => (3, refund_id.0),
            Verb::Raise { raise_id } => (4, raise_id.0),
        };
        Self { tenant: tenant.clone(), payment_id, verb }
    }

    /// The operation, in a word.
    pub(super) fn word(&self) -> &'static str {
        match self.verb.0 {
            0 => "authorise",
            1 => "capture",
            2 => "void",
            3 => "refund",
            _ => "raise",
        }
    }
}

impl Intent {
    /// The request of an event, if it contains one.
    pub(super) fn of(tenant: &Tenant, record: &Record, recorded: &Recorded) -> Option<Self> {
        let domain::Event::Payment(event) = &recorded.event else {
            return None;
        };
        let (verb, attempt, amount) = match event {
            Event::AuthorisationRequested(it) => (Verb::Authorise, it.attempt, it.amount.amount),
            Event::CaptureRequested(it) => {
                let capture_id = it.capture_id;
                (Verb::Capture { capture_id }, it.attempt, it.amount)
            }
            Event::RaiseRequested(it) => {
                let raise_id = it.raise_id;
                (Verb::Raise { raise_id }, it.attempt, it.amount)
            }
            Event::VoidRequested(it) => (Verb::Void, it.attempt, it.amount),
            Event::RefundRequested(it) => {
                let refund_id = it.refund_id;
                (Verb::Refund { refund_id }, it.attempt, it.amount)
            }
            _ => return None,
        };
        let authorisation = match event {
            Event::AuthorisationRequested(it) => Some(it.clone()),
            _ => None,
        };
        Some(Self {
            key: key(tenant, record, verb)?,
            verb,
            attempt,
            amount,
            position: record.position,
            version: record.version,
            authorisation,
            saga: schemas::Metadata::decode(&record.metadata).ok().and_then(|metadata| metadata.saga),
        })
    }

    /// The key that the provider knows the request by.
    pub(super) fn provider_key(&self) -> Uuid {
        let (verb, id) = match self.verb {
            Verb::Authorise => ("authorise", Uuid::nil()),
            Verb::Capture { capture_id } => ("capture", capture_id.0),
            Verb::Void => ("void", Uuid::nil()),
            Verb::Raise { raise_id } => ("raise", raise_id.0),
            Verb::Refund { refund_id } => ("refund", refund_id.0),
        };
        let tenant = &self.key.tenant;
        let name = format!("provider/{tenant}/{verb}/{id}/{}", self.attempt);
        derived(self.key.payment_id.0, &name)
    }

    /// The id of the command that records an outcome.
    pub(super) fn outcome_id(&self, outcome: &str) -> Uuid {
        derived(self.provider_key(), outcome)
    }

    pub(super) fn outcome_ids(&self) -> [Uuid; 3] {
        ["done", "not-done", "unknown"].map(|outcome| self.outcome_id(outcome))
    }

    pub(super) fn word(&self) -> &'static str {
        self.key.word()
    }

    pub(super) fn order_id(&self) -> Option<OrderId> {
        self.authorisation.as_ref().map(|it| it.order_id)
    }
}

/// The request of a verb of the payment that a record is of.
pub(super) fn key(tenant: &Tenant, record: &Record, verb: Verb) -> Option<IntentKey> {
    let payment_id = record.stream.id.parse().ok()?;
    Some(IntentKey::new(tenant, payment_id, verb))
}

/// The request that an event settles.
pub(super) fn settled(tenant: &Tenant, record: &Record, event: &Event) -> Option<IntentKey> {
    let verb = match event {
        Event::Authorised(_) | Event::Declined(_) => Verb::Authorise,
        Event::Captured(it) => Verb::Capture { capture_id: it.capture_id },
        Event::CaptureFailed(it) => Verb::Capture { capture_id: it.capture_id },
        Event::Voided(_) | Event::VoidFailed(_) => Verb::Void,
        Event::AuthorisationRaised(it) => Verb::Raise { raise_id: it.raise_id },
        Event::RaiseFailed(it) => Verb::Raise { raise_id: it.raise_id },
        Event::RefundSettled(it) => Verb::Refund { refund_id: it.refund_id },
        Event::RefundFailed(it) => Verb::Refund { refund_id: it.refund_id },
        _ => return None,
    };
    key(tenant, record, verb)
}
