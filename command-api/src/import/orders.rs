//! Our own layout (docs/import.md): orders with priced lines, as CSV with a line of an order a row, or as NDJSON with an order or a
//! receipt of stock a line. Unknown fields are refused, never passed over.

use std::collections::BTreeMap;
use std::fmt::Display;

use csv::{ReaderBuilder, StringRecord, Trim};
use domain::ids::{CustomerRef, ExternalRef, LineId, LocationId, Sku};
use domain::instrument::Instrument;
use domain::money::{Currency, Minor};
use domain::order::command::{NewLine, NewShipping};
use domain::order::event::{Capture, PaymentTerms};
use domain::order::line::UnitPrice;
use domain::text::Entered;
use domain::time::Timestamp;
use schemas::http::address::Address;
use schemas::http::check::{Check, Invalid};
use schemas::http::placement;
use serde::Deserialize;

use super::content::{Content, Receipt, Sale, Unreadable, refusal};
use super::keys::RowKey;
use super::plan::DEFAULT_INSTRUMENT;
use super::price::{self, Price};
use super::tally::{Class, Counted};

/// Columns that the CSV form knows; the first five have to be there.
const COLUMNS: [&str; 16] = [
    "external_ref",
    "placed_at",
    "sku",
    "qty",
    "unit_price",
    "customer",
    "currency",
    "title",
    "discount",
    "tax_bp",
    "tax_included",
    "stocked",
    "backorder_ok",
    "location",
    "capture",
    "instrument",
];
const COMPULSORY: usize = 5;
/// The most lines of an order.
const MOST_LINES: usize = 2_000;
const MOST_UNITS: u32 = 1_000_000;
/// The longest title, token of a means of payment, and name of a delivery.
const LONGEST_TITLE: usize = 200;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Entry {
    Order(Box<Order>),
    Receipt(Receive),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
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
    source_ref: String,
    sku: Entered<Sku>,
    qty: u32,
    location: Option<Entered<LocationId>>,
    at: Option<Timestamp>,
}

/// A row of the CSV form.
#[derive(Deserialize)]
struct Row {
    external_ref: Entered<ExternalRef>,
    placed_at: Timestamp,
    sku: Entered<Sku>,
    qty: u32,
    unit_price: String,
    customer: Option<Entered<CustomerRef>>,
    currency: Option<Entered<Currency>>,
    title: Option<String>,
    discount: Option<Minor>,
    tax_bp: Option<u32>,
    tax_included: Option<bool>,
    stocked: Option<bool>,
    backorder_ok: Option<bool>,
    location: Option<Entered<LocationId>>,
    capture: Option<Capture>,
    /// Not the type of a token, which accepts only strings: CSV would give a token of digits as a number.
    instrument: Option<String>,
}

fn yes() -> bool {
    true
}

