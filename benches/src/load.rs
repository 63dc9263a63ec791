//! A closed loop on a number of connections: each sends its next request as soon as the last one is answered. Any answer that is not
//! the wanted one ends the run.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::checkout::Orders;
use crate::client::Client;
use crate::cpu::Cpu;
use crate::page;

/// What each client asks for, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A checkout, answered when it is confirmed.
    CheckOut,
    /// An order, answered when it is in the log.
    Place,
    /// A page of orders.
    Page,
}

impl Request {
    /// What it is called.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::CheckOut => "checkout",
            Self::Place => "placing",
            Self::Page => "list",
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) request: Request,
    pub(crate) connections: usize,
    pub(crate) length: Duration,
    /// Which orders: no two runs have the same.
    pub(crate) seed: u64,
}

/// What one run came to.
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// In microseconds.
    pub(crate) times: Histogram<u64>,
    pub(crate) cpu: Cpu,
    /// The bytes of all answers' bodies.
    pub(crate) bytes: u64,
    /// The orders that were acknowledged.
    pub(crate) orders: Vec<Uuid>,
}

/// What one client has seen.
struct Seen {
    times: Histogram<u64>,
    bytes: u64,
    orders: Vec<Uuid>,
}

impl Load {
    /// Runs it on the servers of a side, the connections spread over them; `pids` are the side's first processes.
    pub(crate) async fn run(&self, addresses: &[String], pids: &[u32]) -> anyhow::Result<Sample> {
        let mut clients = Vec::with_capacity(self.connections);
        for address in addresses.iter().cycle().take(self.connections) {
            clients.push(Client::connect(address).await?);
        }
        let (before, begun) = (Cpu::now(pids)?, Instant::now());
        let mut tasks = JoinSet::new();
        for (number, client) in clients.into_iter().enumerate() {
            tasks.spawn(client_loop(client, Orders::new(number, self.seed), self.request, begun + self.length));
        }
        let mut all = Seen::new()?;
        while let Some(seen) = tasks.join_next().await {
            let seen = seen.context("a client's task failed")??;
            all.times.add(seen.times)?;
            all.bytes += seen.bytes;
            all.orders.extend(seen.orders);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = Cpu::now(pids)?.since(before);
        Ok(Sample { seconds, times: all.times, cpu, bytes: all.bytes, orders: all.orders })
    }
}

impl Seen {
    fn new() -> anyhow::Result<Self> {
        // From a microsecond to two minutes, to three digits.
        Ok(Self { times: Histogram::new_with_bounds(1, 120_000_000, 3)?, bytes: 0, orders: Vec::new() })
    }
}

async fn client_loop(mut client: Client, mut orders: Orders, request: Request, until: Instant) -> anyhow::Result<Seen> {
    let mut seen = Seen::new()?;
    while Instant::now() < until {
        let begun = Instant::now();
        let done = match request {
            Request::CheckOut => Some(orders.check_out(&mut client).await?),
            Request::Place => Some(orders.place(&mut client).await?),
            Request::Page => {
                seen.bytes += page::read(&mut client).await?;
                None
            }
        };
        seen.times.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        if let Some(done) = done {
            seen.bytes += done.bytes as u64;
            seen.orders.push(done.order_id);
        }
    }
    Ok(seen)
}
