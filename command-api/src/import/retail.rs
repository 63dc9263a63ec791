//! The layout of the *Online Retail* data set: invoice lines, with sales, credit notes, stock corrections and bad-debt adjustments
//! in one list. A bad row is reported and never stops the rest; every row is counted in exactly one class.

use std::collections::{BTreeMap, HashMap};

use csv::{ByteRecord, ReaderBuilder};
use domain::ids::{CustomerRef, ExternalRef, LineId, Sku};
use domain::import::RowRefusal;
use domain::money::Currency;
use domain::order::command::NewLine;
use domain::order::event::Address;
use domain::text::cleaned_line;
use domain::time::Timestamp;

use super::content::{Content, Correction, Credit, Sale, Unreadable, refusal};
use super::keys::RowKey;
use super::london;
use super::price::{self, Price};
use super::tally::{Class, Counted};

const COLUMNS: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// The largest quantity of a row.
const MOST_UNITS: i64 = 1_000_000;
/// The most lines of an order.
const MOST_LINES: usize = 2_000;

/// Stock codes of sales and charges that are not kept in stock. Gift vouchers (`GIFT_…`) are also such codes.
const NO_WARE: [&str; 9] = ["POST", "DOT", "C2", "M", "D", "S", "AMAZONFEE", "BANK CHARGES", "CRUK"];

/// Whether a stock code means goods that are kept in stock.
#[must_use]
pub fn is_ware(sku: &Sku) -> bool {
    !NO_WARE.contains(&sku.as_str()) && !sku.as_str().starts_with("GIFT_")
}

/// Reads the whole content.
///
/// # Errors
/// If a column is missing or the first line is no header.
pub fn parse(content: &[u8]) -> Result<Content, Unreadable> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(content);
    let columns = Columns::find(reader.byte_headers().map_err(|error| Unreadable::NoHeader(error.to_string()))?)?;
    let mut parsed = Content::default();
    let mut rows = Vec::new();
    let mut ordinals: HashMap<String, u32> = HashMap::new();
    let mut record = ByteRecord::new();
    loop {
        let before = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                parsed.refused.push(refusal(before, "unreadable-row", error.to_string()));
                parsed.tally.add_unreadable();
                continue;
            }
        }
        let line = record.position().map_or(before, csv::Position::line);
        match columns.row(&record, line, &mut ordinals) {
            Ok(row) => rows.push(row),
            Err(refused) => {
                parsed.refused.push(refused);
                parsed.tally.add_unreadable();
            }
        }
    }
    sort_out(rows, &ordinals, &mut parsed);
    parsed.refused.sort_by_key(|refused| refused.line);
    Ok(parsed)
}

struct Columns([usize; 8]);

struct Row {
    line: u64,
    key: RowKey,
    sku: Sku,
    title: String,
    qty: i64,
    at: Timestamp,
    price: Price,
    price_text: String,
    raw: i64,
    customer: Option<CustomerRef>,
    country: String,
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Self, Unreadable> {
        let mut found = [0; 8];
        for (place, name) in COLUMNS.iter().enumerate() {
            found[place] = header
                .iter()
                .position(|column| column.trim_ascii() == name.as_bytes())
                .ok_or(Unreadable::NoColumn(name))?;
        }
        Ok(Self(found))
    }

    fn row(&self, record: &ByteRecord, line: u64, ordinals: &mut HashMap<String, u32>) -> Result<Row, RowRefusal> {
        let text = |place: usize| -> Result<&str, RowRefusal> {
            let bytes = record
                .get(self.0[place])
                .ok_or_else(|| refusal(line, "missing-field", format!("the row has no {}", COLUMNS[place])))?;
            std::str::from_utf8(bytes)
                .map(str::trim)
                .map_err(|_| refusal(line, "not-utf8", format!("{} is not UTF-8", COLUMNS[place])))
        };
        let bad = |place: usize, why: String| refusal(line, "bad-field", format!("{}: {why}", COLUMNS[place]));
        let invoice = ExternalRef::try_new(text(0)?).map_err(|error| bad(0, error.to_string()))?;
        let invoice = String::from(invoice);
        let ordinal = ordinals.entry(invoice.clone()).or_default();
        *ordinal += 1;
        let key = RowKey { invoice, ordinal: *ordinal };
        let sku = Sku::try_new(text(1)?).map_err(|error| bad(1, error.to_string()))?;
        let qty: i64 = text(3)?
            .parse()
            .map_err(|_| bad(3, format!("`{}` is no whole number", price::shorten(text(3).unwrap_or_default()))))?;
        if qty == 0 || qty.abs() > MOST_UNITS {
            return Err(bad(3, format!("{qty} is not between 1 and {MOST_UNITS} units, or as many below 0")));
        }
        let at = london::parse(text(4)?).ok_or_else(|| {
            bad(
                4,
                format!(
                    "`{}` is no date and time such as 2010-12-01 08:26:00",
                    price::shorten(text(4).unwrap_or_default())
                ),
            )
        })?;
        let price = Price::parse(text(5)?, Currency::GBP).map_err(|why| bad(5, why))?;
        let raw = price.raw(qty).ok_or_else(|| bad(5, "the line is worth too much".into()))?;
        let customer = match text(6)? {
            "" => None,
            customer => Some(CustomerRef::try_new(customer).map_err(|error| bad(6, error.to_string()))?),
        };
        Ok(Row {
            line,
            key,
            title: title(text(2)?, &sku),
            sku,
            qty,
            at,
            price,
            price_text: text(5)?.to_owned(),
            raw,
            customer,
            country: cleaned_line(text(7)?, 60),
        })
    }
}

