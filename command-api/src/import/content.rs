//! The content of a file in any layout: sales, credits, stock corrections, receipts, and refused rows. Each row of the
//! file is in exactly one of them.

use std::collections::BTreeMap;

use domain::ids::{CustomerRef, ExternalRef, LocationId, Sku};
use domain::import::RowRefusal;
use domain::money::{Currency, Minor};
use domain::order::command::{NewLine, NewShipping};
use domain::order::event::{Address, PaymentTerms};
use domain::time::Timestamp;

use super::keys::RowKey;
use super::tally::Tally;
use super::whole;

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Invoice lines of the *Online Retail* data set, CSV.
    Retail,
    /// Our own layout, CSV: one line of an order a row.
    OrdersCsv,
    /// Our own layout, NDJSON: one order, or one receipt of stock, a line.
    OrdersNdjson,
}

impl Layout {
    /// Its name on the wire and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retail => "retail",
            Self::OrdersCsv => "orders-csv",
            Self::OrdersNdjson => "orders-ndjson",
        }
    }

    /// The layout of that name. `orders` alone means whichever of the two the content is.
    #[must_use]
    pub fn by_name(name: &str, content: &[u8]) -> Option<Self> {
        match name {
            "retail" => Some(Self::Retail),
            "orders-csv" => Some(Self::OrdersCsv),
            "orders-ndjson" => Some(Self::OrdersNdjson),
            "orders" if first_byte(content) == Some(b'{') => Some(Self::OrdersNdjson),
            "orders" => Some(Self::OrdersCsv),
            _ => None,
        }
    }

    /// The layout that the first line shows, if it shows one.
    #[must_use]
    pub fn detect(content: &[u8]) -> Option<Self> {
        if first_byte(content) == Some(b'{') {
            return Some(Self::OrdersNdjson);
        }
        let mut lines = without_bom(content).split(|byte| matches!(byte, b'\n' | b'\r'));
        let first = lines.find(|line| line.iter().any(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'"')))?;
        let header = String::from_utf8_lossy(first);
        let has = |name: &str| header.split(',').any(|column| column.trim().trim_matches('"') == name);
        if has("InvoiceNo") && has("StockCode") {
            Some(Self::Retail)
        } else if has("external_ref") && has("sku") {
            Some(Self::OrdersCsv)
        } else {
            None
        }
    }
}

fn first_byte(content: &[u8]) -> Option<u8> {
    without_bom(content).iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// The content without the mark that some programs put before UTF-8.
#[must_use]
pub fn without_bom(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content)
}

/// A sale: it becomes an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Its number in its channel.
    pub external_ref: ExternalRef,
    /// The line of the file that it begins on.
    pub line: u64,
    /// The lines of the file that its other rows stand on.
    pub more: Vec<u64>,
    /// When it was made.
    pub at: Timestamp,
    /// Who bought.
    pub customer: Option<CustomerRef>,
    /// The currency of its prices.
    pub currency: Currency,
    /// The lines.
    pub lines: Vec<NewLine>,
    /// A discount on the whole.
    pub discount: Minor,
    /// The shipping charges.
    pub shipping: Vec<NewShipping>,
    /// Where it goes.
    pub ship_to: Option<Address>,
    /// The payment terms, if the file has them.
    pub payment: Option<PaymentTerms>,
    /// The location of its stock, if the file has one.
    pub location: Option<LocationId>,
    /// Its labels.
    pub tags: Vec<String>,
    /// The total, if the file has one.
    pub expected_total: Option<Minor>,
}

/// A row of a credit note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The row.
    pub key: RowKey,
    /// The line of the file.
    pub line: u64,
    /// When it was given.
    pub at: Timestamp,
    /// The customer.
    pub customer: Option<CustomerRef>,
    /// For what.
    pub sku: Sku,
    /// Units, at least 1.
    pub qty: u32,
    /// Its value: `round(unit price × qty)`.
    pub amount: Minor,
}

/// A correction of stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// The row.
    pub key: RowKey,
    /// The line of the file.
    pub line: u64,
    /// When it was made.
    pub at: Timestamp,
    /// The SKU.
    pub sku: Sku,
    /// Units more, or fewer; not 0.
    pub delta: i64,
    /// The clerk's note.
    pub reason: String,
}

/// Units that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The row.
    pub key: RowKey,
    /// The line of the file.
    pub line: u64,
    /// When they came, in the business's own time.
    pub at: Option<Timestamp>,
    /// What came.
    pub sku: Sku,
    /// Where, if the file says so.
    pub location: Option<LocationId>,
    /// Units.
    pub qty: u32,
    /// The delivery that they came with.
    pub source_ref: Option<String>,
}

