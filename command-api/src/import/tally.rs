//! The contents of a file, counted by class: invoices, lines, units, and revenue as Σ of round-half-even(unit ×
//! quantity) per line beside the raw sum. Counted from the rows alone, never from their outcomes.

use std::collections::{BTreeMap, BTreeSet};

use domain::money::{Currency, Minor};

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
    /// Bad-debt adjustments, which are left out.
    BadDebt,
    /// Rows that were refused, those of their orders included.
    Refused,
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
            Self::Refused => "refused_rows",
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
    /// What they are worth, by currency: sums of different currencies are never added.
    pub revenue: BTreeMap<Currency, Worth>,
}

/// What rows of one currency are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Σ round-half-even(unit price × units) in minor units.
    pub rounded: Minor,
    /// Σ unit price × units in ten-thousandths of a minor unit, not rounded.
    pub raw: i64,
}

impl Worth {
    /// Rounded less raw revenue, in ten-thousandths of a minor unit.
    #[must_use]
    pub fn rounding(&self) -> i64 {
        self.rounded.saturating_mul(10_000).saturating_sub(self.raw)
    }
}

impl Sums {
    /// How many invoices the rows belong to.
    #[must_use]
    pub fn invoices(&self) -> i64 {
        i64::try_from(self.invoices.len()).unwrap_or(i64::MAX)
    }
}

/// A row as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The invoice's number.
    pub invoice: &'a str,
    /// Units, with their sign.
    pub units: i64,
    /// What it is worth, if it has a price.
    pub revenue: Option<Revenue>,
    /// Whether it is goods that are kept in stock.
    pub ware: bool,
}

/// What a row is worth.
#[derive(Clone, Copy, Debug)]
pub struct Revenue {
    /// In which currency.
    pub currency: Currency,
    /// `round(unit price × units)`.
    pub rounded: Minor,
    /// Unit price × units in ten-thousandths of a minor unit.
    pub raw: i64,
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
        if let Some(revenue) = row.revenue {
            let worth = sums.revenue.entry(revenue.currency).or_default();
            worth.rounded += revenue.rounded;
            worth.raw += revenue.raw;
        }
    }

    /// Counts a row that was refused.
    pub fn add_refused(&mut self) {
        self.0.entry(Class::Refused).or_default().lines += 1;
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

    /// The sums as named numbers: `sale.lines`, `sale.revenue.GBP` …
    #[must_use]
    pub fn named(&self) -> BTreeMap<String, i64> {
        let mut named = BTreeMap::new();
        for (class, sums) in self.classes() {
            let mut put = |what: &str, value| named.insert(format!("{}.{what}", class.name()), value);
            put("invoices", sums.invoices());
            put("lines", sums.lines);
            put("other_lines", sums.other_lines);
            put("units", sums.units);
            for (currency, worth) in &sums.revenue {
                put(&format!("revenue.{currency}"), worth.rounded);
                put(&format!("rounding_e4.{currency}"), worth.rounding());
            }
        }
        named.insert("rows".to_owned(), self.lines());
        named
    }
}
