//! One page of the list of orders, as a shop's back office reads it. A page that is not full counts for nothing.

use anyhow::bail;

use crate::client::Client;

/// Orders on a page.
pub(crate) const ORDERS: usize = 50;

/// Reads the first page; how many bytes it had.
pub(crate) async fn read(client: &mut Client) -> anyhow::Result<u64> {
    let answer = client.get(&format!("/v1/orders?limit={ORDERS}")).await?;
    // Parsing it would cost the client more than the server spends on it: the ids are counted.
    let ids = answer.body.windows(ID.len()).filter(|part| *part == ID).count();
    if ids < ORDERS {
        bail!("a page has {ids} orders of {ORDERS}: {}", answer.text());
    }
    Ok(answer.body.len() as u64)
}

const ID: &[u8] = br#""order_id""#;
