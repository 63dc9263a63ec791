//! Our own layout (docs/import.md): orders with priced lines, as CSV with a line of an order a row, or as NDJSON with an order or a
//! receipt of stock a line. Unknown fields are refused, never passed over. What a field may hold is what `POST /v1/orders` takes, by the
//! same types.

mod lines;

use std::collections::{BTreeMap, HashMap};

use csv::{DeserializeErrorKind, StringRecord};
use domain::ids::{CustomerRef, ExternalRef, LocationId, Sku};
use domain::instrument::Instrument;
use domain::money::{Currency, Minor};
use domain::order::command::NewLine;
use domain::order::event::{Capture, PaymentTerms};
use domain::text::Entered;
use domain::time::Timestamp;
use schemas::http::check::{Check, Invalid};
use schemas::http::money::Money;
use schemas::http::{self, MOST_LINES};
use serde::Deserialize;

use super::content::{Content, Sale, Unreadable};
use super::plan::DEFAULT_INSTRUMENT;
use super::price::{self, Price};
use super::table::{self, Form, Refused, Table};
use super::tally::{Class, Counted, Revenue};
use super::whole::{self, Bad, Of};

pub use lines::parse_ndjson;

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
static FORM: Form = Form { columns: &COLUMNS, compulsory: 5, others: false };
/// The longest title, token of a means of payment, and name of a delivery.
const LONGEST_TITLE: usize = 200;

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

/// What is the same in all rows of an order.
#[derive(Clone, PartialEq, Eq)]
struct Head {
    external_ref: ExternalRef,
    at: Timestamp,
    customer: Option<CustomerRef>,
    currency: Currency,
    location: Option<LocationId>,
    payment: Option<PaymentTerms>,
}

/// A row, understood.
struct Part {
    head: Head,
    line: NewLine,
    worth: Revenue,
}

/// Reads CSV.
///
/// # Errors
/// If it is no table with these columns.
pub fn parse_csv(content: &[u8]) -> Result<Content, Unreadable> {
    let mut table = Table::new(content, &FORM)?;
    let (mut parts, mut bad) = (Vec::new(), Vec::new());
    let mut first: HashMap<ExternalRef, (u64, Head, usize)> = HashMap::new();
    while let Some(row) = table.next()? {
        let read = read(&table, &row).and_then(|part| {
            let order = part.head.external_ref.to_string();
            fits_its_order(row.line, &part.head, &mut first).map_err(|refused| (Of::Order(order), refused))?;
            Ok(part)
        });
        match read {
            Ok(part) => parts.push((row.line, part)),
            Err((of, (code, reason))) => bad.push(Bad { line: row.line, code, reason, of }),
        }
    }
    let (kept, refused) = whole::keep_whole(parts, bad, |part| part.head.external_ref.as_str());
    let mut parsed = Content { refused, ..Content::default() };
    (0..parsed.refused.len()).for_each(|_| parsed.tally.add_refused());
    let mut orders = BTreeMap::new();
    for (line, part) in kept {
        add(line, part, &mut orders, &mut parsed);
    }
    Ok(parsed)
}

fn read(table: &Table<'_>, row: &table::Row<'_>) -> Result<Part, (Of, Refused)> {
    let cells = table.cells(row).map_err(|refused| (table.whose(row, &refused), refused))?;
    let (record, header) = (StringRecord::from(cells.clone()), StringRecord::from(COLUMNS.to_vec()));
    let read = record.deserialize::<Row>(Some(&header)).map_err(|error| ("bad-field", reason(&error, &cells)));
    read.and_then(part).map_err(|refused| (table.whose(row, &refused), refused))
}

/// Which cell is wrong, and why.
fn reason(error: &csv::Error, cells: &[&str]) -> String {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
        return error.to_string();
    };
    // What our own types say comes without its column.
    let place = err.field().and_then(|field| usize::try_from(field).ok()).or_else(|| misnamed(cells));
    let cell = price::shorten(place.and_then(|place| cells.get(place)).unwrap_or(&""));
    let why = match err.kind() {
        // A token is shown to nobody, and none of these columns has one.
        DeserializeErrorKind::ParseInt(_) => format!("`{cell}` is no whole number"),
        DeserializeErrorKind::ParseBool(_) => format!("`{cell}` is neither true nor false"),
        other => other.to_string(),
    };
    format!("{}: {why}", place.and_then(|place| COLUMNS.get(place)).unwrap_or(&"the row"))
}

/// The first cell that is no instant, name or currency and should be one.
fn misnamed(cells: &[&str]) -> Option<usize> {
    let wrong = |place: usize, text: &str| match place {
        0 => ExternalRef::try_new(text).is_err(),
        1 => text.parse::<Timestamp>().is_err(),
        2 => Sku::try_new(text).is_err(),
        5 => !text.is_empty() && CustomerRef::try_new(text).is_err(),
        6 => !text.is_empty() && text.parse::<Currency>().is_err(),
        13 => !text.is_empty() && LocationId::try_new(text).is_err(),
        _ => false,
    };
    cells.iter().enumerate().find(|(place, text)| wrong(*place, text)).map(|(place, _)| place)
}

