//! Placing an order: the body of `POST /v1/orders`. The caller prices the lines; the decision proves the arithmetic.

use domain::Aggregate as _;
use domain::ids::{Channel, CustomerRef, ExternalRef, LocationId, OrderId, ReservationId};
use domain::instrument::Instrument;
use domain::money::{Currency, Minor};
use domain::order::command::{NewShipping as DomainShipping, Place};
use domain::order::{self, Basket};
use domain::personal::Personal;
use domain::text::Entered;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::Address;
use super::check::{Check, Invalid};
use super::instant::Span;
use super::line::NewLine;
use super::money::Money;
use super::status::{Capture, Rounding};
use super::{Defaults, Names};

/// The most labels that an order may have.
pub(super) const MOST_TAGS: usize = 50;

/// An order to be placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// The order's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub order_id: Option<OrderId>,
    /// Its number in the channel; unique in the channel, unless the order that has it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, example = "536365")]
    pub external_ref: Option<Entered<ExternalRef>>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "web")]
    pub channel: Option<Entered<Channel>>,
    /// The customer's id at the caller's; no name and no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, example = "17850")]
    pub customer_ref: Option<Entered<CustomerRef>>,
    /// The currency of every amount.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "GBP")]
    pub currency: Entered<Currency>,
    /// How halves are rounded; to the even neighbour if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Rounding>,
    /// The order lines.
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Vec<NewLine>,
    /// A discount on the whole order, spread over the lines by largest remainder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Money>,
    /// The shipping charges.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub shipping: Vec<NewShipping>,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<Address>,
    /// How it is paid.
    pub payment: PaymentTerms,
    /// The location that its stock comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// A reservation that was opened before and that the order takes over. What it holds of the order's lines, at the order's location, is
    /// the order's and never anybody else's; the rest of it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub reservation_id: Option<ReservationId>,
    /// How long stock stays reserved before confirmation, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10, maximum = 604_800, example = 900)]
    pub reserve_for_s: Option<u32>,
    /// When it was placed in the business's own time, where that is not now: ten years back to a day ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub occurred_at: Option<Timestamp>,
    /// Free labels.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub tags: Vec<String>,
    /// The total that the caller expects; refused with both breakdowns if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_total: Option<Money>,
    /// How a rejected order is answered when the request waits for the verdict.
    #[serde(default)]
    pub on_refusal: OnRefusal,
}

/// How a rejected order is answered when the request waits for the verdict (`Prefer: wait`). The order stays in the history either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRefusal {
    /// With the order, whose status shows the rejection.
    #[default]
    Order,
    /// With a problem: 409 `out-of-stock`, `payment-declined` …
    Problem,
}

/// How an order is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentTerms {
    /// When the money is taken.
    #[serde(default = "at_shipment")]
    pub capture: Capture,
    /// The provider's token for the means of payment; never a card number. Compulsory unless `capture` is `pay_later` or nothing is
    /// to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "sandbox:approve")]
    pub instrument: Option<Instrument>,
    /// How long after a decline the order stays pending with its stock held, so that it can be paid another way; in seconds.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 604_800)]
    pub retry_for_s: u32,
}

/// A shipping charge as the caller prices it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewShipping {
    /// How it is shipped.
    #[schema(min_length = 1, max_length = 200, example = "Standard")]
    pub title: String,
    /// The price.
    pub price: Money,
    /// Tax rate in basis points.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000)]
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    #[serde(default)]
    pub tax_included: bool,
}

fn at_shipment() -> Capture {
    Capture::AtShipment
}

impl PlaceOrder {
    /// Notes an instant of placing that lies too far off.
    pub fn in_time(&self, now: Timestamp, check: &mut Check) {
        check.instant("/occurred_at", self.occurred_at, now, Span::Happened);
    }

