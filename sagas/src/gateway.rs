//! Payment providers. Their answers have three values: done, not done, and *unknown*; an implementation must never turn
//! silence, a broken connection or an error of the provider's into *not done*.

pub mod sandbox;

use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{OrderId, PaymentId, Tenant};
use domain::instrument::Instrument;
use domain::money::{Minor, Money};
use domain::payment::abilities::Abilities;
use domain::payment::event::Verb;
use domain::time::Timestamp;
use uuid::Uuid;

pub use sandbox::Sandbox;

/// A request to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The provider's idempotency key for the request. Derived from the intent: the same intent always has the same
    /// key.
    pub key: Uuid,
    /// Whose payment it is.
    pub tenant: Tenant,
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it is for.
    pub order_id: OrderId,
    /// The operation.
    pub verb: Verb,
    /// How much.
    pub amount: Money,
    /// The provider's token for the means of payment.
    pub instrument: Instrument,
    /// The authorisation of the request, once there is one.
    pub authorisation: Option<Authorisation>,
}

/// An authorisation as its payment has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorisation {
    /// The provider's reference.
    pub provider_ref: String,
    /// How much was held in all.
    pub amount: Minor,
}

/// What a provider did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The provider's reference.
    pub provider_ref: String,
    /// How much.
    pub amount: Minor,
    /// Until when held money can be taken; of a raise, if that changes.
    pub capture_before: Option<Timestamp>,
    /// What the provider keeps.
    pub fee: Option<Minor>,
    /// The operations that an authorisation supports, if the provider reports them.
    pub abilities: Option<Abilities>,
}

/// What a provider answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It did it.
    Done(Done),
    /// It was certainly not done, and will not be.
    NotDone {
        /// The provider's code.
        code: String,
    },
    /// It may have been done: query before anything else.
    Unknown {
        /// What is known about the cause.
        detail: String,
    },
    /// The provider has not processed it (for example, because of too many requests): send it again after a while.
    Later {
        /// How long to wait.
        after: Duration,
    },
}

/// What a provider knows of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It did it.
    Done(Done),
    /// It was certainly not done, and will not be.
    NotDone {
        /// The provider's code.
        code: String,
    },
    /// It is at it.
    InProgress,
    /// The provider does not know it (yet: a request may still be on its way).
    Nothing,
    /// It does not say.
    Dark {
        /// What is known about the cause.
        detail: String,
    },
}

/// A payment provider. A call with a key that the provider has seen has no second effect and gets the first answer.
#[async_trait]
pub trait PaymentGateway: Send + Sync + 'static {
    /// Holds money.
    async fn authorise(&self, call: &Call) -> Answer;
    /// Takes money that is held.
    async fn capture(&self, call: &Call) -> Answer;
    /// Voids an authorised amount.
    async fn void(&self, call: &Call) -> Answer;
    /// Holds more on the same authorisation.
    async fn raise(&self, call: &Call) -> Answer;
    /// Gives taken money back.
    async fn refund(&self, call: &Call) -> Answer;
    /// Asks what became of a call.
    async fn query(&self, call: &Call) -> Found;
}
