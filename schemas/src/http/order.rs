//! The view of an order: everything in the fold of its stream, and nothing else, so that the same version always has
//! the same view.

use domain::ids::{Channel, CustomerRef, EditId, ExternalRef, LocationId, OrderId, PaymentId, ReservationId};
use domain::money::Currency;
use domain::order::event::Means;
use domain::order::state::{Payment, Placed, Rejection};
use domain::order::{ShippingCharge, Totals};
use domain::stock::Shortfall;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::Address;
use super::cancellation::CancellationBody;
use super::hold::HoldBody;
use super::line::LineBody;
use super::money::Money;
use super::note::NoteBody;
use super::refund::RefundBody;
use super::returns::ReturnBody;
use super::shipment::ShipmentBody;
use super::status::{
    Capture, FulfilmentStatus, OrderStatus, PaymentStatus, RejectReason, ReturnStatus, Rounding, StockStatus,
};
use super::tender::PaymentMethod;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderBody {
    /// The order.
    #[schema(value_type = uuid::Uuid)]
    pub order_id: OrderId,
    /// The version of its stream that this shows.
    #[schema(example = 7)]
    pub version: u64,
    /// Its number in the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "536365")]
    pub external_ref: Option<ExternalRef>,
    /// Where it comes from.
    #[schema(value_type = String, example = "web")]
    pub channel: Channel,
    /// The customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "17850")]
    pub customer_ref: Option<CustomerRef>,
    /// The currency of every amount.
    #[schema(value_type = String, example = "GBP")]
    pub currency: Currency,
    /// How halves were rounded.
    pub rounding: Rounding,
    /// How far it is.
    pub status: OrderStatus,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<RejectionBody>,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// Where its stock stands.
    pub stock_status: StockStatus,
    /// Where its money stands.
    pub payment_status: PaymentStatus,
    /// Whether an authorisation of it ends soon or has ended, and what it held is still to be taken and nowhere else held.
    pub payment_ending: bool,
    /// Where its goods stand.
    pub fulfilment_status: FulfilmentStatus,
    /// Where its returns stand.
    pub return_status: ReturnStatus,
    /// The sums of the lines and charges, edits included.
    pub totals: TotalsBody,
    /// Its money.
    pub payment: OrderPaymentBody,
    /// Its payments, the oldest first.
    pub payments: Vec<OrderPaymentItem>,
    /// Its lines.
    pub lines: Vec<LineBody>,
    /// The shipping charges.
    pub shipping: Vec<ShippingBody>,
    /// The shipping address; left out if there is none, or once it was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<Address>,
    /// The location that its stock comes from.
    #[schema(value_type = String, example = "main")]
    pub location: LocationId,
    /// How long stock stays reserved before confirmation, in seconds.
    pub reserve_for_s: u32,
    /// When it was placed in the business's own time, where that is not the time of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub occurred_at: Option<Timestamp>,
    /// Its labels.
    pub tags: Vec<String>,
    /// The order whose lost goods it sends again, for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub replaces: Option<OrderId>,
    /// The reservation that holds its stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub reservation_id: Option<ReservationId>,
    /// The reservation that it was placed on, and took over: the `reservation_id` of the placing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub from_reservation_id: Option<ReservationId>,
    /// Open holds: any of them stops capture and shipping.
    pub holds: Vec<HoldBody>,
    /// Its shipments.
    pub shipments: Vec<ShipmentBody>,
    /// Its returns.
    pub returns: Vec<ReturnBody>,
    /// Refunds that were granted.
    pub refunds: Vec<RefundBody>,
    /// Its cancellations.
    pub cancellations: Vec<CancellationBody>,
    /// Its edits.
    pub edits: Vec<EditBody>,
    /// Its notes.
    pub notes: Vec<NoteBody>,
}

/// Why an order was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectionBody {
    /// Why.
    pub reason: RejectReason,
    /// A detail, for example the provider's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The missing units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<ShortfallBody>,
}

/// How much of a SKU was wanted and how much there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShortfallBody {
    /// The SKU.
    #[schema(example = "85123A")]
    pub sku: String,
    /// Where.
    #[schema(example = "main")]
    pub location: String,
    /// Units wanted.
    pub wanted: u32,
    /// Units that could be promised.
    pub available: u32,
}