    /// The order's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn order_id(&self, names: Names) -> OrderId {
        self.order_id.unwrap_or_else(|| OrderId(names.of("order")))
    }

    /// The command to place it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names, defaults: &Defaults) -> Result<Place, Invalid> {
        let mut check = Check::new();
        let currency = self.currency.0;
        let order_id = self.order_id(names);
        let optional = |check: &mut Check, at: &str, money: Option<Money>| -> Option<Minor> {
            money.map(|money| check.money(at, money, currency, 0))
        };
        let discount = optional(&mut check, "/discount", self.discount).unwrap_or(0);
        let expected_total = optional(&mut check, "/expected_total", self.expected_total);
        let reserve_for_s = self.reserve_for_s.unwrap_or(defaults.reserve_for_s);
        check.range("/reserve_for_s", i64::from(reserve_for_s), 10, 604_800);
        let tags = tags(&mut check, &self.tags);
        let unnamed = self.payment.instrument.is_none() && self.payment.capture != Capture::PayLater;
        let place = Place {
            order_id,
            external_ref: self.external_ref.map(|name| name.0),
            channel: self.channel.map_or_else(|| defaults.channel.clone(), |name| name.0),
            customer: self.customer_ref.map(|name| name.0),
            currency,
            rounding: self.rounding.map(Into::into).unwrap_or_default(),
            lines: lines(&mut check, self.lines, currency),
            discount,
            shipping: shipping(&mut check, self.shipping, currency),
            ship_to: self.ship_to.map(|address| Personal::Known(address.check(&mut check, "/ship_to"))),
            payment: self.payment.check(&mut check),
            location: self.location.map_or_else(|| defaults.location.clone(), |name| name.0),
            reserve_for_s,
            occurred_at: self.occurred_at,
            tags,
            expected_total,
            replaces: None,
            // What it holds is read where the plan is made.
            basket: self.reservation_id.map(|reservation_id| Basket { reservation_id, items: Vec::new() }),
        };
        if unnamed && !is_free(&place) {
            check.fault("/payment/instrument", "is required unless capture is pay_later or the total is 0");
        }
        check.finish(place)
    }
}

/// Whether nothing is to be paid, as the decision computes it.
fn is_free(place: &Place) -> bool {
    let place = Place { expected_total: None, ..place.clone() };
    let decided = order::Order::default().decide(&order::Command::Place(Box::new(place)));
    matches!(decided.as_deref(), Ok([order::Event::Placed(placed)]) if placed.totals.total == 0)
}

impl PaymentTerms {
    fn check(self, check: &mut Check) -> order::event::PaymentTerms {
        let token = self.instrument.as_ref().map(Instrument::token);
        let instrument = check.optional_text("/payment/instrument", token, 200);
        check.range("/payment/retry_for_s", i64::from(self.retry_for_s), 0, 604_800);
        order::event::PaymentTerms {
            capture: self.capture.into(),
            instrument: instrument.unwrap_or_default().into(),
            retry_for_s: self.retry_for_s,
        }
    }
}

/// The domain's lines of an order.
pub fn lines(check: &mut Check, lines: Vec<NewLine>, currency: Currency) -> Vec<order::command::NewLine> {
    if !check.list("/lines", &lines, 1) {
        return Vec::new();
    }
    lines.into_iter().enumerate().map(|(i, line)| line.check(check, &format!("/lines/{i}"), i + 1, currency)).collect()
}

/// The domain's shipping charges of an order.
pub fn shipping(check: &mut Check, charges: Vec<NewShipping>, currency: Currency) -> Vec<DomainShipping> {
    if charges.len() > 20 {
        check.fault("/shipping", "must have at most 20 entries");
        return Vec::new();
    }
    charges
        .into_iter()
        .enumerate()
        .map(|(i, charge)| {
            let title = check.text(format_args!("/shipping/{i}/title"), &charge.title, 200);
            check.tax_rate(format_args!("/shipping/{i}/tax_bp"), charge.tax_bp);
            DomainShipping {
                price: check.money(format_args!("/shipping/{i}/price"), charge.price, currency, 0),
                title,
                tax_bp: charge.tax_bp,
                tax_included: charge.tax_included,
            }
        })
        .collect()
}

