//! Placing an order: what the caller prices is proven and stored. Never trusts a sum that it was given.

use std::collections::BTreeSet;

use super::units::{self, invalid};
use super::{Decision, price};
use crate::money::{self, Minor};
use crate::order::command::Place;
use crate::order::event::{Event, Placed};
use crate::order::line::{Line, LineProblem, ShippingCharge, Totals};
use crate::order::refusal::{LineAmounts, Refusal};

pub(super) fn place(place: &Place) -> Decision {
    let lines = lines(place)?;
    let shipping: Vec<ShippingCharge> =
        place.shipping.iter().map(|charge| price::charge(charge, place.rounding)).collect::<Result<_, _>>()?;
    let totals = price::totals(lines.iter(), &shipping).map_err(price::too_large(None))?;
    match place.expected_total {
        Some(expected) if expected != totals.total => Err(mismatch(expected, totals, &lines)),
        _ => Ok(vec![Event::Placed(Box::new(Placed {
            order_id: place.order_id,
            external_ref: place.external_ref.clone(),
            channel: place.channel.clone(),
            customer: place.customer.clone(),
            currency: place.currency,
            rounding: place.rounding,
            lines,
            shipping,
            ship_to: place.ship_to.clone(),
            totals,
            payment: place.payment.clone(),
            location: place.location.clone(),
            reserve_for_s: place.reserve_for_s,
            occurred_at: place.occurred_at,
            tags: place.tags.clone(),
            replaces: place.replaces,
            basket: place.basket.clone(),
        }))]),
    }
}

/// The lines by their numbers, each with its share of the order's discount.
fn lines(place: &Place) -> Result<Vec<Line>, Refusal> {
    units::count(place.lines.len())?;
    let mut seen = BTreeSet::new();
    let mut lines = Vec::with_capacity(place.lines.len());
    for new in &place.lines {
        if !seen.insert(new.line_id) {
            return Err(invalid(new.line_id, LineProblem::Duplicate));
        }
        lines.push(price::line(new, place.currency, place.rounding)?);
    }
    lines.sort_by_key(|line| line.line_id);
    if place.discount != 0 {
        spread(place, &mut lines)?;
    }
    Ok(lines)
}

fn spread(place: &Place, lines: &mut [Line]) -> Result<(), Refusal> {
    let nets: Vec<Minor> = lines.iter().map(|l| l.subtotal - l.discount).collect();
    let most = money::sum(nets.iter().copied()).map_err(price::too_large(None))?;
    if !(0..=most).contains(&place.discount) {
        let discount = place.discount;
        return Err(invalid(None, LineProblem::Discount { discount, most }));
    }
    for (line, share) in lines.iter_mut().zip(money::spread(place.discount, &nets)) {
        line.order_discount = share;
        price::compute(line, place.currency, place.rounding)?;
    }
    Ok(())
}

fn mismatch(expected: Minor, computed: Totals, lines: &[Line]) -> Refusal {
    let amounts = |line: &Line| LineAmounts {
        line_id: line.line_id,
        subtotal: line.subtotal,
        discount: line.discount + line.order_discount,
        tax: line.tax,
        total: line.total,
    };
    Refusal::TotalsMismatch { expected, computed, lines: lines.iter().map(amounts).collect() }
}
