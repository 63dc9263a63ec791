//! The layout of the *Online Retail* data set: invoice lines, with sales, credit notes, stock corrections and bad-debt adjustments
//! in one list. A bad row refuses its invoice and nothing else; every row is counted in exactly one class.

use std::collections::{BTreeMap, HashMap};

use domain::ids::{CustomerRef, ExternalRef, LineId, Sku};
use domain::money::Currency;
use domain::order::command::NewLine;
use domain::order::event::Address;
use domain::order::line::UnitPrice;
use domain::text;
use domain::time::Timestamp;
use schemas::http::{MOST_LINES, MOST_UNITS};

use super::content::{Content, Correction, Credit, Sale, Unreadable};
use super::keys::RowKey;
use super::london;
use super::price::{self, Price};
use super::table::{self, Form, Refused, Table};
use super::tally::{Class, Counted, Revenue};
use super::whole::{self, Bad, Of};

const COLUMNS: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// The longest title of a line and name of a country, as over HTTP.
const LONGEST_TITLE: usize = 200;
const LONGEST_COUNTRY: usize = 60;

/// Stock codes of sales and charges that are not kept in stock. Gift vouchers (`GIFT_…`) are also such codes.
const NO_WARE: [&str; 9] = ["POST", "DOT", "C2", "M", "D", "S", "AMAZONFEE", "BANK CHARGES", "CRUK"];

/// Whether a stock code means goods that are kept in stock.
#[must_use]
pub fn is_ware(sku: &Sku) -> bool {
    !NO_WARE.contains(&sku.as_str()) && !sku.as_str().starts_with("GIFT_")
}

static FORM: Form = Form { columns: &COLUMNS, compulsory: COLUMNS.len(), others: true };

/// Reads the whole content.
///
/// # Errors
/// If it is no table with these columns.
pub fn parse(content: &[u8]) -> Result<Content, Unreadable> {
    let mut table = Table::new(content, &FORM)?;
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    // How many rows each invoice has, those that cannot be read included.
    let mut sizes: HashMap<String, u32> = HashMap::new();
    while let Some(row) = table.next()? {
        match read(&table, &row, &mut sizes) {
            Ok(read) => rows.push((row.line, read)),
            Err((of, (code, reason))) => bad.push(Bad { line: row.line, code, reason, of }),
        }
    }
    Ok(sort_out(rows, bad, &sizes))
}

struct Row {
    key: RowKey,
    sku: Sku,
    title: String,
    qty: i64,
    at: Timestamp,
    price: Price,
    /// `None` below 0.
    unit_price: Option<UnitPrice>,
    raw: i64,
    customer: Option<CustomerRef>,
    country: Option<String>,
}

fn read(table: &Table<'_>, row: &table::Row<'_>, sizes: &mut HashMap<String, u32>) -> Result<Row, (Of, Refused)> {
    let cells = table.cells(row).map_err(|refused| (table.whose(row, &refused), refused))?;
    let bad = |place: usize, why: String| ("bad-field", format!("{}: {why}", COLUMNS[place]));
    let invoice = ExternalRef::try_new(cells[0]).map_err(|error| {
        let refused = bad(0, error.to_string());
        (table.whose(row, &refused), refused)
    })?;
    let invoice = String::from(invoice);
    let ordinal = sizes.entry(invoice.clone()).or_default();
    *ordinal += 1;
    let key = RowKey { invoice: invoice.clone(), ordinal: *ordinal };
    fields(&cells, key).map_err(|(place, why)| (Of::Order(invoice), bad(place, why)))
}

/// The fields of a row whose invoice is known; or the place of the column that is wrong, and why.
fn fields(cells: &[&str], key: RowKey) -> Result<Row, (usize, String)> {
    let sku = Sku::try_new(cells[1]).map_err(|error| (1, error.to_string()))?;
    let title = match cells[2] {
        "" => sku.to_string(),
        title => text::line(title, 1, LONGEST_TITLE).map_err(|error| (2, error.to_string()))?,
    };
    let qty: i64 = cells[3].parse().map_err(|_| (3, format!("`{}` is no whole number", price::shorten(cells[3]))))?;
    if qty == 0 || qty.abs() > i64::from(MOST_UNITS) {
        return Err((3, format!("{qty} is not between 1 and {MOST_UNITS} units, or as many below 0")));
    }
    let no_date = || format!("`{}` is no date and time such as 2010-12-01 08:26:00", price::shorten(cells[4]));
    let at = london::parse(cells[4]).ok_or_else(|| (4, no_date()))?;
    let price = Price::parse(cells[5], Currency::GBP).map_err(|why| (5, why))?;
    let unit_price = (!price.is_negative()).then(|| price::unit_price(cells[5])).transpose();
    let customer = (!cells[6].is_empty()).then(|| CustomerRef::try_new(cells[6])).transpose();
    let country = (!cells[7].is_empty()).then(|| text::line(cells[7], 2, LONGEST_COUNTRY)).transpose();
    Ok(Row {
        key,
        sku,
        title,
        qty,
        at,
        price,
        unit_price: unit_price.map_err(|why| (5, why))?,
        raw: price.raw(qty).ok_or_else(|| (5, "the line is worth too much".to_owned()))?,
        customer: customer.map_err(|error| (6, error.to_string()))?,
        country: country.map_err(|error| (7, error.to_string()))?,
    })
}

