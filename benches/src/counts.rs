//! What an order takes, counted: events, batches, commits, statements, messages, bytes and allocations, for a checkout and for an order
//! that is shipped and paid as well. Orders run one after the other; nothing here says how fast.

mod log;
mod meters;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde::Serialize;

use self::meters::Meters;
use crate::checkout::Orders;
use crate::client::Client;
use crate::proof;
use crate::sides::{self, Name, Places, Side};

/// The metric of `daybook-counted` that has its calls to the allocator.
pub const ALLOCATIONS: &str = "bench_allocations_total";
/// The metric of `daybook-counted` that has the bytes it allocated.
pub const ALLOCATED_BYTES: &str = "bench_allocated_bytes_total";

/// How long a side is watched that does nothing, to know what its idling takes.
const IDLE: Duration = Duration::from_secs(2);
/// Until the metrics show what was done.
const SHOWN: Duration = Duration::from_millis(300);

/// What one order takes, on average. What a side cannot tell is not there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// By name; what the side's idling takes in that time is taken off.
    pub each: BTreeMap<&'static str, f64>,
    /// Events of each type, where there is a log.
    pub kinds: BTreeMap<String, f64>,
    /// What one order wrote, batch by batch, where there is a log.
    pub batches: Vec<String>,
}

/// The counts of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// The side.
    pub side: Name,
    /// A checkout, to its end.
    pub checkout: Counts,
    /// A checkout and a shipment of all its units, to their ends.
    pub fulfilled: Option<Counts>,
}

/// Counts for each side.
///
/// # Errors
/// If a side cannot be started, or refuses an order.
pub async fn run(names: &[Name], orders: usize, places: &Places) -> anyhow::Result<Vec<Counted>> {
    let mut all = Vec::new();
    for name in names.iter().copied().filter(|name| *name != Name::Ceiling) {
        eprintln!("{}: starting", name.text());
        let side = sides::start(name, places, 0)?;
        let counted = of_side(&*side, orders).await.with_context(|| name.text())?;
        let proof = side.end().await?;
        if let Some(proof) = proof.filter(|proof| proof["holds"] != true) {
            bail!("{}: verify: {proof:#}", name.text());
        }
        all.push(counted);
    }
    Ok(all)
}

/// Counts for the embedded side, by any build of the program.
///
/// # Errors
/// As [`run`].
pub async fn of_embedded(daybook: &Path, folder: &Path, orders: usize) -> anyhow::Result<Counted> {
    let (daybook, folder) = (daybook.to_owned(), folder.to_owned());
    let places = Places { folder, daybook, compose: "compose.yaml".into(), statements: false };
    let counted = run(&[Name::Embedded], orders, &places).await?;
    counted.into_iter().next().context("nothing was counted")
}

/// The counts as a table.
#[must_use]
pub fn text(counted: &[Counted]) -> String {
    table::text(counted)
}

async fn of_side(side: &dyn Side, orders: usize) -> anyhow::Result<Counted> {
    if side.name().is_daybook() {
        let mut skus: Vec<usize> = Vec::new();
        for seed in [WARM_UP, CHECKOUT, FULFILLED] {
            let mut all = Orders::new(0, seed);
            skus.extend((0..orders).flat_map(|_| all.skus()));
        }
        proof::fill(side, skus).await.context("stock cannot be received")?;
    }
    // What is made once, connections say, is no order's.
    place(side, orders.min(5), WARM_UP, false).await?;
    let idle = idle(side).await?;
    let checkout = count(side, orders, CHECKOUT, false, &idle).await?;
    let fulfilled =
        if side.name().is_daybook() { Some(count(side, orders, FULFILLED, true, &idle).await?) } else { None };
    Ok(Counted { side: side.name(), checkout, fulfilled })
}

const WARM_UP: u64 = 1;
const CHECKOUT: u64 = 2;
const FULFILLED: u64 = 3;

/// What a second of doing nothing takes.
async fn idle(side: &dyn Side) -> anyhow::Result<Meters> {
    rest(side).await?;
    let (before, begun) = (Meters::read(side).await?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let after = Meters::read(side).await?;
    Ok(after.since(&before).times(1.0 / begun.elapsed().as_secs_f64()))
}

async fn count(side: &dyn Side, orders: usize, seed: u64, ship: bool, idle: &Meters) -> anyhow::Result<Counts> {
    let head = rest(side).await?;
    let (before, begun) = (Meters::read(side).await?, Instant::now());
    place(side, orders, seed, ship).await?;
    let end = rest(side).await?;
    let after = Meters::read(side).await?;
    let idle = idle.steady().times(begun.elapsed().as_secs_f64());
    let mut counts =
        Counts { each: after.since(&before).since(&idle).times(1.0 / orders as f64).all(), ..Counts::default() };
    if let Some(log) = side.log() {
        log::read(&log, head, end, orders, &mut counts).await?;
    }
    Ok(counts)
}

/// Places orders one after the other, and ships each if asked to.
async fn place(side: &dyn Side, orders: usize, seed: u64, ship: bool) -> anyhow::Result<()> {
    let mut client = Client::connect(side.commands().first().context("nobody takes orders")?).await?;
    let mut all = Orders::new(0, seed);
    for _ in 0..orders {
        let done = all.check_out(&mut client).await?;
        if ship {
            let path = format!("/v1/orders/{}/shipments", done.order_id);
            let answer = client.post(&path, &[("prefer", "wait=30")], Bytes::from_static(b"{}")).await?;
            let told = answer.json()?;
            if told["fulfilment_status"] != "shipped" || told["payment_status"] != "captured" {
                bail!("an order is not shipped and paid: {}", answer.text());
            }
        }
    }
    Ok(())
}

/// Waits until nothing more is to come; the last position.
async fn rest(side: &dyn Side) -> anyhow::Result<u64> {
    let head = if side.name().is_daybook() { proof::rest(side).await?.head } else { 0 };
    tokio::time::sleep(SHOWN).await;
    Ok(head)
}
