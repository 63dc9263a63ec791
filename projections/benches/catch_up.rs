//! How fast the read models catch up with a log that is there already: all of them together, then each alone. The log is that of a small
//! shop, written by the domain's own decisions; nothing here is part of the product.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot continue has failed")]

#[path = "../src/tests/shop.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod shop;

use std::time::Instant;

use projections::{Options, Projections};

/// How many orders the shop sells; some twelve events each.
const ORDERS: u64 = 2_000;

#[tokio::main]
async fn main() {
    let mut shop = shop::Shop::open();
    let started = Instant::now();
    shop.trade(ORDERS).await;
    let head = shop.head();
    eprintln!("log: {head} events in {:.1} s", started.elapsed().as_secs_f64());
    for round in 0..3 {
        let folder = shop.folder.path().join(format!("all-{round}"));
        let projections = Projections::open(Options::new(folder), shop.log()).await.unwrap();
        let started = Instant::now();
        projections.catch_up(None).await.unwrap();
        told("all", head, started);
        if round == 0 {
            for name in Projections::names() {
                let started = Instant::now();
                projections.rebuild(name, None).await.unwrap();
                told(name, head, started);
            }
        }
        projections.close().await.unwrap();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn told(what: &str, events: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{what:>15}: {:>9.0} events/s", events as f64 / seconds);
}