/// The title of an order line; the stock code if the file has none.
fn title(text: &str, sku: &Sku) -> String {
    let title = cleaned_line(text, 200);
    if title.is_empty() { sku.to_string() } else { title }
}

/// Classifies the rows. Sales keep the order of their first rows; an invoice's rows need not be adjacent. `sizes` has
/// the number of rows of each invoice, including unreadable ones.
fn sort_out(rows: Vec<Row>, sizes: &HashMap<String, u32>, parsed: &mut Content) {
    let mut invoices: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let single = sizes.get(&row.key.invoice) == Some(&1);
        match class(&row, single) {
            Class::BadDebt => {
                count(parsed, Class::BadDebt, &row);
                parsed.refused.push(refusal(
                    row.line,
                    "bad-debt-adjustment",
                    format!("{} is an adjustment of a bad debt, which no order answers for", row.key.invoice),
                ));
            }
            Class::CreditNote => credit(row, parsed),
            Class::StockCorrection => {
                count(parsed, Class::StockCorrection, &row);
                parsed.corrections.push(Correction {
                    delta: row.qty,
                    reason: if row.title == row.sku.as_str() { "no note".to_owned() } else { row.title },
                    key: row.key,
                    line: row.line,
                    at: row.at,
                    sku: row.sku,
                });
            }
            _ => sale(row, parsed, &mut invoices),
        }
    }
}

fn class(row: &Row, single: bool) -> Class {
    let begins = row.key.invoice.chars().next().map(|first| first.to_ascii_uppercase());
    if begins == Some('A') {
        Class::BadDebt
    } else if begins == Some('C') {
        Class::CreditNote
    } else if row.qty < 0 || (single && row.price.is_zero() && row.customer.is_none()) {
        Class::StockCorrection
    } else {
        Class::Sale
    }
}

fn count(parsed: &mut Content, class: Class, row: &Row) {
    parsed.tally.add(
        class,
        Counted {
            invoice: &row.key.invoice,
            units: row.qty,
            revenue: price::round(row.raw),
            raw: row.raw,
            ware: is_ware(&row.sku),
        },
    );
}

fn refuse(parsed: &mut Content, line: u64, code: &str, reason: String) {
    parsed.refused.push(refusal(line, code, reason));
    parsed.tally.add_unreadable();
}

fn credit(row: Row, parsed: &mut Content) {
    if row.qty > 0 || row.price.is_negative() {
        let reason = "a credit note's row has a quantity below 0 and a price of at least 0".to_owned();
        return refuse(parsed, row.line, "bad-credit", reason);
    }
    count(parsed, Class::CreditNote, &row);
    parsed.credits.push(Credit {
        key: row.key,
        line: row.line,
        at: row.at,
        customer: row.customer,
        sku: row.sku,
        qty: u32::try_from(-row.qty).unwrap_or(0),
        amount: -price::round(row.raw),
    });
}