/// Sums of stored line values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TotalsBody {
    /// Σ line subtotals.
    pub subtotal: Money,
    /// Σ line discounts and shares of the order's discount.
    pub discount: Money,
    /// Σ shipping totals.
    pub shipping: Money,
    /// Σ taxes of lines and shipping.
    pub tax: Money,
    /// What the customer owes: Σ line totals and shipping totals.
    pub total: Money,
}

/// The money of an order, summed up over its payments and refunds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderPaymentBody {
    /// The newest payment, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub payment_id: Option<PaymentId>,
    /// When the money is taken.
    pub capture: Capture,
    /// Held in all, or come another way.
    pub authorised: Money,
    /// Captured in all, including external money.
    pub captured: Money,
    /// All authorised amounts that were released without capture.
    pub voided: Money,
    /// Held now and counted on.
    pub held: Money,
    /// What the customer has back.
    pub refunded: Money,
    /// Granted and not with the customer yet.
    pub refund_pending: Money,
    /// Granted in all: `refunded` and `refund_pending`.
    pub granted: Money,
    /// Refunds that were granted and that the provider would not pay; no longer granted.
    pub failed: Money,
    /// Refunds that were granted and withdrawn; no longer granted.
    pub withdrawn: Money,
    /// The value of the goods and charges that are neither cancelled nor credited.
    pub value: Money,
    /// Granted by hand for no line and no charge, and not in the place of a refund that failed.
    pub goodwill: Money,
    /// What the customer has paid in the end: `value` less `goodwill`, at least 0.
    pub owed: Money,
    /// What of that is due now.
    pub due: Money,
    /// `owed` less the captured amount that is not granted as refunds: above 0 it is still to be paid, below 0 too much
    /// was captured.
    pub balance: Money,
}

/// One payment of an order, as the order knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderPaymentItem {
    /// The payment.
    #[schema(value_type = uuid::Uuid)]
    pub payment_id: PaymentId,
    /// How it comes: through the provider, or another way.
    pub method: PaymentMethod,
    /// How it can be found, if it came another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The payment that it takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub replaces: Option<PaymentId>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Held in all, or come another way.
    pub authorised: Money,
    /// Captured in all, including external money.
    pub captured: Money,
    /// Released without capture.
    pub voided: Money,
    /// Given back in all.
    pub refunded: Money,
    /// The end of the authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub capture_before: Option<Timestamp>,
    /// Whether that is soon.
    pub ending: bool,
    /// Whether what it held has ended without being taken.
    pub expired: bool,
}

/// A shipping charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShippingBody {
    /// How it is shipped.
    pub title: String,
    /// The price as given.
    pub price: Money,
    /// Tax rate in basis points.
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    pub tax_included: bool,
    /// The tax.
    pub tax: Money,
    /// What the customer owes for it.
    pub total: Money,
}

/// An edit that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EditBody {
    /// The edit.
    #[schema(value_type = uuid::Uuid)]
    pub edit_id: EditId,
    /// What it changed of the order's total.
    pub balance_change: Money,
}

impl OrderBody {
    /// The view of an order at a version of its stream.
    #[must_use]
    pub fn new(order: &Placed, version: u64) -> Self {
        let currency = order.currency;
        Self {
            order_id: order.order_id,
            version,
            external_ref: order.external_ref.clone(),
            channel: order.channel.clone(),
            customer_ref: order.customer.clone(),
            currency,
            rounding: order.rounding.into(),
            status: order.status.into(),
            rejection: order.rejection.as_ref().map(RejectionBody::new),
            cancel_reason: order.cancel_reason.clone(),
            stock_status: order.stock_status().into(),
            payment_status: order.payment_status().into(),
            payment_ending: order.payment_ending(),
            fulfilment_status: order.fulfilment_status().into(),
            return_status: order.return_status().into(),
            totals: TotalsBody::new(&order.totals, currency),
            payment: OrderPaymentBody::new(order),
            payments: each(&order.payments, |payment| OrderPaymentItem::new(payment, currency)),
            lines: each(&order.lines, |(_, line)| LineBody::new(line, currency)),
            shipping: each(&order.shipping, |charge| ShippingBody::new(charge, currency)),
            ship_to: order.ship_to.as_ref().and_then(Address::shown),
            location: order.location.clone(),
            reserve_for_s: order.reserve_for_s,
            occurred_at: order.occurred_at,
            tags: order.tags.clone(),
            replaces: order.replaces,
            reservation_id: order.reservation_id,
            from_reservation_id: order.basket,
            holds: each(&order.holds, |(id, hold)| HoldBody::new(*id, hold)),
            shipments: each(&order.shipments, |(id, s)| ShipmentBody::new(*id, s, currency)),
            returns: each(&order.returns, |(id, r)| ReturnBody::new(*id, r, currency)),
            refunds: each(&order.refunds, |(id, r)| RefundBody::new(*id, r, order)),
            cancellations: each(&order.cancellations, |(id, c)| CancellationBody::new(*id, c, currency)),
            edits: each(&order.edits, |(id, edit)| EditBody {
                edit_id: *id,
                balance_change: Money::new(edit.balance_change, currency),
            }),
            notes: each(&order.notes, |(id, note)| NoteBody::new(*id, note)),
        }
    }
}

