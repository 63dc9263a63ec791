//! The arithmetic of lines, charges and totals. Done once when a line is placed or edited, and stored; never done again from prices.

use super::units::{self, invalid};
use crate::ids::LineId;
use crate::money::{self, Currency, LARGEST, Minor, Rounding, TooLarge};
use crate::order::command::{NewLine, NewShipping};
use crate::order::line::{Line, LineProblem, ShippingCharge, Totals};
use crate::order::refusal::Refusal;

/// How many digits a unit price may have beyond the currency's minor unit.
const EXTRA_DIGITS: u32 = 4;
/// The highest tax rate, in basis points: 1,000 %.
const HIGHEST_TAX: u32 = 100_000;

pub(super) fn too_large(line_id: Option<LineId>) -> impl Fn(TooLarge) -> Refusal {
    move |TooLarge| invalid(line_id, LineProblem::Amount { largest: LARGEST })
}

/// A line as it is placed, without a share of the order's discount.
pub(super) fn line(new: &NewLine, currency: Currency, rounding: Rounding) -> Result<Line, Refusal> {
    let mut line = Line {
        line_id: new.line_id,
        sku: new.sku.clone(),
        title: new.title.clone(),
        qty: new.qty,
        unit_price: new.unit_price.clone(),
        subtotal: 0,
        discount: new.discount,
        order_discount: 0,
        tax_bp: new.tax_bp,
        tax_included: new.tax_included,
        tax: 0,
        total: 0,
        backorder_ok: new.backorder_ok,
        stocked: new.stocked,
    };
    compute(&mut line, currency, rounding)?;
    Ok(line)
}

/// Computes a line's amounts from its quantity, price, discounts and tax rate.
pub(super) fn compute(line: &mut Line, currency: Currency, rounding: Rounding) -> Result<(), Refusal> {
    let id = line.line_id;
    units::quantity(id, line.qty)?;
    tax_rate(Some(id), line.tax_bp)?;
    let allowed = currency.exponent() + EXTRA_DIGITS;
    let decimals = line.unit_price.decimals();
    if decimals > allowed {
        return Err(invalid(id, LineProblem::Decimals { decimals, allowed }));
    }
    let digits = i128::from(line.unit_price.digits()) * i128::from(line.qty);
    line.subtotal =
        money::from_decimal(digits, line.unit_price.scale(), currency, rounding).map_err(too_large(Some(id)))?;
    let discount = line.discount.saturating_add(line.order_discount);
    if line.discount < 0 || discount > line.subtotal {
        let most = line.subtotal;
        return Err(invalid(id, LineProblem::Discount { discount, most }));
    }
    let net = line.subtotal - discount;
    (line.tax, line.total) = taxed(net, line.tax_bp, line.tax_included, rounding).map_err(too_large(Some(id)))?;
    Ok(())
}

/// A shipping charge with its tax.
pub(super) fn charge(new: &NewShipping, rounding: Rounding) -> Result<ShippingCharge, Refusal> {
    if !(0..=LARGEST).contains(&new.price) {
        let (price, largest) = (new.price, LARGEST);
        return Err(invalid(None, LineProblem::Shipping { price, largest }));
    }
    tax_rate(None, new.tax_bp)?;
    let (tax, total) = taxed(new.price, new.tax_bp, new.tax_included, rounding).map_err(too_large(None))?;
    Ok(ShippingCharge {
        title: new.title.clone(),
        price: new.price,
        tax_bp: new.tax_bp,
        tax_included: new.tax_included,
        tax,
        total,
    })
}

/// The sums of the lines and the charges.
pub(super) fn totals<'a>(
    lines: impl Iterator<Item = &'a Line>,
    shipping: &[ShippingCharge],
) -> Result<Totals, TooLarge> {
    let mut totals = Totals::default();
    for line in lines {
        totals.subtotal = money::add(totals.subtotal, line.subtotal)?;
        totals.discount = money::sum([totals.discount, line.discount, line.order_discount])?;
        totals.tax = money::add(totals.tax, line.tax)?;
        totals.total = money::add(totals.total, line.total)?;
    }
    for charge in shipping {
        totals.shipping = money::add(totals.shipping, charge.total)?;
        totals.tax = money::add(totals.tax, charge.tax)?;
        totals.total = money::add(totals.total, charge.total)?;
    }
    Ok(totals)
}

/// The tax on an amount, and what is owed for it.
fn taxed(net: Minor, tax_bp: u32, included: bool, rounding: Rounding) -> Result<(Minor, Minor), TooLarge> {
    let tax = money::tax(net, tax_bp, included, rounding)?;
    let total = if included { net } else { money::add(net, tax)? };
    Ok((tax, total))
}

fn tax_rate(line_id: Option<LineId>, tax_bp: u32) -> Result<(), Refusal> {
    if tax_bp <= HIGHEST_TAX {
        return Ok(());
    }
    let largest = HIGHEST_TAX;
    Err(invalid(line_id, LineProblem::Tax { tax_bp, largest }))
}
