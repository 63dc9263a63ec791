//! The body of an order and what it comes to. Amounts are minor units from here on.

use serde::{Deserialize, Serialize};

use super::Refusal;

/// An order to be placed: what `POST /v1/orders` takes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) channel: String,
    pub(super) currency: String,
    pub(super) customer_ref: String,
    pub(super) lines: Vec<Line>,
    pub(super) payment: Payment,
}

/// A line of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) sku: String,
    pub(super) title: String,
    pub(super) qty: i64,
    pub(super) unit_price: String,
    pub(super) tax_bp: i32,
    pub(super) tax_included: bool,
}

/// How it is paid.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payment {
    pub(super) instrument: String,
}

/// An order that can be stored.
#[derive(Debug)]
pub(super) struct Priced {
    /// By line, as the order has them.
    pub(super) prices: Vec<i64>,
    pub(super) total: i64,
}

impl Order {
    /// Prices it, or says what is wrong with it.
    pub(super) fn priced(&self) -> Result<Priced, Refusal> {
        if self.lines.is_empty() || self.lines.len() > 2_000 {
            return Err(Refusal::Malformed("an order has 1 to 2000 lines"));
        }
        let mut priced = Priced { prices: Vec::with_capacity(self.lines.len()), total: 0 };
        for line in &self.lines {
            let price = pence(&line.unit_price).ok_or(Refusal::Malformed("unit_price"))?;
            if !(1..=1_000_000).contains(&line.qty) || line.sku.is_empty() || line.sku.len() > 128 {
                return Err(Refusal::Malformed("a line"));
            }
            let net = price * line.qty;
            let tax = if line.tax_included { 0 } else { net * i64::from(line.tax_bp) / 10_000 };
            priced.prices.push(price);
            priced.total += net + tax;
        }
        Ok(priced)
    }
}

/// `2.55` as 255.
fn pence(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
    let (pounds, pence): (i64, i64) = (whole.parse().ok()?, part.parse().ok()?);
    ((0..=1_000_000).contains(&pounds) && part.len() == 2).then_some(pounds * 100 + pence)
}

/// A stored amount as text.
pub(super) fn text(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_what_was_written() {
        for (written, minor) in
            [("2.55", Some(255)), ("10", Some(1_000)), ("0.05", Some(5)), ("1.5", None), ("-1.00", None)]
        {
            assert_eq!(pence(written), minor, "{written}");
        }
        assert_eq!(text(255), "2.55");
    }
}
