//! The provider of both sides: Daybook's sandbox, whose book is synced before it answers.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use domain::ids::{OrderId, PaymentId, Tenant};
use domain::money::{Currency, Minor, Money};
use domain::payment::event::Verb;
use domain::time::Timestamp;
use sagas::gateway::sandbox::Options;
use sagas::gateway::{Answer, Call, PaymentGateway as _, Sandbox};
use uuid::Uuid;

/// The provider.
pub(super) struct Provider {
    sandbox: Sandbox,
    tenant: Tenant,
}

/// What is to be held.
pub(super) struct Authorise<'a> {
    pub(super) order_id: Uuid,
    pub(super) payment_id: Uuid,
    pub(super) total: Minor,
    pub(super) currency: Currency,
    pub(super) instrument: &'a str,
}

impl Provider {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let sandbox = Sandbox::open(Options::new(folder.join("sandbox.sqlite"), Arc::new(now)))
            .context("the provider's book cannot be opened")?;
        Ok(Self { sandbox, tenant: Tenant::try_new("main")? })
    }

    /// Holds the money of an order. The payment is the key: asking again has no second effect.
    pub(super) async fn authorise(&self, asked: Authorise<'_>) -> Answer {
        let call = Call {
            key: asked.payment_id,
            tenant: self.tenant.clone(),
            payment_id: PaymentId(asked.payment_id),
            order_id: OrderId(asked.order_id),
            verb: Verb::Authorise,
            amount: Money { amount: asked.total, currency: asked.currency },
            instrument: asked.instrument.into(),
            authorisation: None,
        };
        self.sandbox.authorise(&call).await
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