/// Labels: few, short, each once.
pub fn tags(check: &mut Check, given: &[String]) -> Vec<String> {
    if given.len() > MOST_TAGS {
        check.fault("/tags", format_args!("must have at most {MOST_TAGS} entries"));
        return Vec::new();
    }
    let mut tags: Vec<String> = Vec::with_capacity(given.len());
    for (i, tag) in given.iter().enumerate() {
        let tag = check.text(format_args!("/tags/{i}"), tag, 64);
        if !tag.is_empty() && tags.contains(&tag) {
            check.fault(format_args!("/tags/{i}"), "a tag may be named only once");
        }
        tags.push(tag);
    }
    tags
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            location: LocationId::try_new("main").unwrap(),
            channel: Channel::try_new("web").unwrap(),
            reserve_for_s: 900,
        }
    }

    fn body(json: &str) -> PlaceOrder {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_left_out_is_named_after_the_command_and_taken_from_the_defaults() {
        let small = r#"{"currency": "GBP", "payment": {"capture": "pay_later"},
            "lines": [{"sku": "85123a", "title": "Heart", "qty": 6, "unit_price": "2.55"}]}"#;
        let names = Names(uuid::Uuid::from_u128(7));
        let place = body(small).try_into_command(names, &defaults()).unwrap();
        assert_eq!(place.order_id, OrderId(names.of("order")));
        assert_eq!(place.lines[0].line_id.0, 1);
        assert_eq!(place.lines[0].sku.as_str(), "85123A");
        assert_eq!(place.location.as_str(), "main");
        assert!(place.lines[0].stocked);
    }

    #[test]
    fn every_fault_is_told_with_its_pointer() {
        let faulty = r#"{"currency": "GBP", "payment": {}, "discount": {"amount": -1, "currency": "EUR"},
            "lines": [{"line_id": 0, "sku": "a", "title": "", "qty": 0, "unit_price": "1", "tax_bp": 10001}]}"#;
        let invalid = body(faulty).try_into_command(Names(uuid::Uuid::from_u128(7)), &defaults()).unwrap_err();
        let pointers: Vec<_> = invalid.faults.iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/discount/amount",
                "/discount/currency",
                "/lines/0/line_id",
                "/lines/0/title",
                "/lines/0/qty",
                "/lines/0/tax_bp",
                "/payment/instrument"
            ]
        );
    }

    #[test]
    fn an_order_for_nothing_needs_no_instrument() {
        let place = |price: &str, more: &str| {
            let line = format!(r#"{{"sku": "a", "title": "A", "qty": 2, "unit_price": "{price}"}}"#);
            let json = format!(r#"{{"currency": "GBP", "payment": {{}}, "lines": [{line}]{more}}}"#);
            body(&json).try_into_command(Names(uuid::Uuid::from_u128(7)), &defaults())
        };
        assert_eq!(place("0", "").unwrap().payment.instrument.token(), "");
        let off = r#", "discount": {"amount": 300, "currency": "GBP"}"#;
        assert!(place("1.50", off).is_ok(), "the discount takes all of it");
        let parcel = r#", "shipping": [{"title": "Parcel", "price": {"amount": 1, "currency": "GBP"}}]"#;
        for paid in [place("1.50", ""), place("0", parcel), place("1.51", off)] {
            assert_eq!(paid.unwrap_err().faults[0].pointer, "/payment/instrument");
        }
        // An unexpected total is refused as such.
        let wrong = r#", "expected_total": {"amount": 5, "currency": "GBP"}"#;
        assert!(place("0", wrong).is_ok());
    }

    #[test]
    fn a_field_that_is_not_documented_is_refused() {
        let error = serde_json::from_str::<PlaceOrder>(r#"{"currency": "GBP", "status": "confirmed"}"#);
        assert!(error.unwrap_err().to_string().contains("unknown field"));
    }
}