fn each<I: IntoIterator, T>(items: I, shown: impl Fn(I::Item) -> T) -> Vec<T> {
    items.into_iter().map(shown).collect()
}

impl RejectionBody {
    /// The view of a rejection.
    #[must_use]
    pub fn new(state: &Rejection) -> Self {
        Self {
            reason: state.reason.into(),
            detail: state.detail.clone(),
            shortfalls: each(&state.shortfalls, ShortfallBody::new),
        }
    }
}

impl ShortfallBody {
    /// The view of a shortfall.
    #[must_use]
    pub fn new(state: &Shortfall) -> Self {
        Self {
            sku: state.sku.to_string(),
            location: state.location.to_string(),
            wanted: state.wanted,
            available: state.available,
        }
    }
}

impl TotalsBody {
    /// The view of totals.
    #[must_use]
    pub fn new(totals: &Totals, currency: Currency) -> Self {
        let money = |amount| Money::new(amount, currency);
        Self {
            subtotal: money(totals.subtotal),
            discount: money(totals.discount),
            shipping: money(totals.shipping),
            tax: money(totals.tax),
            total: money(totals.total),
        }
    }
}

impl OrderPaymentBody {
    fn new(order: &Placed) -> Self {
        let money = |amount| Money::new(amount, order.currency);
        let (payment, ledger) = (order.payment(), order.ledger());
        Self {
            payment_id: payment.payment_id,
            capture: order.payment_terms.capture.into(),
            authorised: money(payment.authorised),
            captured: money(payment.captured),
            voided: money(payment.voided),
            held: money(ledger.held),
            refunded: money(ledger.refunded),
            refund_pending: money(ledger.refund_pending()),
            granted: money(ledger.granted),
            failed: money(ledger.failed),
            withdrawn: money(ledger.withdrawn),
            value: money(ledger.value),
            goodwill: money(ledger.goodwill),
            owed: money(ledger.owed),
            due: money(ledger.due),
            balance: money(ledger.balance()),
        }
    }
}

impl OrderPaymentItem {
    fn new(payment: &Payment, currency: Currency) -> Self {
        let money = |amount| Money::new(amount, currency);
        let (method, reference) = match &payment.means {
            Some(Means::External { reference }) => (PaymentMethod::External, Some(reference.clone())),
            Some(Means::Provider { .. }) | None => (PaymentMethod::Provider, None),
        };
        Self {
            payment_id: payment.payment_id,
            method,
            reference,
            replaces: payment.replaces,
            status: payment.status.into(),
            authorised: money(payment.authorised),
            captured: money(payment.captured),
            voided: money(payment.voided),
            refunded: money(payment.refunded),
            capture_before: payment.capture_before.filter(|_| !payment.holds_nothing()),
            ending: payment.ending.is_some() && !payment.holds_nothing(),
            expired: payment.expired,
        }
    }
}

impl ShippingBody {
    fn new(charge: &ShippingCharge, currency: Currency) -> Self {
        let money = |amount| Money::new(amount, currency);
        Self {
            title: charge.title.clone(),
            price: money(charge.price),
            tax_bp: charge.tax_bp,
            tax_included: charge.tax_included,
            tax: money(charge.tax),
            total: money(charge.total),
        }
    }
}
