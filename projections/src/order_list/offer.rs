//! The offers of the list of orders: the allowed combinations of filters and sorts, and the index that serves each. The
//! same table checks requests, describes the API and feeds the test that explains every query. Other requests are
//! refused, because they would scan every order of the tenant for a page.

use std::fmt::Write as _;

use super::ORDERS;
use super::filter::{BadFilter, Field, Filter, Op, Reading, Sort};
use crate::value::{Index, Value};

/// Which values of a field an offer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values {
    /// Each one.
    Every,
    /// These alone: few orders have them, and an index has those orders and no others.
    Rare(&'static [&'static str]),
}

/// A filter (or none) and a sort that an index serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// The field, `None` for the list without a filter.
    pub(super) field: Option<&'static str>,
    pub(super) values: Values,
    pub(super) sort: &'static str,
    /// The index of the table of orders; `None` for labels, whose rows are in this order themselves, and for rare
    /// values, each of which has its own index.
    pub(super) index: Option<&'static str>,
}

const fn every(field: &'static str, sort: &'static str, index: &'static str) -> Offer {
    Offer { field: Some(field), values: Values::Every, sort, index: Some(index) }
}

const fn rare(field: &'static str, values: &'static [&'static str]) -> Offer {
    Offer { field: Some(field), values: Values::Rare(values), sort: "placed_at", index: None }
}

const fn bare(sort: &'static str, index: &'static str) -> Offer {
    Offer { field: None, values: Values::Every, sort, index: Some(index) }
}

const fn label(field: &'static str) -> Offer {
    Offer { field: Some(field), values: Values::Every, sort: "placed_at", index: None }
}

/// All offers; of several filters that are given with a range, the first one here leads.
pub(super) const OFFERS: &[Offer] = &[
    every("external_ref", "placed_at", "by_reference"),
    every("customer", "placed_at", "by_customer"),
    label("sku"),
    label("tag"),
    rare("on_hold", &["true"]),
    rare("payment_ending", &["true"]),
    rare("stock_status", &["part_reserved", "backordered"]),
    rare("payment_status", &["part_captured", "part_refunded", "refunded", "declined", "unknown"]),
    rare("fulfilment_status", &["part_shipped", "part_delivered"]),
    rare("return_status", &["requested", "part_returned", "returned"]),
    every("status", "placed_at", "by_status"),
    every("status", "updated_at", "by_status_update"),
    every("status", "total", "by_status_total"),
    bare("placed_at", "by_placed"),
    bare("updated_at", "by_update"),
    bare("total", "by_total"),
];

impl Offer {
    /// Whether what leads are the labels.
    pub(super) fn is_label(&self) -> bool {
        self.index.is_none() && matches!(self.values, Values::Every)
    }

    /// Whether all that a filter asks for is offered.
    fn takes(&self, filter: &Filter) -> bool {
        let known = |value: &Value| match self.values {
            Values::Every => true,
            Values::Rare(rare) => rare.contains(&filter.field.word(value).as_str()),
        };
        self.field == Some(filter.field.name) && matches!(filter.op, Op::Eq | Op::In) && filter.values.iter().all(known)
    }

    /// The index that serves a value, and the condition that a query must repeat to the letter where the index has it.
    pub(super) fn serving(&self, value: Option<&Value>) -> Option<&'static Index> {
        match (self.values, self.field, value) {
            (Values::Rare(_), Some(field), Some(value)) => {
                let condition = match value {
                    Value::Int(flag) => format!("{field} = {flag}"),
                    Value::Text(word) => format!("{field} = '{word}'"),
                    Value::Null | Value::Blob(_) => return None,
                };
                // Taken from the known indexes, so a client's text never gets into a query.
                ORDERS.indexes.iter().find(|index| index.only == Some(condition.as_str()))
            }
            _ => ORDERS.indexes.iter().find(|index| Some(index.name) == self.index),
        }
    }
}

/// How a request is answered.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// What leads through the rows.
    pub(super) offer: &'static Offer,
    /// The filter that leads, if one does.
    pub(super) lead: Option<&'a Filter>,
    /// From and to where in the order of the sort.
    pub(super) ranges: Vec<&'a Filter>,
    /// Filters that are checked row by row, within a bounded range.
    pub(super) rest: Vec<&'a Filter>,
}

