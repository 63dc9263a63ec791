//! What other processes write is read once, and a page has it where it belongs.

use std::time::Duration;

use event_store::postgres::{Options, Store};
use event_store::{EventStore, Filter};
use servers::Postgres;

use crate::contract::{put, stream};
use crate::options;

/// Waits until a handle has seen a position.
async fn seen(store: &Store, position: u64) {
    let mut head = store.head();
    let seen = head.wait_for(|head| head.position >= position);
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_page_has_what_two_processes_wrote_in_turn() {
    let url = Postgres::shared().database();
    // One that keeps everything, one that keeps hardly anything, one that keeps nothing.
    let of = |recent_bytes| Options { recent_bytes, ..options(&url) };
    let stores = [
        Store::open(of(1 << 20)).await.unwrap(),
        Store::open(of(2_000)).await.unwrap(),
        Store::open(of(0)).await.unwrap(),
    ];
    let some = Filter { categories: vec![stream("a").category.to_string()], ..Filter::default() };
    let none = Filter { kinds: vec!["Other".into()], ..Filter::default() };
    let mut position = 0;
    for round in 0..6 {
        for (n, store) in stores.iter().enumerate() {
            let texts: &[&str] = if round % 2 == 0 { &["a", "b"] } else { &["c"] };
            put(&**store, &stream(&format!("{round}-{n}")), texts).await;
            position += texts.len() as u64;
        }
        for store in &stores {
            seen(store, position).await;
            for after in [0, position / 2, position - 1] {
                let page = store.read_log(after, &Filter::default(), 1_000).await.unwrap();
                let positions: Vec<_> = page.records.iter().map(|record| record.position).collect();
                assert_eq!((positions, page.next), ((after + 1..=position).collect(), position));
                let page = store.read_log(after, &some, 1_000).await.unwrap();
                assert_eq!((page.records.len() as u64, page.next), (position - after, position));
                let page = store.read_log(after, &none, 1).await.unwrap();
                assert_eq!((page.records.len(), page.next), (0, position));
            }
        }
    }
    for store in stores {
        store.close().await.unwrap();
    }
}
