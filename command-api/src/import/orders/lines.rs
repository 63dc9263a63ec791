//! The NDJSON form: an order, or a receipt of stock, a line. A name that is given twice is refused: which of the two is meant is not known.

use std::collections::BTreeMap;

use domain::ids::{CustomerRef, ExternalRef, LocationId, Sku};
use domain::instrument::Instrument;
use domain::money::{Currency, Minor};
use domain::order::event::Capture;
use domain::order::line::UnitPrice;
use domain::text::Entered;
use domain::time::Timestamp;
use schemas::http::address::Address;
use schemas::http::check::Check;
use schemas::http::money::Money;
use schemas::http::{self, placement};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::content::{Content, Receipt, Sale, refusal};
use super::super::keys::RowKey;
use super::super::table::Refused;
use super::super::tally::{Class, Counted};
use super::{LONGEST_TITLE, count, fits, terms, titled, worth};

/// What a line is, whatever else it has.
#[derive(Deserialize)]
struct Kind {
    r#type: Option<Type>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Order,
    Receipt,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default, rename = "type")]
    _type: IgnoredAny,
    external_ref: Entered<ExternalRef>,
    placed_at: Timestamp,
    customer: Option<Entered<CustomerRef>>,
    #[serde(default)]
    currency: Entered<Currency>,
    lines: Vec<Line>,
    #[serde(default)]
    discount: Minor,
    #[serde(default)]
    shipping: Vec<Shipping>,
    ship_to: Option<Address>,
    capture: Option<Capture>,
    instrument: Option<Instrument>,
    location: Option<Entered<LocationId>>,
    #[serde(default)]
    tags: Vec<String>,
    expected_total: Option<Minor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sku: Entered<Sku>,
    title: Option<String>,
    qty: u32,
    unit_price: UnitPrice,
    #[serde(default)]
    discount: Minor,
    #[serde(default)]
    tax_bp: u32,
    #[serde(default = "yes")]
    tax_included: bool,
    #[serde(default)]
    backorder_ok: bool,
    #[serde(default = "yes")]
    stocked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shipping {
    title: String,
    price: Minor,
    #[serde(default)]
    tax_bp: u32,
    #[serde(default = "yes")]
    tax_included: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receive {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    source_ref: String,
    sku: Entered<Sku>,
    qty: u32,
    location: Option<Entered<LocationId>>,
    at: Option<Timestamp>,
}

fn yes() -> bool {
    true
}

/// Reads NDJSON. Every fault belongs to a line.
#[must_use]
pub fn parse_ndjson(content: &[u8]) -> Content {
    let mut parsed = Content::default();
    let mut seen = Seen::new();
    for (line, text) in (1..).zip(lines(content)) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        if let Err((code, reason)) = entry(text, line, &mut seen, &mut parsed) {
            parsed.refused.push(refusal(line, code, reason));
            parsed.tally.add_refused();
        }
    }
    parsed
}

/// Lines as an editor shows them: they end with CRLF, LF, or CR alone.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(content);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text);
        };
        let ended = if text[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[ended..]);
        Some(&text[..end])
    })
}

/// The lines that name an order, or a receipt of a SKU.
type Seen = BTreeMap<(Option<Sku>, String), u64>;

fn entry(text: &[u8], line: u64, seen: &mut Seen, parsed: &mut Content) -> Result<(), Refused> {
    let kind: Kind = json(text)?;
    match kind.r#type.unwrap_or(Type::Order) {
        Type::Order => {
            let order: Order = json(text)?;
            // By the normalised form: two spellings of one name are one name.
            once(seen, (None, order.external_ref.0.to_string()), line)?;
            order_of(order, line, parsed)
        }
        Type::Receipt => {
            let mut receive: Receive = json(text)?;
            let mut check = Check::new();
            receive.source_ref = check.text("source_ref", &receive.source_ref, LONGEST_TITLE);
            check.units("qty", receive.qty);
            fits(check)?;
            once(seen, (Some(receive.sku.0.clone()), receive.source_ref.clone()), line)?;
            receipt_of(receive, line, parsed);
            Ok(())
        }
    }
}

fn json<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, Refused> {
    serde_json::from_slice(text).map_err(|error| {
        let code = if error.is_data() { "bad-field" } else { "bad-json" };
        let reason = error.to_string();
        // The line within the text is always the first one, and would be taken for the line of the file.
        (code, reason.replace(" at line 1 column ", " at column "))
    })
}

fn once(seen: &mut Seen, name: (Option<Sku>, String), line: u64) -> Result<(), Refused> {
    match seen.get(&name) {
        Some(first) => Err(("repeated", format!("line {first} of the file names the same"))),
        None => {
            seen.insert(name, line);
            Ok(())
        }
    }
}

fn order_of(order: Order, line: u64, parsed: &mut Content) -> Result<(), Refused> {
    let (mut check, currency) = (Check::new(), order.currency.0);
    let money = |amount| Money { amount, currency };
    let given = order.lines.into_iter().map(|line| http::line::NewLine {
        line_id: None,
        title: titled(line.title, &line.sku.0),
        sku: line.sku,
        qty: line.qty,
        unit_price: line.unit_price,
        discount: Some(money(line.discount)),
        tax_bp: line.tax_bp,
        tax_included: line.tax_included,
        backorder_ok: line.backorder_ok,
        stocked: line.stocked,
    });
    let charges = order.shipping.into_iter().map(|charge| placement::NewShipping {
        title: charge.title,
        price: money(charge.price),
        tax_bp: charge.tax_bp,
        tax_included: charge.tax_included,
    });
    let sale = Sale {
        external_ref: order.external_ref.0,
        line,
        more: vec![],
        at: order.placed_at,
        customer: order.customer.map(|name| name.0),
        currency,
        lines: placement::lines(&mut check, given.collect(), currency),
        discount: check.money("discount", money(order.discount), currency, 0),
        shipping: placement::shipping(&mut check, charges.collect(), currency),
        ship_to: order.ship_to.map(|address| address.check(&mut check, "ship_to")),
        payment: terms(&mut check, order.capture, order.instrument.as_ref()),
        location: order.location.map(|name| name.0),
        tags: placement::tags(&mut check, &order.tags),
        expected_total: order.expected_total.map(|total| check.money("expected_total", money(total), currency, 0)),
    };
    fits(check)?;
    let worths: Result<Vec<_>, _> = sale.lines.iter().map(|line| worth(line, currency)).collect();
    for (new, worth) in sale.lines.iter().zip(worths?) {
        count(parsed, sale.external_ref.as_str(), new, worth);
    }
    parsed.sales.push(sale);
    Ok(())
}

fn receipt_of(receive: Receive, line: u64, parsed: &mut Content) {
    let (sku, source_ref) = (receive.sku.0, receive.source_ref);
    let counted = Counted { invoice: &source_ref, units: i64::from(receive.qty), revenue: None, ware: true };
    parsed.tally.add(Class::StockReceipt, counted);
    parsed.receipts.push(Receipt {
        key: RowKey { invoice: format!("receipt/{source_ref}/{sku}"), ordinal: 1 },
        line,
        at: receive.at,
        sku,
        location: receive.location.map(|name| name.0),
        qty: receive.qty,
        source_ref: Some(source_ref),
    });
}
