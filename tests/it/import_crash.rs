//! An import that is killed at twenty random moments and run again ends as one that was never killed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::{EventStore, Filter};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::harness::server::verify;
use crate::harness::{Server, server, shop};

const KILLS: usize = 20;
/// Few enough that twenty-one imports of them take a minute or two, and enough for each kind of row.
const INVOICES: u32 = 30;

/// A small file in the retail layout: sales, credits before and after shipping, a correction, postage, rows that are bad.
fn file(folder: &Path) -> PathBuf {
    let mut text = String::from("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n");
    let mut rng = StdRng::seed_from_u64(1);
    for invoice in 0..INVOICES {
        let day = 1 + invoice / 12;
        let minute = invoice % 12 * 5;
        let customer = 12_300 + invoice % 17;
        for line in 0..rng.random_range(1..5) {
            let sku = 20_000 + (invoice * 7 + line * 3) % 40;
            let qty = rng.random_range(1..12);
            writeln!(
                text,
                "{},{sku},THING {sku},{qty},2010-12-{day:02} 09:{minute:02}:00,{}.{:02},{customer},United Kingdom",
                540_000 + invoice,
                sku % 9,
                sku % 100
            )
            .unwrap();
        }
        if invoice % 9 == 4 {
            writeln!(
                text,
                "{},POST,POSTAGE,1,2010-12-{day:02} 09:{minute:02}:00,18.00,{customer},France",
                540_000 + invoice
            )
            .unwrap();
        }
        if invoice % 11 == 6 {
            let sku = 20_000 + (invoice * 7) % 40;
            writeln!(
                text,
                "C{},{sku},THING {sku},-1,2010-12-{:02} 15:00:00,{}.{:02},{customer},United Kingdom",
                550_000 + invoice,
                day + invoice % 3,
                sku % 9,
                sku % 100
            )
            .unwrap();
        }
        if invoice % 40 == 13 {
            writeln!(text, "{},20001,,-3,2010-12-{day:02} 16:00:00,0,,United Kingdom", 560_000 + invoice).unwrap();
            writeln!(
                text,
                "C{},20002,NEVER BOUGHT,-2,2010-12-{day:02} 16:00:00,1.00,18999,United Kingdom",
                570_000 + invoice
            )
            .unwrap();
            writeln!(
                text,
                "{},20003,BROKEN,many,2010-12-{day:02} 16:00:00,1.00,18999,United Kingdom",
                580_000 + invoice
            )
            .unwrap();
        }
    }
    let path = folder.join("retail.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn import(data: &Path, file: &Path) -> std::process::Command {
    let mut command = server::daybook();
    command.args([
        "import",
        file.to_str().unwrap(),
        "--layout",
        "retail",
        "--data",
        data.to_str().unwrap(),
        "--output",
        "json",
        // The sandbox goes with the process: what it does not know when the import is run again never comes.
        "--set",
        "payments.grace_ms=500",
    ]);
    command
}

/// Runs an import to its end: what it reports of the file, and what it refused.
fn finish(data: &Path, file: &Path) -> (Value, Value) {
    let output = import(data, file).output().unwrap();
    // Some of its rows are refused.
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    (report["counts"].clone(), report["refused"].clone())
}

/// What a business sees: every order with its figures, every SKU with its units; no ids of events, no instants.
async fn figures(data: &Path) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
    let server = Server::start(data).await;
    let client = server.client();
    // A client that has written nothing: what it reads is as new as what the log holds now.
    shop::head(&client).await;
    let mut orders = BTreeMap::new();
    let mut path = "/v1/orders?limit=200".to_owned();
    loop {
        let page = client.get(&path).await.expect(200).json();
        for item in page["items"].as_array().unwrap() {
            let id = item["order_id"].as_str().unwrap().to_owned();
            let order = client.get(&format!("/v1/orders/{id}")).await.expect(200).json();
            let kept = [
                "external_ref",
                "status",
                "payment_status",
                "fulfilment_status",
                "return_status",
                "totals",
                "payment",
                "lines",
            ];
            orders.insert(id, kept.iter().map(|name| ((*name).to_owned(), order[*name].clone())).collect());
        }
        let Some(cursor) = page["next"].as_str() else {
            break;
        };
        path = format!("/v1/orders?limit=200&cursor={cursor}");
    }
    let mut stock = BTreeMap::new();
    for sku in 20_000..20_040 {
        let answer = client.get(&format!("/v1/stock/{sku}")).await;
        if answer.status == 200 {
            let mut level = answer.json();
            strip(&mut level);
            stock.insert(sku.to_string(), level);
        }
    }
    (orders, stock)
}