fn part(row: Row) -> Result<Part, Refused> {
    let mut check = Check::new();
    let head = Head {
        external_ref: row.external_ref.0,
        at: row.placed_at,
        customer: row.customer.map(|name| name.0),
        currency: row.currency.unwrap_or_default().0,
        location: row.location.map(|name| name.0),
        payment: terms(&mut check, row.capture, row.instrument.map(Instrument::from).as_ref()),
    };
    let currency = head.currency;
    let unit_price = price::unit_price(&row.unit_price).map_err(|why| ("bad-field", format!("unit_price: {why}")))?;
    let line = http::line::NewLine {
        line_id: None,
        title: titled(row.title, &row.sku.0),
        sku: row.sku,
        qty: row.qty,
        unit_price,
        discount: row.discount.map(|amount| Money { amount, currency }),
        tax_bp: row.tax_bp.unwrap_or(0),
        tax_included: row.tax_included.unwrap_or(true),
        backorder_ok: row.backorder_ok.unwrap_or(false),
        stocked: row.stocked.unwrap_or(true),
    };
    let line = line.check(&mut check, "", 1, currency);
    fits(check)?;
    let worth = worth(&line, currency)?;
    Ok(Part { head, line, worth })
}

/// The title of a line; its SKU if the file has none.
fn titled(given: Option<String>, sku: &Sku) -> String {
    given.filter(|title| !title.is_empty()).unwrap_or_else(|| sku.to_string())
}

/// The first fault of a row.
fn fits(check: Check) -> Result<(), Refused> {
    let first = |invalid: Invalid| invalid.faults.into_iter().next();
    match check.finish(()).err().and_then(first) {
        None => Ok(()),
        Some(fault) => Err(("bad-field", format!("{}: {}", fault.pointer.trim_start_matches('/'), fault.detail))),
    }
}

fn fits_its_order(line: u64, head: &Head, first: &mut HashMap<ExternalRef, (u64, Head, usize)>) -> Result<(), Refused> {
    let order = first.entry(head.external_ref.clone()).or_insert_with(|| (line, head.clone(), 0));
    order.2 += 1;
    if order.1 != *head {
        let what =
            "placed_at, customer, currency, location, capture and instrument are the same in all rows of an order";
        return Err(("order-differs", format!("{what}; line {} has others", order.0)));
    }
    if order.2 > MOST_LINES {
        return Err(("too-many-lines", format!("an order has at most {MOST_LINES} lines")));
    }
    Ok(())
}

fn add(line: u64, part: Part, orders: &mut BTreeMap<ExternalRef, usize>, parsed: &mut Content) {
    let Part { head, line: mut new, worth } = part;
    count(parsed, head.external_ref.as_str(), &new, worth);
    if let Some(place) = orders.get(&head.external_ref) {
        let sale = &mut parsed.sales[*place];
        new.line_id.0 = u32::try_from(sale.lines.len() + 1).unwrap_or(u32::MAX);
        sale.lines.push(new);
        sale.more.push(line);
        return;
    }
    orders.insert(head.external_ref.clone(), parsed.sales.len());
    parsed.sales.push(Sale {
        external_ref: head.external_ref,
        line,
        more: vec![],
        at: head.at,
        customer: head.customer,
        currency: head.currency,
        lines: vec![new],
        discount: 0,
        shipping: vec![],
        ship_to: None,
        payment: head.payment,
        location: head.location,
        tags: vec![],
        expected_total: None,
    });
}

fn terms(check: &mut Check, capture: Option<Capture>, instrument: Option<&Instrument>) -> Option<PaymentTerms> {
    if capture.is_none() && instrument.is_none() {
        return None;
    }
    let instrument = check.optional_text("instrument", instrument.map(Instrument::token), LONGEST_TITLE);
    let instrument = instrument.unwrap_or_else(|| DEFAULT_INSTRUMENT.to_owned()).into();
    Some(PaymentTerms { capture: capture.unwrap_or_default(), instrument, retry_for_s: 0 })
}

/// What a line is worth.
fn worth(line: &NewLine, currency: Currency) -> Result<Revenue, Refused> {
    let bad = |why: String| ("bad-field", format!("unit_price: {why}"));
    let price = Price::parse(&String::from(line.unit_price.clone()), currency).map_err(bad)?;
    let raw = price.raw(i64::from(line.qty)).ok_or_else(|| bad("the line is worth too much".into()))?;
    Ok(Revenue { currency, rounded: price::round(raw), raw })
}

fn count(parsed: &mut Content, order: &str, line: &NewLine, worth: Revenue) {
    let (units, ware) = (i64::from(line.qty), line.stocked);
    parsed.tally.add(Class::Sale, Counted { invoice: order, units, revenue: Some(worth), ware });
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
        let numbers: Vec<_> = content.sales.iter().map(|sale| sale.external_ref.as_str()).collect();
        assert_eq!(numbers, ["8"], "an order is taken with all of its rows or not at all");
        assert_eq!(content.tally.of(Class::Sale).revenue[&Currency::GBP].rounded, 300);
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(refused, [(2, "order-refused"), (4, "order-refused"), (5, "order-differs"), (6, "bad-field")]);
        assert!(content.refused[3].reason.starts_with("qty: "), "{}", content.refused[3].reason);
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
        assert!(matches!(parse_csv(header), Err(Unreadable::UnknownColumn { column, .. }) if column == "colour"));
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
        assert_eq!(content.tally.of(Class::Sale).revenue[&Currency::GBP].rounded, 100);
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(refused, [(4, "repeated"), (5, "bad-field"), (6, "bad-json")]);
    }
}