/// Classifies the rows. Sales keep the order of their first rows; an invoice's rows need not be adjacent.
fn sort_out(rows: Vec<(u64, Row)>, mut bad: Vec<Bad>, sizes: &HashMap<String, u32>) -> Content {
    let mut parsed = Content::default();
    let mut fine = Vec::with_capacity(rows.len());
    let mut first = HashMap::new();
    for (line, row) in rows {
        let class = class(&row, sizes.get(&row.key.invoice) == Some(&1));
        // Which no order answers for: left out by rule, and counted.
        if class == Class::BadDebt {
            count(&mut parsed, class, &row);
        } else if let Some((code, reason)) = fault(class, line, &row, &mut first) {
            bad.push(Bad { line, code, reason, of: Of::Order(row.key.invoice) });
        } else {
            fine.push((line, (class, row)));
        }
    }
    bad.sort_by_key(|row| row.line);
    let (kept, refused) = whole::keep_whole(fine, bad, |(_, row)| row.key.invoice.as_str());
    refused.iter().for_each(|_| parsed.tally.add_refused());
    parsed.refused = refused;
    let mut invoices: BTreeMap<String, usize> = BTreeMap::new();
    for (line, (class, row)) in kept {
        count(&mut parsed, class, &row);
        match class {
            Class::CreditNote => parsed.credits.push(credit(line, row)),
            Class::StockCorrection => parsed.corrections.push(Correction {
                delta: row.qty,
                reason: if row.title == row.sku.as_str() { "no note".to_owned() } else { row.title },
                key: row.key,
                line,
                at: row.at,
                sku: row.sku,
            }),
            _ => sale(line, row, &mut parsed, &mut invoices),
        }
    }
    parsed
}

/// The first row of an invoice's sale, and how many rows it has until now.
struct First {
    line: u64,
    customer: Option<CustomerRef>,
    lines: usize,
}

/// What is wrong with a row that can be read.
fn fault(class: Class, line: u64, row: &Row, first: &mut HashMap<String, First>) -> Option<Refused> {
    match class {
        Class::CreditNote if row.qty > 0 || row.price.is_negative() => {
            Some(("bad-credit", "a credit note's row has a quantity below 0 and a price of at least 0".to_owned()))
        }
        Class::Sale if row.price.is_negative() => {
            Some(("negative-price", "a sale has a price of at least 0".to_owned()))
        }
        Class::Sale => {
            let begins = || First { line, customer: row.customer.clone(), lines: 0 };
            let invoice = first.entry(row.key.invoice.clone()).or_insert_with(begins);
            invoice.lines += 1;
            if invoice.customer != row.customer {
                Some((
                    "customer-differs",
                    format!("the invoice's first row, on line {}, names another customer", invoice.line),
                ))
            } else if invoice.lines > MOST_LINES {
                Some(("too-many-lines", format!("an order has at most {MOST_LINES} lines")))
            } else {
                None
            }
        }
        _ => None,
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
            revenue: Some(Revenue { currency: Currency::GBP, rounded: price::round(row.raw), raw: row.raw }),
            ware: is_ware(&row.sku),
        },
    );
}

fn credit(line: u64, row: Row) -> Credit {
    Credit {
        key: row.key,
        line,
        at: row.at,
        customer: row.customer,
        sku: row.sku,
        qty: u32::try_from(-row.qty).unwrap_or(0),
        amount: -price::round(row.raw),
    }
}

fn sale(line: u64, row: Row, parsed: &mut Content, invoices: &mut BTreeMap<String, usize>) {
    let (Some(unit_price), Ok(external_ref)) = (row.unit_price, ExternalRef::try_new(row.key.invoice.as_str())) else {
        return;
    };
    let new = NewLine {
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
    if let Some(place) = invoices.get(&row.key.invoice) {
        let sale = &mut parsed.sales[*place];
        sale.lines.push(new);
        sale.more.push(line);
        return;
    }
    invoices.insert(row.key.invoice, parsed.sales.len());
    parsed.sales.push(Sale {
        external_ref,
        line,
        more: vec![],
        at: row.at,
        customer: row.customer,
        currency: Currency::GBP,
        lines: vec![new],
        discount: 0,
        shipping: vec![],
        ship_to: row.country.map(|country| Address { country, ..Address::default() }),
        payment: None,
        location: None,
        tags: vec![],
        expected_total: None,
    });
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
                lines(Class::Refused)
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
        assert_eq!(refused, [(9, "bad-field")], "an adjustment of a bad debt is left out and not refused");
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
            "7,A,a,6,2010-12-01 08:26:00,2,55,5,UK\n",
        ));
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        let codes = [
            (2, "row-length"),
            (3, "bad-field"),
            (4, "bad-field"),
            (6, "bad-field"),
            (7, "negative-price"),
            (8, "bad-credit"),
            (9, "row-length"),
        ];
        assert_eq!(refused, codes);
        assert_eq!(content.tally.of(Class::Refused).lines, 7);
    }

    #[test]
    fn one_bad_row_refuses_its_invoice_and_no_other() {
        let content = parsed(concat!(
            "1,A,a,1,2010-12-01 08:26:00,1,5,UK\r\n",
            "1,A,a,1,2010-12-01 08:26:00,\"1,5\",5,UK\r\n",
            "2,A,a,1,2010-12-01 08:26:00,1,5,UK\r\n",
            "1,A,a,1,2010-12-01 08:27:00,1,5,UK\r\n",
            ",,,,,,,\r\n",
            "3,A,a,1,2010-12-01 08:27:00,1,5,UK\r\n",
            "3,A,a,1,2010-12-01 08:27:00,1,6,UK\r\n",
        ));
        let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
        let whole = [
            (2, "order-refused"),
            (3, "bad-field"),
            (5, "order-refused"),
            (7, "order-refused"),
            (8, "customer-differs"),
        ];
        assert_eq!(refused, whole);
        let numbers: Vec<_> = content.sales.iter().map(|sale| sale.external_ref.as_str()).collect();
        assert_eq!(numbers, ["2"]);
        assert_eq!(content.tally.of(Class::Sale).lines, 1);
    }
}