/// Takes out what differs between two runs of the same business: versions, positions, instants.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !matches!(name.as_str(), "version" | "position" | "recorded_at" | "updated_at" | "as_of")
            });
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Every saga of the store by its last event: all of them have ended.
async fn sagas_left(data: &Path) -> Vec<String> {
    let store = event_store::sqlite::Store::open_read_only(data).unwrap();
    let filter = Filter { categories: vec!["saga".to_owned()], ..Filter::default() };
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = store.read_log(after, &filter, 1_000).await.unwrap();
        for record in &page.records {
            last.insert(record.stream.id.to_string(), record.kind.to_string());
        }
        if page.next >= page.head {
            break;
        }
        after = page.next;
    }
    assert!(last.len() >= INVOICES as usize, "{} sagas ran", last.len());
    last.into_iter().filter(|(_, kind)| kind != "SagaEnded").map(|(id, kind)| format!("{id}: {kind}")).collect()
}

/// The position of the first and of the last order's event in a finished store.
async fn span(data: &Path) -> (u64, u64) {
    let store = event_store::sqlite::Store::open_read_only(data).unwrap();
    let filter = Filter { categories: vec!["order".to_owned()], ..Filter::default() };
    let (mut first, mut last, mut after) = (0, 0, 0);
    loop {
        let page = store.read_log(after, &filter, 1_000).await.unwrap();
        if let (0, Some(record)) = (first, page.records.first()) {
            first = record.position;
        }
        last = page.records.last().map_or(last, |record| record.position);
        if page.next >= page.head {
            return (first, last);
        }
        after = page.next;
    }
}

/// Kills the import once the log has reached `at`; true if it was in the middle of its work.
fn kill_at(data: &Path, file: &Path, at: u64) -> bool {
    let mut child = import(data, file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    let head = |store: &Arc<_>| -> u64 {
        let store: &Arc<event_store::sqlite::ReadOnly> = store;
        store.head().borrow().position
    };
    let mut store = None;
    while since.elapsed() < Duration::from_secs(180) {
        if child.try_wait().unwrap().is_some() {
            child.wait().unwrap();
            return false;
        }
        if store.is_none() {
            store = event_store::sqlite::Store::open_read_only(data).ok();
        }
        if store.as_ref().is_some_and(|store| head(store) >= at) {
            child.kill().unwrap();
            return child.wait().unwrap().code().is_none();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill().and_then(|()| child.wait());
    panic!("the import did not reach position {at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_killed_at_random_moments_ends_as_one_never_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path());
    let calm = folder.path().join("calm");
    let report = finish(&calm, &file);
    let (first, last) = span(&calm).await;
    let wanted = figures(&calm).await;
    verify(&calm);
    assert_eq!(sagas_left(&calm).await, Vec::<String>::new());

    let mut rng = StdRng::seed_from_u64(42);
    let mut killed = 0;
    let mut tries = 0;
    while killed < KILLS {
        tries += 1;
        assert!(tries < 3 * KILLS, "only {killed} of {tries} kills hit the middle");
        let data = folder.path().join(format!("killed-{tries}"));
        let at = rng.random_range(first..last);
        if !kill_at(&data, &file, at) {
            continue;
        }
        killed += 1;
        assert_eq!(finish(&data, &file), report, "killed at {at}");
        assert_eq!(sagas_left(&data).await, Vec::<String>::new(), "killed at {at}");
        verify(&data);
        assert_eq!(figures(&data).await, wanted, "killed at {at}");
        std::fs::remove_dir_all(&data).unwrap();
    }
    // And once more over the store of the calm run: it adds nothing.
    let head = || async { event_store::sqlite::Store::open_read_only(&calm).unwrap().head().borrow().position };
    let before = head().await;
    assert_eq!(finish(&calm, &file), report);
    assert_eq!(head().await, before);
}