/// Everything that a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Sales, in the order of the file.
    pub sales: Vec<Sale>,
    /// Rows of credit notes, in the order of the file.
    pub credits: Vec<Credit>,
    /// Corrections of stock, in the order of the file.
    pub corrections: Vec<Correction>,
    /// Receipts of stock, in the order of the file.
    pub receipts: Vec<Receipt>,
    /// Rows that were refused, in the order of the file.
    pub refused: Vec<RowRefusal>,
    /// The counts, by class.
    pub tally: Tally,
}

impl Content {
    /// Refuses events later than `latest`: such a date is wrong, and could not be corrected once it is recorded. Past
    /// dates are the purpose of imports.
    pub fn refuse_after(&mut self, latest: Timestamp) {
        let after = |at: &Timestamp| *at > latest;
        let mut late: Vec<(u64, Timestamp)> = Vec::new();
        for sale in self.sales.extract_if(.., |sale| after(&sale.at)) {
            late.push((sale.line, sale.at));
            self.refused.extend(sale.more.iter().map(|line| whole::with_its_order(*line, sale.line)));
        }
        let notes: BTreeMap<String, u64> = self
            .credits
            .iter()
            .filter(|credit| after(&credit.at))
            .map(|it| (it.key.invoice.clone(), it.line))
            .collect();
        for credit in self.credits.extract_if(.., |credit| notes.contains_key(&credit.key.invoice)) {
            match notes.get(&credit.key.invoice) {
                Some(line) if !after(&credit.at) => self.refused.push(whole::with_its_order(credit.line, *line)),
                _ => late.push((credit.line, credit.at)),
            }
        }
        late.extend(self.corrections.extract_if(.., |row| after(&row.at)).map(|row| (row.line, row.at)));
        let receipts = self.receipts.extract_if(.., |receipt| receipt.at.as_ref().is_some_and(after));
        late.extend(receipts.map(|receipt| (receipt.line, receipt.at.unwrap_or_default())));
        self.refused.extend(late.into_iter().map(|(line, at)| {
            refusal(
                line,
                "in-the-future",
                format!("{at} is later than {latest}, a day after the import began: mend the date"),
            )
        }));
        self.refused.sort_by_key(|refused| refused.line);
    }
}

/// Reads content in a layout.
///
/// # Errors
/// If the content as a whole cannot be read: its header is not that of the layout, or its rows cannot be told apart. A bad row is no error,
/// but in `refused`.
pub fn parse(layout: Layout, content: &[u8]) -> Result<Content, Unreadable> {
    let content = without_bom(content);
    match layout {
        Layout::Retail => super::retail::parse(content),
        Layout::OrdersCsv => super::orders::parse_csv(content),
        Layout::OrdersNdjson => Ok(super::orders::parse_ndjson(content)),
    }
}

/// Content that cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A column is not there.
    #[error("the column `{0}` is missing")]
    NoColumn(&'static str),
    /// A column is there twice, and only one of them can be meant.
    #[error("the column `{0}` is there twice: remove one of them")]
    ColumnTwice(&'static str),
    /// A column is not known.
    #[error("the column `{column}` is not known: expected {expected}")]
    UnknownColumn {
        /// Its name in the file.
        column: String,
        /// The names that are known.
        expected: String,
    },
    /// The first row cannot be read.
    #[error("the first row is no header: {0}")]
    NoHeader(String),
    /// A row has far more cells than any table of orders.
    #[error("line {line}: the row has more than {most} fields: it is no table of orders")]
    TooManyCells {
        /// Where it begins.
        line: u64,
        /// How many a row may have.
        most: usize,
    },
    /// A quote is opened and never closed.
    #[error("line {line}: a quote is opened here and closed nowhere")]
    QuoteOpen {
        /// Where it is opened.
        line: u64,
    },
    /// There is text between a closing quote and the comma after it.
    #[error(
        "line {line}: text follows the quote that closes a field opened on line {begun}; write a quote within a field twice"
    )]
    TextAfterQuote {
        /// Where it is closed.
        line: u64,
        /// Where it is opened.
        begun: u64,
    },
}

/// The longest reason, in characters: it is for people, and a parser's message may quote the row.
const LONGEST_REASON: usize = 300;

/// A row that is refused; a long reason is cut.
pub(super) fn refusal(line: u64, code: &str, reason: impl Into<String>) -> RowRefusal {
    let reason = reason.into().chars().take(LONGEST_REASON).collect();
    RowRefusal { line, code: code.to_owned(), reason }
}
