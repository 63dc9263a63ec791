//! What has to hold after a run: the read models come to the head of the log, and nothing that was acknowledged is missing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::checkout::{STOCK, sku};
use crate::client::Client;
use crate::sides::Side;

/// Within this time after the last answer every read model is at the head.
pub(crate) const AT_HEAD_WITHIN: Duration = Duration::from_secs(1);
/// How long the log must not have grown until a side counts as quiet.
const QUIET: Duration = Duration::from_millis(300);
/// How long a side may take until it is quiet: a burst of placings takes its sagas a while.
const QUIET_WITHIN: Duration = Duration::from_secs(600);
/// Connections on which stock is filled and orders are read again.
const CONNECTIONS: usize = 32;

/// How a side came to rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// The last position of the log.
    pub(crate) head: u64,
    /// How long the read models took to the head.
    pub(crate) at_head_after: Duration,
}

/// Waits until every read model of Daybook is at the head, and the log grows no more.
pub(crate) async fn rest(side: &dyn Side) -> anyhow::Result<Rest> {
    let queries = side.queries();
    let mut client = Client::connect(queries.first().context("nobody answers queries")?).await?;
    let begun = Instant::now();
    let (mut at_head_after, mut last, mut since) = (None, 0, Instant::now());
    loop {
        let told = client.get("/v1/projections").await?.json()?;
        let head = told["head"].as_u64().context("a head")?;
        let items = told["items"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(stopped) = items.iter().find(|item| !item["stop_reason"].is_null() || item["held"] != 0) {
            bail!("a read model stopped: {stopped}");
        }
        let all = !items.is_empty() && items.iter().all(|item| item["lag"] == 0 && item["building"] == false);
        if all && at_head_after.is_none() {
            at_head_after = Some(begun.elapsed());
        }
        if head != last || !all {
            (last, since) = (head, Instant::now());
        }
        match at_head_after {
            Some(at_head_after) if since.elapsed() > QUIET => return Ok(Rest { head, at_head_after }),
            _ if begun.elapsed() > QUIET_WITHIN => bail!("the read models do not come to the head: {told}"),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What is asked for each of many.
#[derive(Clone, Copy)]
enum Each {
    /// Stock of the SKU of this number.
    Receive(usize),
    /// The order is there, and confirmed.
    Confirmed(Uuid),
}

impl Each {
    async fn ask(self, client: &mut Client) -> anyhow::Result<()> {
        match self {
            Self::Receive(number) => {
                let body = Bytes::from(format!(r#"{{"qty":{STOCK}}}"#));
                client.post(&format!("/v1/stock/{}/receipts", sku(number)), &[], body).await?;
            }
            Self::Confirmed(order_id) => {
                let answer = client.get(&format!("/v1/orders/{order_id}")).await;
                let told = answer.context("an acknowledged order is missing")?.json()?;
                if told["status"] != "confirmed" {
                    bail!("an acknowledged order is not confirmed: {told}");
                }
            }
        }
        Ok(())
    }
}

/// Receives stock of SKUs, by their numbers.
pub(crate) async fn fill(side: &dyn Side, skus: impl IntoIterator<Item = usize>) -> anyhow::Result<()> {
    ask_all(&side.commands(), skus.into_iter().map(Each::Receive)).await
}

/// Reads every acknowledged order again.
pub(crate) async fn nothing_is_missing(side: &dyn Side, orders: &[Uuid]) -> anyhow::Result<()> {
    ask_all(&side.queries(), orders.iter().copied().map(Each::Confirmed)).await
}

/// Asks for all of them, on several connections at once.
async fn ask_all(addresses: &[String], all: impl Iterator<Item = Each>) -> anyhow::Result<()> {
    let mut shares: Vec<Vec<Each>> = vec![Vec::new(); CONNECTIONS];
    for (number, one) in all.enumerate() {
        shares[number % CONNECTIONS].push(one);
    }
    let mut tasks = JoinSet::new();
    for (share, address) in shares.into_iter().zip(addresses.iter().cycle()) {
        let address = address.clone();
        tasks.spawn(async move {
            let mut client = Client::connect(&address).await?;
            for one in share {
                one.ask(&mut client).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task failed")??;
    }
    Ok(())
}
