//! Lines of orders: as the caller prices them, and as they stand, with every counter. Nothing here does arithmetic on money.

use domain::ids::{LineId, Sku};
use domain::money::Currency;
use domain::order::command::{self, Units};
use domain::order::line::UnitPrice;
use domain::order::state::LineState;
use domain::text::Entered;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::Check;
use super::money::Money;

/// A line as the caller prices it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLine {
    /// Its number in the order; its place in the list, from 1, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, example = 1)]
    pub line_id: Option<LineId>,
    /// The SKU. SKUs that differ only in letter case are the same; it is stored in upper case.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "85123A")]
    pub sku: Entered<Sku>,
    /// The title.
    #[schema(min_length = 1, max_length = 200, example = "White hanging heart t-light holder")]
    pub title: String,
    /// Units.
    #[schema(minimum = 1, maximum = 1_000_000, example = 6)]
    pub qty: u32,
    /// Price of one unit in major units: a decimal with up to four digits beyond the currency's minor unit.
    #[schema(value_type = String, pattern = r"^[0-9]{1,12}(\.[0-9]{1,8})?$", example = "2.55")]
    pub unit_price: UnitPrice,
    /// Discount on the whole line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Money>,
    /// Tax rate in basis points: 2000 is 20 %.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000, example = 2000)]
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    #[serde(default)]
    pub tax_included: bool,
    /// Whether it may wait for stock.
    #[serde(default)]
    pub backorder_ok: bool,
    /// Whether the line is goods that are kept in stock; postage and fees are not.
    #[serde(default = "yes")]
    pub stocked: bool,
}

/// Units of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineUnits {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000, example = 2)]
    pub qty: u32,
}

/// The current state of a line: `ordered = cancelled + reserved + backordered + unassigned + shipped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineBody {
    /// Its number in the order.
    #[schema(value_type = u32, example = 1)]
    pub line_id: LineId,
    /// The SKU.
    #[schema(value_type = String, example = "85123A")]
    pub sku: Sku,
    /// The title at the time of the sale.
    pub title: String,
    /// Units ordered, edits included.
    #[schema(example = 6)]
    pub ordered: u32,
    /// Units that will not ship.
    pub cancelled: u32,
    /// Units held for it.
    pub reserved: u32,
    /// Units promised once stock comes.
    pub backordered: u32,
    /// Units that are neither held nor promised yet.
    pub unassigned: u32,
    /// Of the reserved, those in a requested shipment.
    pub shipping: u32,
    /// Units that left.
    pub shipped: u32,
    /// Shipped units that arrived.
    pub delivered: u32,
    /// Shipped units that got lost.
    pub lost: u32,
    /// Units announced to come back.
    pub return_requested: u32,
    /// Units that came back.
    pub returned: u32,
    /// Returned units that are back in stock.
    pub restocked: u32,
    /// Returned units that cannot be sold.
    pub written_off: u32,
    /// Price of one unit in major units.
    #[schema(value_type = String, example = "2.55")]
    pub unit_price: UnitPrice,
    /// `round(unit_price × ordered)`.
    pub subtotal: Money,
    /// Discount on this line.
    pub discount: Money,
    /// This line's share of the order's discount.
    pub order_discount: Money,
    /// Tax rate in basis points.
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    pub tax_included: bool,
    /// The tax on the amount after discounts.
    pub tax: Money,
    /// What the customer owes for the line.
    pub total: Money,
    /// Value of the cancelled units.
    pub cancelled_value: Money,
    /// Value of the units that left.
    pub shipped_value: Money,
    /// Value of the units that came back.
    pub returned_value: Money,
    /// Whether it may wait for stock.
    pub backorder_ok: bool,
    /// Whether the line is goods that are kept in stock.
    pub stocked: bool,
}

fn yes() -> bool {
    true
}

impl NewLine {
    /// The domain's line; `place` is its place in the list, from 1. Faults are noted under `at`.
    pub fn check(self, check: &mut Check, at: &str, place: usize, currency: Currency) -> command::NewLine {
        let line_id = self.line_id.unwrap_or_else(|| LineId(u32::try_from(place).unwrap_or(u32::MAX)));
        if line_id.0 == 0 {
            check.fault(format_args!("{at}/line_id"), "must be at least 1");
        }
        let title = check.text(format_args!("{at}/title"), &self.title, 200);
        check.units(format_args!("{at}/qty"), self.qty);
        check.tax_rate(format_args!("{at}/tax_bp"), self.tax_bp);
        let discount =
            self.discount.map_or(0, |discount| check.money(format_args!("{at}/discount"), discount, currency, 0));
        command::NewLine {
            line_id,
            sku: self.sku.0,
            title,
            qty: self.qty,
            unit_price: self.unit_price,
            discount,
            tax_bp: self.tax_bp,
            tax_included: self.tax_included,
            backorder_ok: self.backorder_ok,
            stocked: self.stocked,
        }
    }
}

/// The domain's units of a list; faults are noted under `at`.
pub(super) fn units(check: &mut Check, at: &str, lines: &[LineUnits]) -> Vec<Units> {
    if !check.list(at, lines, 1) {
        return Vec::new();
    }
    for (i, line) in lines.iter().enumerate() {
        check.units(format_args!("{at}/{i}/qty"), line.qty);
    }
    check.lines_once(at, lines.iter().map(|line| (line.line_id, ())));
    lines.iter().map(|line| Units { line_id: line.line_id, qty: line.qty }).collect()
}

impl LineBody {
    /// The view of a line.
    #[must_use]
    pub fn new(state: &LineState, currency: Currency) -> Self {
        let money = |amount| Money::new(amount, currency);
        let line = &state.line;
        let assigned = state.cancelled + state.reserved + state.backordered + state.shipped;
        Self {
            line_id: line.line_id,
            sku: line.sku.clone(),
            title: line.title.clone(),
            ordered: line.qty,
            cancelled: state.cancelled,
            reserved: state.reserved,
            backordered: state.backordered,
            unassigned: line.qty.saturating_sub(assigned),
            shipping: state.shipping,
            shipped: state.shipped,
            delivered: state.delivered,
            lost: state.lost,
            return_requested: state.return_requested,
            returned: state.returned,
            restocked: state.restocked,
            written_off: state.written_off,
            unit_price: line.unit_price.clone(),
            subtotal: money(line.subtotal),
            discount: money(line.discount),
            order_discount: money(line.order_discount),
            tax_bp: line.tax_bp,
            tax_included: line.tax_included,
            tax: money(line.tax),
            total: money(line.total),
            cancelled_value: money(state.cancelled_value),
            shipped_value: money(state.shipped_value),
            returned_value: money(state.returned_value),
            backorder_ok: line.backorder_ok,
            stocked: line.stocked,
        }
    }
}
