//! Placing: the arithmetic is proven, and what cannot be right is refused with its numbers.

use super::*;
use crate::order::line::{LineProblem, Totals};
use crate::order::refusal::{LineAmounts, Refusal};

#[track_caller]
fn refused(place: Place, line_id: impl Into<Option<LineId>>, problem: LineProblem) {
    let line_id = line_id.into();
    given::<Order>([]).when(placing(place)).then_refused(Refusal::InvalidLine { line_id, problem });
}

fn one_line(change: impl FnOnce(&mut NewLine)) -> Place {
    let mut line = new_line(L1, 3, "10.00");
    change(&mut line);
    place_of(vec![line])
}

#[test]
fn totals_are_the_sums_of_lines_and_shipping() {
    let order = pending(three_lines());
    let totals = Totals { subtotal: 4_400, discount: 0, shipping: 500, tax: 0, total: 4_900 };
    assert_eq!(order.look().totals, totals);
    assert_eq!(order.look().owed(), 4_900);
    assert_eq!(order.look().balance(), 4_900);
}

#[test]
fn a_line_is_rounded_once_for_all_its_units() {
    let order = pending(one_line(|line| {
        line.unit_price = price("0.001");
        line.qty = 1_500;
    }));
    assert_eq!(order.look().lines[&L1].line.subtotal, 150);
    let mut half = one_line(|line| {
        line.unit_price = price("0.005");
        line.qty = 1;
    });
    assert_eq!(pending(half.clone()).look().lines[&L1].line.subtotal, 0);
    half.rounding = Rounding::HalfUp;
    assert_eq!(pending(half).look().lines[&L1].line.subtotal, 1);
}

#[test]
fn a_currency_has_its_own_decimals() {
    let mut yen = one_line(|line| line.unit_price = price("1500"));
    yen.currency = Currency::JPY;
    assert_eq!(pending(yen).look().lines[&L1].line.subtotal, 4_500);
    let mut dinar = one_line(|line| line.unit_price = price("1.2345678"));
    dinar.currency = Currency::KWD;
    assert_eq!(pending(dinar).look().lines[&L1].line.subtotal, 3_704);
    let mut yen = one_line(|line| line.unit_price = price("0.00001"));
    yen.currency = Currency::JPY;
    let (decimals, allowed) = (5, 4);
    refused(yen, L1, LineProblem::Decimals { decimals, allowed });
}

#[test]
fn tax_is_counted_on_what_is_left_after_all_discounts() {
    let mut place = place_of(vec![new_line(L1, 1, "10.00"), new_line(L2, 2, "10.00")]);
    place.lines[0].tax_bp = 2_000;
    place.lines[0].tax_included = false;
    place.lines[1].discount = 500;
    place.lines[1].tax_bp = 2_000;
    place.discount = 100;
    place.shipping[0].tax_bp = 2_000;
    place.shipping[0].tax_included = false;
    let order = pending(place);
    let [one, two] = [&order.look().lines[&L1].line, &order.look().lines[&L2].line];
    assert_eq!((one.order_discount, one.tax, one.total), (40, 192, 1_152));
    assert_eq!((two.order_discount, two.tax, two.total), (60, 240, 1_440));
    let totals = order.look().totals;
    assert_eq!((totals.discount, totals.tax), (600, 532));
    assert_eq!((totals.shipping, totals.total), (600, 3_192));
}

#[test]
fn an_expected_total_that_is_not_the_total_is_refused_with_both_breakdowns() {
    let mut place = one_line(|line| line.discount = 100);
    place.expected_total = Some(3_400);
    pending(place.clone());
    place.expected_total = Some(3_500);
    given::<Order>([]).when(placing(place)).then_refused(Refusal::TotalsMismatch {
        expected: 3_500,
        computed: Totals { subtotal: 3_000, discount: 100, shipping: 500, tax: 0, total: 3_400 },
        lines: vec![LineAmounts { line_id: L1, subtotal: 3_000, discount: 100, tax: 0, total: 2_900 }],
    });
}

#[test]
fn an_order_has_one_to_two_thousand_lines_each_with_its_own_number() {
    let most = 2_000;
    refused(place_of(vec![]), None, LineProblem::Count { lines: 0, most });
    let many = |n| (1..=n).map(|i| new_line(LineId(i), 1, "1")).collect();
    let lines = 2_001;
    refused(place_of(many(lines)), None, LineProblem::Count { lines, most });
    assert_eq!(pending(place_of(many(most))).look().lines.len(), 2_000);
    let twice = place_of(vec![new_line(L1, 1, "1"), new_line(L1, 2, "1")]);
    refused(twice, L1, LineProblem::Duplicate);
}

#[test]
fn quantities_discounts_and_rates_have_bounds() {
    let largest = 1_000_000;
    for qty in [0, 1_000_001] {
        let problem = LineProblem::Quantity { qty, largest };
        refused(one_line(|line| line.qty = qty), L1, problem);
    }
    for discount in [-1, 3_001] {
        let most = 3_000;
        let problem = LineProblem::Discount { discount, most };
        refused(one_line(|line| line.discount = discount), L1, problem);
    }
    let (tax_bp, largest) = (100_001, 100_000);
    let problem = LineProblem::Tax { tax_bp, largest };
    refused(one_line(|line| line.tax_bp = tax_bp), L1, problem);
    for discount in [-1, 3_001] {
        let mut place = one_line(|_| ());
        place.discount = discount;
        let most = 3_000;
        refused(place, None, LineProblem::Discount { discount, most });
    }
    let (price, largest) = (-1, crate::money::LARGEST);
    let mut place = one_line(|_| ());
    place.shipping[0].price = price;
    refused(place, None, LineProblem::Shipping { price, largest });
}

#[test]
fn amounts_beyond_the_largest_are_refused() {
    let largest = crate::money::LARGEST;
    let dear = one_line(|line| {
        line.unit_price = price("999999999999");
        line.qty = 1_000_000;
    });
    refused(dear, L1, LineProblem::Amount { largest });
    let dear = |id| new_line(LineId(id), 9, "1000000000000".get(..12).unwrap_or("1"));
    let sum = place_of((1..=200).map(dear).collect());
    refused(sum, None, LineProblem::Amount { largest });
}

#[test]
fn there_is_no_order_before_it_is_placed_and_no_second_one_after() {
    given::<Order>([]).when(Command::ClearCapture).then_refused(Refusal::NotFound);
    pending(three_lines()).when(placing(three_lines())).then_refused(Refusal::AlreadyPlaced);
}

#[test]
fn a_free_order_needs_no_payment() {
    let mut place = one_line(|line| line.unit_price = price("0"));
    place.shipping.clear();
    let order = pending(place);
    assert!(!order.look().needs_payment());
    let order = order.after([record_reserved(&[(L1, 3)], &[]), confirm(0), request_shipment(1, None), dispatch(1)]);
    assert_eq!(order.look().status.name(), "completed");
}