/// Reads NDJSON. Every fault belongs to a line.
#[must_use]
pub fn parse_ndjson(content: &[u8]) -> Content {
    let mut parsed = Content::default();
    let mut seen = Seen::new();
    for (line, text) in (1..).zip(content.split(|byte| *byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        if let Err((code, reason)) = entry(text, line, &mut seen, &mut parsed) {
            parsed.refused.push(refusal(line, code, reason));
            parsed.tally.add_unreadable();
        }
    }
    parsed
}

type Refused = (&'static str, String);
/// The lines that name an order, or a receipt of a SKU.
type Seen = BTreeMap<(Option<Sku>, String), u64>;

fn entry(text: &[u8], line: u64, seen: &mut Seen, parsed: &mut Content) -> Result<(), Refused> {
    let mut value: serde_json::Value = serde_json::from_slice(text).map_err(|error| ("bad-json", error.to_string()))?;
    if let Some(object) = value.as_object_mut() {
        object.entry("type").or_insert_with(|| "order".into());
    }
    let mut entry: Entry = serde_json::from_value(value).map_err(|error| ("bad-field", error.to_string()))?;
    // By the normalised form: two spellings of one name are one name.
    let name = match &mut entry {
        Entry::Order(order) => (None, order.external_ref.0.to_string()),
        Entry::Receipt(receive) => {
            let mut check = Check::new();
            receive.source_ref = check.text("source_ref", &receive.source_ref, LONGEST_TITLE);
            fits(check)?;
            (Some(receive.sku.0.clone()), receive.source_ref.clone())
        }
    };
    if let Some(first) = seen.insert(name.clone(), line) {
        seen.insert(name, first);
        return Err(("repeated", format!("line {first} of the file names the same")));
    }
    match entry {
        Entry::Order(order) => order_of(*order, line, parsed),
        Entry::Receipt(receive) => receipt_of(receive, line, parsed),
    }
}

fn order_of(order: Order, line: u64, parsed: &mut Content) -> Result<(), Refused> {
    if order.lines.is_empty() || order.lines.len() > MOST_LINES {
        return Err(("bad-field", format!("an order has 1 to {MOST_LINES} lines")));
    }
    let (mut check, currency) = (Check::new(), order.currency.0);
    let mut lines = Vec::with_capacity(order.lines.len());
    let mut counted = Vec::with_capacity(order.lines.len());
    for (id, line) in (1..).zip(order.lines) {
        let price = String::from(line.unit_price.clone());
        counted.push(worth(&price, line.qty, currency, line.stocked)?);
        lines.push(NewLine {
            line_id: LineId(id),
            title: title(&mut check, format_args!("lines/{}/title", id - 1), line.title.as_deref(), &line.sku.0),
            sku: line.sku.0,
            qty: line.qty,
            unit_price: line.unit_price,
            discount: line.discount,
            tax_bp: line.tax_bp,
            tax_included: line.tax_included,
            backorder_ok: line.backorder_ok,
            stocked: line.stocked,
        });
    }
    let shipping = order.shipping.into_iter().enumerate().map(|(i, shipping)| NewShipping {
        title: check.text(format_args!("shipping/{i}/title"), &shipping.title, LONGEST_TITLE),
        price: shipping.price,
        tax_bp: shipping.tax_bp,
        tax_included: shipping.tax_included,
    });
    let shipping = shipping.collect();
    let sale = Sale {
        external_ref: order.external_ref.0,
        line,
        at: order.placed_at,
        customer: order.customer.map(|name| name.0),
        currency,
        lines,
        discount: order.discount,
        shipping,
        ship_to: order.ship_to.map(|address| address.check(&mut check, "ship_to")),
        payment: terms(&mut check, order.capture, order.instrument.as_ref()),
        location: order.location.map(|name| name.0),
        tags: placement::tags(&mut check, &order.tags),
        expected_total: order.expected_total,
    };
    fits(check)?;
    for (units, raw, ware) in counted {
        count(parsed, Class::Sale, sale.external_ref.as_str(), units, raw, ware);
    }
    parsed.sales.push(sale);
    Ok(())
}

/// The title of a line; its SKU if the file has none.
fn title(check: &mut Check, at: impl Display, given: Option<&str>, sku: &Sku) -> String {
    match given.filter(|title| !title.is_empty()) {
        Some(title) => check.text(at, title, LONGEST_TITLE),
        None => sku.to_string(),
    }
}

/// The first fault of a row.
fn fits(check: Check) -> Result<(), Refused> {
    let first = |invalid: Invalid| invalid.faults.into_iter().next();
    match check.finish(()).err().and_then(first) {
        None => Ok(()),
        Some(fault) => Err(("bad-field", format!("{}: {}", fault.pointer.trim_start_matches('/'), fault.detail))),
    }
}

fn receipt_of(receive: Receive, line: u64, parsed: &mut Content) -> Result<(), Refused> {
    if receive.qty == 0 || receive.qty > MOST_UNITS {
        return Err(("bad-field", format!("qty: {} is not between 1 and {MOST_UNITS}", receive.qty)));
    }
    let (sku, source_ref) = (receive.sku.0, receive.source_ref);
    count(parsed, Class::StockReceipt, &source_ref, i64::from(receive.qty), 0, true);
    parsed.receipts.push(Receipt {
        key: RowKey { invoice: format!("receipt/{source_ref}/{sku}"), ordinal: 1 },
        line,
        at: receive.at,
        sku,
        location: receive.location.map(|name| name.0),
        qty: receive.qty,
        source_ref: Some(source_ref),
    });
    Ok(())
}

/// Reads CSV.
///
/// # Errors
/// If a column is missing or not known, or the first line is no header.
pub fn parse_csv(content: &[u8]) -> Result<Content, Unreadable> {
    let mut reader = ReaderBuilder::new().flexible(false).trim(Trim::All).from_reader(content);
    let header = reader.headers().map_err(|error| Unreadable::NoHeader(error.to_string()))?.clone();
    for name in &COLUMNS[..COMPULSORY] {
        if !header.iter().any(|column| column == *name) {
            return Err(Unreadable::NoColumn(name));
        }
    }
    if let Some(column) = header.iter().find(|column| !COLUMNS.contains(column)) {
        return Err(Unreadable::UnknownColumn(price::shorten(column)));
    }
    let mut parsed = Content::default();
    let mut orders = BTreeMap::new();
    let mut record = StringRecord::new();
    loop {
        let before = reader.position().line();
        let read = reader.read_record(&mut record);
        let line = record.position().map_or(before, csv::Position::line);
        let refused = match read {
            Ok(false) => break,
            Ok(true) => match record.deserialize::<Row>(Some(&header)) {
                Ok(row) => row_of(row, line, &mut orders, &mut parsed).err().map(|refused| (line, refused)),
                Err(error) => Some((line, ("bad-field", reason(&error, &header)))),
            },
            Err(error) => Some((before, ("unreadable-row", error.to_string()))),
        };
        if let Some((line, (code, reason))) = refused {
            parsed.refused.push(refusal(line, code, reason));
            parsed.tally.add_unreadable();
        }
    }
    Ok(parsed)
}

fn reason(error: &csv::Error, header: &StringRecord) -> String {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
        return error.to_string();
    };
    let column = err.field().and_then(|field| header.get(usize::try_from(field).unwrap_or(usize::MAX)));
    format!("{}: {}", column.unwrap_or("the row"), err.kind())
}

fn row_of(row: Row, line: u64, orders: &mut BTreeMap<ExternalRef, usize>, parsed: &mut Content) -> Result<(), Refused> {
    let currency = row.currency.unwrap_or_default().0;
    let stocked = row.stocked.unwrap_or(true);
    let (units, raw, ware) = worth(&row.unit_price, row.qty, currency, stocked)?;
    let unit_price = price::unit_price(&row.unit_price).map_err(|why| ("bad-field", format!("unit_price: {why}")))?;
    let mut check = Check::new();
    let payment = terms(&mut check, row.capture, row.instrument.map(Instrument::from).as_ref());
    let title = title(&mut check, "title", row.title.as_deref(), &row.sku.0);
    fits(check)?;
    let (external_ref, customer) = (row.external_ref.0, row.customer.map(|name| name.0));
    let location = row.location.map(|name| name.0);
    let place = match orders.get(&external_ref) {
        Some(place) => *place,
        None => {
            orders.insert(external_ref.clone(), parsed.sales.len());
            parsed.sales.push(Sale {
                external_ref: external_ref.clone(),
                line,
                at: row.placed_at,
                customer: customer.clone(),
                currency,
                lines: vec![],
                discount: 0,
                shipping: vec![],
                ship_to: None,
                payment: payment.clone(),
                location: location.clone(),
                tags: vec![],
                expected_total: None,
            });
            parsed.sales.len() - 1
        }
    };
    let sale = &mut parsed.sales[place];
    if (sale.at, &sale.customer, sale.currency, &sale.location, &sale.payment)
        != (row.placed_at, &customer, currency, &location, &payment)
    {
        let what =
            "placed_at, customer, currency, location, capture and instrument are the same in all rows of an order";
        return Err(("order-differs", format!("{what}; line {} has others", sale.line)));
    }
    if sale.lines.len() == MOST_LINES {
        return Err(("too-many-lines", format!("an order has at most {MOST_LINES} lines")));
    }
    sale.lines.push(NewLine {
        line_id: LineId(u32::try_from(sale.lines.len() + 1).unwrap_or(u32::MAX)),
        title,
        sku: row.sku.0,
        qty: row.qty,
        unit_price,
        discount: row.discount.unwrap_or(0),
        tax_bp: row.tax_bp.unwrap_or(0),
        tax_included: row.tax_included.unwrap_or(true),
        backorder_ok: row.backorder_ok.unwrap_or(false),
        stocked,
    });
    count(parsed, Class::Sale, external_ref.as_str(), units, raw, ware);
    Ok(())
}

fn terms(check: &mut Check, capture: Option<Capture>, instrument: Option<&Instrument>) -> Option<PaymentTerms> {
    if capture.is_none() && instrument.is_none() {
        return None;
    }
    let instrument = check.optional_text("instrument", instrument.map(Instrument::token), LONGEST_TITLE);
    let instrument = instrument.unwrap_or_else(|| DEFAULT_INSTRUMENT.to_owned()).into();
    Some(PaymentTerms { capture: capture.unwrap_or_default(), instrument, retry_for_s: 0 })
}

/// Units, their raw value, and whether they are ware.
fn worth(price: &str, qty: u32, currency: Currency, stocked: bool) -> Result<(i64, i64, bool), Refused> {
    if qty == 0 || qty > MOST_UNITS {
        return Err(("bad-field", format!("qty: {qty} is not between 1 and {MOST_UNITS}")));
    }
    let price = Price::parse(price, currency).map_err(|why| ("bad-field", format!("unit_price: {why}")))?;
    if price.is_negative() {
        return Err(("negative-price", "a sale has a price of at least 0".into()));
    }
    let units = i64::from(qty);
    let raw = price.raw(units).ok_or(("bad-field", "unit_price: the line is worth too much".to_owned()))?;
    Ok((units, raw, stocked))
}

fn count(parsed: &mut Content, class: Class, invoice: &str, units: i64, raw: i64, ware: bool) {
    parsed.tally.add(class, Counted { invoice, units, revenue: price::round(raw), raw, ware });
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn rows_of_one_order_become_one_order() {
        let content = parse_csv(
            b"external_ref,placed_at,sku,qty,unit_price,customer\n\
              7,2024-05-01T10:00:00Z,a,2,1.50,c\n\
              8,2024-05-01T10:00:00Z,a,2,1.50,\n\
              7,2024-05-01T10:00:00Z,b,1,2,c\n\
              7,2024-05-02T10:00:00Z,b,1,2,c\n\
              9,2024-05-01T10:00:00Z,b,x,2,c\n",
        )
        .unwrap();
        assert_eq!(content.sales.len(), 2);
        assert_eq!(content.sales[0].lines.len(), 2);
        assert_eq!(content.tally.of(Class::Sale).revenue, 800);
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(refused, [(5, "order-differs"), (6, "bad-field")]);
        assert!(content.refused[1].reason.starts_with("qty: "), "{}", content.refused[1].reason);
    }

    #[test]
    fn a_receipt_that_is_named_in_two_spellings_is_a_repetition() {
        let row =
            |name: &str, sku: &str| format!(r#"{{"type":"receipt","source_ref":"{name}","sku":"{sku}","qty":5}}"#);
        // Two names whose parts read the same one after the other are two.
        let rows = [row("Caf\u{e9}", "a"), row("Cafe\u{301}", "a"), row("x/Y", "z"), row("x", "y/z")];
        let content = parse_ndjson(rows.join("\n").as_bytes());
        assert_eq!(content.receipts.len(), 3);
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(refused, [(2, "repeated")]);
    }

    #[test]
    fn a_refusal_is_short_and_shows_no_token_of_a_means_of_payment() {
        let order = |more: &str| {
            format!(
                r#"{{"external_ref":"1","placed_at":"2024-05-01T10:00:00Z","lines":[{{"sku":"a","qty":1,"unit_price":"1"}}],{more}}}"#
            )
        };
        let unknown = order(&format!(r#""{}":1"#, "x".repeat(5_000)));
        let number = order(r#""instrument":4111111111111111"#);
        let list = order(r#""instrument":["4111111111111111"]"#);
        let line_break = order(r#""instrument":"4111111111111111\n""#);
        for row in [unknown, number, list, line_break] {
            let refused = parse_ndjson(row.as_bytes()).refused;
            let reason = &refused[0].reason;
            assert!(reason.chars().count() <= 300, "{} characters", reason.chars().count());
            assert!(!reason.contains("4111"), "{reason}");
        }
    }

    #[test]
    fn unknown_columns_and_fields_are_named() {
        let header = b"external_ref,placed_at,sku,qty,unit_price,colour\n";
        assert_eq!(parse_csv(header), Err(Unreadable::UnknownColumn("colour".into())));
        let content = parse_ndjson(
            br#"{"external_ref":"1","placed_at":"2024-05-01T10:00:00Z","lines":[{"sku":"a","qty":1,"unit_price":"1"}],"colour":"red"}"#,
        );
        assert!(content.refused[0].reason.contains("colour"), "{}", content.refused[0].reason);
    }

    #[test]
    fn ndjson_holds_orders_and_receipts() {
        let content = parse_ndjson(
            br#"{"type":"receipt","source_ref":"D1","sku":"a","qty":5}
{"external_ref":"1","placed_at":"2024-05-01T10:00:00Z","lines":[{"sku":"a","qty":3,"unit_price":"0.335"}]}

{"external_ref":"1","placed_at":"2024-05-01T10:00:00Z","lines":[{"sku":"a","qty":3,"unit_price":"0.335"}]}
{"external_ref":"2","placed_at":"2024-05-01T10:00:00Z","lines":[]}
nonsense"#,
        );
        assert_eq!((content.receipts.len(), content.sales.len()), (1, 1));
        assert_eq!(content.tally.of(Class::Sale).revenue, 100);
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(refused, [(4, "repeated"), (5, "bad-field"), (6, "bad-json")]);
    }
}
