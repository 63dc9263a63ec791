//! The contents of a file, counted by class: invoices, lines, units, and revenue as Σ of round-half-even(unit ×
//! quantity) per line beside the raw sum. Counted from the rows alone, never from their outcomes.

use std::collections::{BTreeMap, BTreeSet};

use domain::money::Minor;

/// The classes that rows fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Lines of sales.
    Sale,
    /// Lines of credit notes.
    CreditNote,
    /// Corrections of stock.
    StockCorrection,
    /// Receipts of stock.
    StockReceipt,
    /// Bad-debt adjustments, which are refused.
    BadDebt,
    /// Rows that could not be read.
    Unreadable,
}

impl Class {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::CreditNote => "credit_note",
            Self::StockCorrection => "stock_correction",
            Self::StockReceipt => "stock_receipt",
            Self::BadDebt => "bad_debt",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Sums of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    invoices: BTreeSet<String>,
    /// Rows.
    pub lines: i64,
    /// Rows whose lines are not goods.
    pub other_lines: i64,
    /// Units, with the sign that they have in the file.
    pub units: i64,
    /// Σ round-half-even(unit price × units) in minor units.
    pub revenue: Minor,
    /// Σ unit price × units in ten-thousandths of a minor unit, not rounded.
    pub raw: i64,
}

impl Sums {
    /// How many invoices the rows belong to.
    #[must_use]
    pub fn invoices(&self) -> i64 {
        i64::try_from(self.invoices.len()).unwrap_or(i64::MAX)
    }

    /// Rounded less raw revenue, in ten-thousandths of a minor unit.
    #[must_use]
    pub fn rounding(&self) -> i64 {
        self.revenue.saturating_mul(10_000).saturating_sub(self.raw)
    }
}

/// A row as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The invoice's number.
    pub invoice: &'a str,
    /// Units, with their sign.
    pub units: i64,
    /// `round(unit price × units)`.
    pub revenue: Minor,
    /// Unit price × units in ten-thousandths of a minor unit.
    pub raw: i64,
    /// Whether it is goods that are kept in stock.
    pub ware: bool,
}

/// Sums by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Class, Sums>);

impl Tally {
    /// Counts a row.
    pub fn add(&mut self, class: Class, row: Counted<'_>) {
        let sums = self.0.entry(class).or_default();
        if !sums.invoices.contains(row.invoice) {
            sums.invoices.insert(row.invoice.to_owned());
        }
        sums.lines += 1;
        sums.other_lines += i64::from(!row.ware);
        sums.units += row.units;
        sums.revenue += row.revenue;
        sums.raw += row.raw;
    }

    /// Counts a row that could not be read.
    pub fn add_unreadable(&mut self) {
        self.0.entry(Class::Unreadable).or_default().lines += 1;
    }

    /// The sums of a class.
    #[must_use]
    pub fn of(&self, class: Class) -> Sums {
        self.0.get(&class).cloned().unwrap_or_default()
    }

    /// Every class that occurs.
    pub fn classes(&self) -> impl Iterator<Item = (Class, &Sums)> {
        self.0.iter().map(|(class, sums)| (*class, sums))
    }

    /// All rows.
    #[must_use]
    pub fn lines(&self) -> i64 {
        self.0.values().map(|sums| sums.lines).sum()
    }

    /// The sums as named numbers: `sale.lines`, `sale.revenue` …
    #[must_use]
    pub fn named(&self) -> BTreeMap<String, i64> {
        let mut named = BTreeMap::new();
        for (class, sums) in self.classes() {
            let mut put = |what: &str, value| named.insert(format!("{}.{what}", class.name()), value);
            put("invoices", sums.invoices());
            put("lines", sums.lines);
            put("other_lines", sums.other_lines);
            put("units", sums.units);
            put("revenue", sums.revenue);
            put("rounding_e4", sums.rounding());
        }
        named.insert("rows".to_owned(), self.lines());
        named
    }
}
