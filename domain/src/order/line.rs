//! The lines of an order, as its events store them: each line with its amounts, computed once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{LineId, LocationId, Sku};
use crate::money::Minor;
use crate::stored::is_default;

/// A line of an order with its stored amounts. `subtotal = round(unit_price × qty)`, once;
/// `total = subtotal − discount − order_discount`, plus `tax` where it is not included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its number in the order.
    pub line_id: LineId,
    /// The SKU.
    pub sku: Sku,
    /// The title at the time of the sale.
    pub title: String,
    /// Units, 1 to 1,000,000.
    pub qty: u32,
    /// Price of one unit in major units, a decimal with up to four digits beyond the minor unit: `2.55`, `0.001`.
    pub unit_price: UnitPrice,
    /// `round(unit_price × qty)`.
    pub subtotal: Minor,
    /// Discount on this line, as given.
    pub discount: Minor,
    /// This line's share of the order's discount, spread by largest remainder.
    pub order_discount: Minor,
    /// Tax rate in basis points: 2000 is 20 %.
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    pub tax_included: bool,
    /// The tax on the amount after discounts, rounded once.
    pub tax: Minor,
    /// What the customer owes for the line.
    pub total: Minor,
    /// Whether it may wait for stock to come.
    pub backorder_ok: bool,
    /// Whether it is ware that is kept in stock; postage and fees are not.
    pub stocked: bool,
}

/// A shipping charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShippingCharge {
    /// How it is shipped.
    pub title: String,
    /// The price as given.
    pub price: Minor,
    /// Tax rate in basis points.
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    pub tax_included: bool,
    /// The tax, rounded once.
    pub tax: Minor,
    /// What the customer owes for it.
    pub total: Minor,
}

/// The sums of the stored line values; never computed again from prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Σ line subtotals.
    pub subtotal: Minor,
    /// Σ line discounts and shares of the order's discount.
    pub discount: Minor,
    /// Σ shipping totals.
    pub shipping: Minor,
    /// Σ taxes of lines and shipping.
    pub tax: Minor,
    /// What the customer owes: Σ line totals and shipping totals.
    pub total: Minor,
}

/// A price of one unit in major units: a decimal ≥ 0 with up to four digits beyond the currency's minor unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct UnitPrice {
    digits: i64,
    scale: u32,
}

/// A quantity of a line at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineQty {
    /// The line.
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
    /// Where they are kept.
    pub location: LocationId,
}

/// Units of a line that stock is to release, each kind as the order counted it. If stock chose the kind itself, it could take units that it
/// promised and the order has not heard of, and both would count different units as held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineRelease {
    /// The line.
    pub line_id: LineId,
    /// Units that were held for it.
    pub qty: u32,
    /// Units that it waited for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backordered: u32,
    /// Where they are kept.
    pub location: LocationId,
}

/// What cannot be right about a line, or about the lines together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum LineProblem {
    /// None, or too many.
    #[error("{lines} lines are named: name 1 to {most}")]
    Count {
        /// How many are named.
        lines: u32,
        /// How many may be.
        most: u32,
    },
    /// Named twice.
    #[error("it is named twice")]
    Duplicate,
    /// There is none.
    #[error("the order has no such line")]
    NotFound,
    /// No quantity.
    #[error("the quantity {qty} is not between 1 and {largest}")]
    Quantity {
        /// Units given.
        qty: u32,
        /// The most there may be.
        largest: u32,
    },
    /// More digits than the currency allows.
    #[error("the unit price has {decimals} decimals and may have {allowed}")]
    Decimals {
        /// Decimals given.
        decimals: u32,
        /// The most there may be.
        allowed: u32,
    },
    /// More than nothing is left of, or less than nothing.
    #[error("the discount {discount} is not between 0 and {most}")]
    Discount {
        /// The discount given, with the share of the order's discount.
        discount: Minor,
        /// The most there may be.
        most: Minor,
    },
    /// No shipping charge.
    #[error("the shipping price {price} is not between 0 and {largest}")]
    Shipping {
        /// The price given.
        price: Minor,
        /// The most there may be.
        largest: Minor,
    },
    /// No tax rate.
    #[error("the tax rate {tax_bp} is not between 0 and {largest} basis points")]
    Tax {
        /// The rate given.
        tax_bp: u32,
        /// The most there may be.
        largest: u32,
    },
    /// Too much money.
    #[error("an amount is beyond {largest} minor units")]
    Amount {
        /// The most there may be.
        largest: Minor,
    },
}

/// A text that is no unit price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a unit price: use a decimal such as 2.55")]
pub struct NotAPrice(String);

impl UnitPrice {
    /// All its digits, as a whole number.
    #[must_use]
    pub fn digits(&self) -> i64 {
        self.digits
    }

    /// How many of its digits are behind the point.
    #[must_use]
    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// How many decimals it needs: zeros at the end do not count.
    #[must_use]
    pub fn decimals(&self) -> u32 {
        let (mut digits, mut scale) = (self.digits, self.scale);
        while scale > 0 && digits % 10 == 0 {
            digits /= 10;
            scale -= 1;
        }
        scale
    }
}

impl TryFrom<String> for UnitPrice {
    type Error = NotAPrice;

    fn try_from(text: String) -> Result<Self, NotAPrice> {
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let fits = !whole.is_empty() && whole.len() <= 12 && fraction.len() <= 8 && !text.ends_with('.');
        let digits = format!("{whole}{fraction}");
        if !fits || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAPrice(text.chars().take(40).collect()));
        }
        let digits = digits.parse().map_err(|_| NotAPrice(text.clone()))?;
        Ok(Self { digits, scale: u32::try_from(fraction.len()).unwrap_or(0) })
    }
}

impl From<UnitPrice> for String {
    fn from(price: UnitPrice) -> Self {
        let scale = price.scale as usize;
        let digits = format!("{:0width$}", price.digits, width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    }
}
