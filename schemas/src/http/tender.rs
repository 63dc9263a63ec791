//! A further payment, or another way to pay: the body of `POST /v1/orders/{id}/payments`.

use domain::ids::PaymentId;
use domain::instrument::Instrument;
use domain::money::Currency;
use domain::order;
use domain::order::event::{Added, Means};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Names;
use super::check::{Check, Invalid};
use super::money::Money;

/// How money comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// Through the payment provider.
    #[default]
    Provider,
    /// Another way: cash, a transfer, a gift card. It goes back by hand.
    External,
}

/// A further payment of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPayment {
    /// The payment's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub payment_id: Option<PaymentId>,
    /// How it comes.
    #[serde(default)]
    pub method: PaymentMethod,
    /// How much; by default the amount that no payment covers yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// The provider's token for the means of payment; never a card number. Compulsory for `provider`, and for it only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "sandbox:approve")]
    pub instrument: Option<Instrument>,
    /// How it can be found: the number of a transfer or of a receipt. Compulsory for `external`, and for it only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "till 3, receipt 118")]
    pub reference: Option<String>,
}

impl AddPayment {
    /// The currency that its amount is in, if it names one.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.amount.map(|amount| amount.currency)
    }

    /// The payment's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn payment_id(&self, names: Names) -> PaymentId {
        self.payment_id.unwrap_or_else(|| PaymentId(names.of("payment")))
    }

    /// The command to add it, to an order whose amounts are in `currency`.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names, currency: Currency) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        check.own_id("/payment_id", self.payment_id);
        let amount = self.amount.map(|amount| check.money("/amount", amount, currency, 1));
        let token = self.instrument.as_ref().map(Instrument::token);
        let instrument = check.optional_text("/instrument", token, 200);
        let reference = check.optional_text("/reference", self.reference.as_deref(), 200);
        let external = self.method == PaymentMethod::External;
        if external == self.instrument.is_some() {
            check.fault("/instrument", "is required for provider, and only allowed for it");
        }
        if external != self.reference.is_some() {
            check.fault("/reference", "is required for external, and only allowed for it");
        }
        let means = if external {
            Means::External { reference: reference.unwrap_or_default() }
        } else {
            Means::Provider { instrument: instrument.unwrap_or_default().into() }
        };
        check.finish(order::Command::AddPayment(order::command::AddPayment {
            payment_id: self.payment_id(names),
            amount,
            means,
            added: Added::ByHand,
        }))
    }
}