/// Finds the offer that serves a request.
///
/// # Errors
/// If there is none: the allowed alternatives.
pub(super) fn plan(filters: &[Filter], sort: Sort) -> Result<Plan<'_>, BadFilter> {
    once_each(filters)?;
    let (ranges, others): (Vec<_>, Vec<_>) = filters.iter().partition(|filter| filter.field.is_sort());
    if let Some(strange) = ranges.iter().find(|filter| filter.field.name != sort.column) {
        let name = strange.field.name;
        return Err(strange.bad(format!("needs sort={name} or sort=-{name}")));
    }
    let offers = || OFFERS.iter().filter(|offer| offer.sort == sort.column);
    let bare = offers().find(|offer| offer.field.is_none());
    let bare = bare.ok_or_else(|| BadFilter { parameter: "sort".into(), what: Sort::KNOWN.into() })?;
    match others[..] {
        [] => return Ok(Plan { offer: bare, lead: None, ranges, rest: Vec::new() }),
        [only] => {
            if let Some(offer) = offers().find(|offer| offer.takes(only)) {
                return Ok(Plan { offer, lead: Some(only), ranges, rest: Vec::new() });
            }
        }
        _ => {}
    }
    let begins = ranges.iter().any(|range| matches!(range.op, Op::Gte | Op::Eq));
    if sort.column != "placed_at" || !begins {
        return Err(refused(&others, sort));
    }
    let single = |filter: &&&Filter| filter.values.len() == 1;
    let lead = offers().find_map(|offer| Some((offer, *others.iter().filter(single).find(|it| offer.takes(it))?)));
    let (offer, lead) = lead.map_or((bare, None), |(offer, lead)| (offer, Some(lead)));
    let rest = others.into_iter().filter(|filter| !lead.is_some_and(|lead| std::ptr::eq(lead, *filter))).collect();
    Ok(Plan { offer, lead, ranges, rest })
}

/// A field is compared once, or once from below and once from above.
fn once_each(filters: &[Filter]) -> Result<(), BadFilter> {
    for (at, filter) in filters.iter().enumerate() {
        let clash = filters[..at].iter().find(|earlier| {
            let bounds = matches!((earlier.op, filter.op), (Op::Gte, Op::Lt) | (Op::Lt, Op::Gte));
            earlier.field == filter.field && !bounds
        });
        if clash.is_some() {
            return Err(filter.bad(format!("{} is given twice", filter.field.name)));
        }
    }
    Ok(())
}

const BY_RANGE: &str = "with placed_at[gte] and sort=placed_at or sort=-placed_at";

/// The allowed alternatives.
fn refused(filters: &[&Filter], sort: Sort) -> BadFilter {
    let Some(first) = filters.first() else {
        return BadFilter { parameter: "sort".into(), what: Sort::KNOWN.into() };
    };
    if filters.len() > 1 {
        let names: Vec<_> = filters.iter().map(|filter| filter.field.name).collect();
        return first
            .bad(format!("{} can only be combined {BY_RANGE}; GET /v1/orders documents each alone", names.join(", ")));
    }
    let own: Vec<_> = OFFERS.iter().filter(|offer| offer.field == Some(first.field.name)).collect();
    let sorts: Vec<_> = own.iter().map(|offer| format!("sort={0} or sort=-{0}", offer.sort)).collect();
    let rare = own.iter().find_map(|offer| match offer.values {
        Values::Rare(rare) => Some(rare.join(", ")),
        Values::Every => None,
    });
    first.bad(match (rare, own.is_empty(), first.op) {
        (_, true, _) | (_, _, Op::Prefix) => format!("is only allowed {BY_RANGE}"),
        (Some(rare), ..) => {
            format!("is allowed for {rare} with {}; for other values only {BY_RANGE}", sorts.join(", "))
        }
        (None, ..) => format!("is allowed with {}, and not with sort={}", sorts.join(", "), sort.column),
    })
}

/// What the list offers, as a table in Markdown: for the description of the API.
#[must_use]
pub fn offered() -> String {
    let mut table = String::from("| filter | values | sort |\n|---|---|---|\n");
    for offer in OFFERS {
        let field = offer.field.map_or("none".to_owned(), |field| format!("`{field}`"));
        let values = match (offer.field, offer.values) {
            (None, _) => String::new(),
            (_, Values::Rare(rare)) => rare.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            (_, Values::Every) => "any one, or several with `[in]`".to_owned(),
        };
        let _ = writeln!(table, "| {field} | {values} | `{0}`, `-{0}` |", offer.sort);
    }
    let scanned: Vec<_> = Field::all()
        .filter(|field| !field.is_sort() && !OFFERS.iter().any(|offer| offer.field == Some(field.name)))
        .map(|field| format!("`{}`", field.name))
        .collect();
    let prefixes: Vec<_> = Field::all()
        .filter(|field| matches!(field.reading, Reading::Name(_)))
        .map(|field| format!("`{}[prefix]`", field.name))
        .collect();
    let _ = write!(
        table,
        "\nEach may be combined with `[gte]` and `[lt]` of the field that the list is sorted by. With `placed_at[gte]` (or `placed_at` \
         itself) and a sort by `placed_at`, these filters are also allowed, and several together: {}, {}, and every \
         value of the states \
         above. Such a query scans every order of the range, so keep the range short.\n",
        scanned.join(", "),
        prefixes.join(", ")
    );
    table
}
