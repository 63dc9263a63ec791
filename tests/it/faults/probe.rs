//! A buyer who finds out whether work goes on: an order after the other, each of them asked for until it is decided. What comes of them is
//! what `/readyz` is held against.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::recorded::Endpoints;
use crate::harness::{Client, Session, shop};

/// How long an order may take to be decided and shown: after that, work does not go on.
const WITHIN: Duration = Duration::from_secs(8);
/// Between two orders.
const EVERY: Duration = Duration::from_millis(300);
/// What it buys.
const SKU: &str = "PROBE";

/// What came of an order.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// Why it was not taken, or not decided in time; none if it was.
    pub(crate) fault: Option<String>,
}

/// The buyer at work.
pub(crate) struct Probe {
    stop: CancellationToken,
    task: JoinHandle<Vec<Tried>>,
}

impl Probe {
    /// Puts goods on the shelf and begins to buy.
    pub(crate) async fn start(endpoints: &Endpoints) -> Self {
        let session = Session::default();
        let client = |base: &str| Client::with_timeout(base, WITHIN).within(&session);
        let (commands, queries) = (client(&endpoints.commands[0]), client(&endpoints.queries[0]));
        stock_up(&Client::new(&endpoints.commands[0])).await;
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            let mut all = Vec::new();
            while !token.is_cancelled() {
                let began = Instant::now();
                let fault = buy(&commands, &queries).await.err();
                all.push(Tried { began, ended: Instant::now(), fault });
                tokio::time::sleep(EVERY).await;
            }
            all
        });
        Self { stop, task }
    }

    /// Ends, with what came of each order.
    pub(crate) async fn stop(self) -> Vec<Tried> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

/// Puts goods on the shelf, once, however often the server closes the connection: where connections are few, an idle one may be closed
/// in the moment in which a request is sent on it.
async fn stock_up(commands: &Client) {
    let headers = [("content-type", "application/json"), ("idempotency-key", "goods-of-the-probe")];
    let path = format!("/v1/stock/{SKU}/receipts");
    let until = Instant::now() + WITHIN;
    loop {
        let body = serde_json::json!({ "qty": 1_000_000 }).to_string().into_bytes();
        match commands.try_send(Method::POST, &path, &headers, Some(body)).await {
            Some(answer) if answer.status == 201 => return,
            answer => assert!(Instant::now() < until, "the goods are not taken: {answer:?}"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn buy(commands: &Client, queries: &Client) -> Result<(), String> {
    let until = Instant::now() + WITHIN;
    let order = shop::order(&[(SKU, 1)], "sandbox:approve").to_string().into_bytes();
    let headers = [("content-type", "application/json")];
    let placed = commands.try_send(Method::POST, "/v1/orders", &headers, Some(order)).await;
    let placed = placed.ok_or("no answer to an order")?;
    if placed.status != 201 {
        return Err(format!("an order is answered {} {}", placed.status, code(&placed.body)));
    }
    let path = format!("/v1/orders/{}", placed.text("/order_id"));
    let mut last = String::new();
    while Instant::now() < until {
        match queries.try_get(&path).await {
            Some(answer) if answer.status == 200 && answer.json()["status"] != "pending" => return Ok(()),
            Some(answer) if answer.status == 200 => last = "it is pending".to_owned(),
            Some(answer) => last = format!("it is answered {} {}", answer.status, code(&answer.body)),
            None => last = "no answer to a read".to_owned(),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Err(format!("an order is not shown as decided within {WITHIN:?}: {last}"))
}

fn code(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["code"].as_str().unwrap_or_default().to_owned()
}