fn sale(row: Row, parsed: &mut Content, invoices: &mut BTreeMap<String, usize>) {
    if row.price.is_negative() {
        return refuse(parsed, row.line, "negative-price", "a sale has a price of at least 0".into());
    }
    let (Ok(unit_price), Ok(external_ref)) =
        (price::unit_price(&row.price_text), ExternalRef::try_new(row.key.invoice.as_str()))
    else {
        return refuse(parsed, row.line, "bad-field", "UnitPrice: cannot be kept as a unit price".into());
    };
    let place = invoices.get(&row.key.invoice).copied();
    if let Some(sale) = place.map(|place| &parsed.sales[place]) {
        if sale.customer != row.customer {
            let reason = "the invoice's first row names another customer".to_owned();
            return refuse(parsed, row.line, "customer-differs", reason);
        }
        if sale.lines.len() == MOST_LINES {
            let reason = format!("an order has at most {MOST_LINES} lines");
            return refuse(parsed, row.line, "too-many-lines", reason);
        }
    }
    count(parsed, Class::Sale, &row);
    let line = NewLine {
        line_id: LineId(row.key.ordinal),
        stocked: is_ware(&row.sku),
        sku: row.sku,
        title: row.title,
        qty: u32::try_from(row.qty).unwrap_or(0),
        unit_price,
        discount: 0,
        tax_bp: 0,
        tax_included: true,
        backorder_ok: false,
    };
    match place {
        Some(place) => parsed.sales[place].lines.push(line),
        None => {
            invoices.insert(row.key.invoice, parsed.sales.len());
            parsed.sales.push(Sale {
                external_ref,
                line: row.line,
                at: row.at,
                customer: row.customer,
                currency: Currency::GBP,
                lines: vec![line],
                discount: 0,
                shipping: vec![],
                ship_to: (row.country.chars().count() > 1)
                    .then(|| Address { country: row.country, ..Address::default() }),
                payment: None,
                location: None,
                tags: vec![],
                expected_total: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    fn parsed(rows: &str) -> Content {
        parse(format!("{HEADER}{rows}").as_bytes()).unwrap()
    }

    #[test]
    fn every_row_is_in_one_class() {
        let content = parsed(concat!(
            "1,85123a,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n",
            "1,POST,POSTAGE,1,2010-12-01 08:27:00,18.00,17850,United Kingdom\n",
            "2,22139,,56,2010-12-01 11:52:00,0,,United Kingdom\n",
            "3,21777,damages,-4,2010-12-01 12:00:00,0,,United Kingdom\n",
            "C4,85123A,HEART,-1,2010-12-02 08:26:00,2.55,17850,United Kingdom\n",
            "A5,B,Adjust bad debt,1,2010-12-02 08:26:00,11062.06,,United Kingdom\n",
            "6,22140,GIFT,1,2010-12-02 09:00:00,0,123,France\n",
            "7,22141,x,zero,2010-12-02 09:00:00,0,123,France\n",
        ));
        let lines = |class| content.tally.of(class).lines;
        assert_eq!(
            [
                lines(Class::Sale),
                lines(Class::StockCorrection),
                lines(Class::CreditNote),
                lines(Class::BadDebt),
                lines(Class::Unreadable)
            ],
            [3, 2, 1, 1, 1]
        );
        assert_eq!(content.tally.lines(), 8);
        assert_eq!(content.sales.len(), 2);
        assert_eq!(content.sales[0].lines.len(), 2);
        assert_eq!(content.sales[0].lines[0].sku.as_str(), "85123A");
        assert!(!content.sales[0].lines[1].stocked);
        assert_eq!(content.corrections[0].reason, "no note");
        assert_eq!(content.corrections[1].delta, -4);
        assert_eq!(content.credits[0].amount, 255);
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(refused, [(7, "bad-debt-adjustment"), (9, "bad-field")]);
    }

    #[test]
    fn an_invoices_rows_need_not_stand_together_and_its_first_minute_counts() {
        let content = parsed(concat!(
            "1,A,a,1,2010-12-01 08:26:00,1,5,UK\n",
            "2,A,a,1,2010-12-01 08:26:00,1,5,UK\n",
            "1,A,a,1,2010-12-01 08:27:00,1,5,UK\n",
        ));
        assert_eq!(content.sales.len(), 2);
        assert_eq!(content.sales[0].lines.len(), 2);
        assert_eq!(content.sales[0].at.to_string(), "2010-12-01T08:26:00.000000Z");
        assert_eq!(content.sales[0].lines[1].line_id, LineId(2));
    }

    #[test]
    fn a_missing_column_is_named() {
        assert_eq!(parse(b"InvoiceNo,StockCode\n"), Err(Unreadable::NoColumn("Description")));
    }

    #[test]
    fn bad_rows_tell_their_line_and_reason() {
        let content = parsed(concat!(
            "1,A,a,1\n",
            "2,A,a,0,2010-12-01 08:26:00,1,5,UK\n",
            "3,A,\"two\nlines\",1,2010-12-01 08:26:00,1,5,UK\n",
            "4,A,a,1,1.12.2010,1,5,UK\n",
            "5,A,a,1,2010-12-01 08:26:00,-1,5,UK\n",
            "C6,A,a,1,2010-12-01 08:26:00,1,5,UK\n",
        ));
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!(
            refused,
            [(2, "missing-field"), (3, "bad-field"), (6, "bad-field"), (7, "negative-price"), (8, "bad-credit")]
        );
        assert_eq!(content.sales[0].lines[0].title, "twolines");
    }
}
