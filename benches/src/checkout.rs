//! One checkout: an order of three lines, placed and answered when it is confirmed. It must never take another answer for one.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::StatusCode;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Deserialize;
use uuid::Uuid;

use crate::client::{Answer, Client};

/// How many SKUs the orders are spread over.
pub(crate) const SKUS: usize = 10_000;
/// Units of each SKU: more than any run orders.
pub(crate) const STOCK: u32 = 1_000_000;
/// Lines of an order.
const LINES: usize = 3;
/// How long a checkout may wait for its confirmation.
const WAIT: &str = "wait=30";

/// The name of one of the SKUs.
pub(crate) fn sku(number: usize) -> String {
    format!("BENCH-{number:05}")
}

/// The orders of one client, which no other client places.
pub(crate) struct Orders {
    customer: usize,
    random: SmallRng,
}

/// What is read of an answer.
#[derive(Deserialize)]
struct Confirmed<'a> {
    order_id: Uuid,
    #[serde(borrow)]
    status: &'a str,
}

/// A confirmed order.
pub(crate) struct Done {
    pub(crate) order_id: Uuid,
    /// How many bytes the body of the answer had.
    pub(crate) bytes: usize,
}

impl Orders {
    /// The same orders for the same customer and seed.
    pub(crate) fn new(customer: usize, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(customer as u64));
        Self { customer, random }
    }

    /// The SKUs of the next order.
    pub(crate) fn skus(&mut self) -> [usize; LINES] {
        let first = self.random.random_range(0..SKUS);
        // Apart by a third of all and a bit, so that no order names a SKU twice.
        let next = |line| (first + line * (SKUS / LINES + self.random.random_range(0..SKUS / 9))) % SKUS;
        std::array::from_fn(next)
    }

    /// The body of the next order.
    fn body(&mut self) -> Bytes {
        let mut lines = String::with_capacity(512);
        for (line, number) in self.skus().into_iter().enumerate() {
            let comma = if line == 0 { "" } else { "," };
            // Writing to a text never fails.
            let _ = write!(
                lines,
                r#"{comma}{{"sku":"BENCH-{number:05}","title":"A thing that is sold in a benchmark","qty":{},"unit_price":"2.55","tax_bp":2000,"tax_included":true}}"#,
                1 + line % 3
            );
        }
        let instrument = command_api::import::plan::DEFAULT_INSTRUMENT;
        Bytes::from(format!(
            r#"{{"channel":"bench","currency":"GBP","customer_ref":"customer-{}","lines":[{lines}],"payment":{{"instrument":"{instrument}"}}}}"#,
            self.customer
        ))
    }

    /// Checks out the next order, and waits until it is confirmed.
    pub(crate) async fn check_out(&mut self, client: &mut Client) -> anyhow::Result<Done> {
        let answer = self.send(client, &[("prefer", WAIT)]).await?;
        let told: Confirmed<'_> = serde_json::from_slice(&answer.body).with_context(|| answer.text())?;
        if answer.status != StatusCode::CREATED || told.status != "confirmed" {
            bail!("an order is not confirmed: {}", answer.text());
        }
        Ok(Done { order_id: told.order_id, bytes: answer.body.len() })
    }

    /// Places the next order, and takes the first answer.
    pub(crate) async fn place(&mut self, client: &mut Client) -> anyhow::Result<Done> {
        let answer = self.send(client, &[]).await?;
        let told: Confirmed<'_> = serde_json::from_slice(&answer.body).with_context(|| answer.text())?;
        if answer.status != StatusCode::CREATED {
            bail!("an order is not placed: {}", answer.text());
        }
        Ok(Done { order_id: told.order_id, bytes: answer.body.len() })
    }

    async fn send(&mut self, client: &mut Client, more: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let (key, body) = (Uuid::now_v7().to_string(), self.body());
        let mut headers = vec![("idempotency-key", key.as_str())];
        headers.extend_from_slice(more);
        client.post("/v1/orders", &headers, body).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn an_order_names_three_skus_and_no_two_of_them_are_one() {
        let mut orders = Orders::new(7, 1);
        for _ in 0..10_000 {
            let body: Value = serde_json::from_slice(&orders.body()).expect("it is JSON");
            let skus: BTreeSet<_> = (0..LINES).map(|line| body["lines"][line]["sku"].to_string()).collect();
            assert_eq!(skus.len(), LINES, "{body}");
        }
    }
}
