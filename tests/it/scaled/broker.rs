//! The broker goes, loses what it had, or has something else than it had: commands and reads go on, and it is published anew.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::json;

use super::system::{ROLES, System};
use super::{logged, users};
use crate::harness::{Client, shop};

/// When a reader takes the broker for silent.
const SILENCE: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(120);

/// What the broker has of the log.
pub(crate) struct Published {
    pub(crate) generation: u64,
    /// The position before its first message.
    pub(crate) base: u64,
    /// Position and hash of each message, in order.
    pub(crate) records: Vec<(u64, [u8; 32])>,
}

/// As the operator: no role may do all of what is done here.
async fn jetstream(urls: &str) -> async_nats::jetstream::Context {
    let operator = users::connect(urls, "operator", users::PASSWORD).await.unwrap();
    async_nats::jetstream::new(operator)
}

/// The newest generation that is there, as far as the broker says.
async fn generation(context: &async_nats::jetstream::Context) -> Option<u64> {
    let mut names = context.stream_names();
    let mut newest = None;
    while let Some(Ok(name)) = names.next().await {
        if let Some(number) = name.strip_prefix("DAYBOOK_EVENTS_") {
            newest = newest.max(Some(number.parse().unwrap()));
        }
    }
    newest
}

/// The node that leads a generation's stream, and where it ends; none while the broker does not say.
async fn standing(context: &async_nats::jetstream::Context, generation: u64) -> Option<(String, u64)> {
    let name = format!("DAYBOOK_EVENTS_{generation}");
    let stream = context.get_stream(name).await.ok()?;
    let info = stream.cached_info();
    let leader = info.cluster.as_ref()?.leader.clone()?;
    Some((leader, info.state.last_sequence))
}

/// The node that leads a generation's stream, and where it ends, as soon as the broker says so.
async fn leader(context: &async_nats::jetstream::Context, generation: u64) -> (String, u64) {
    let since = Instant::now();
    loop {
        if let Some(standing) = standing(context, generation).await {
            return standing;
        }
        assert!(since.elapsed() < WITHIN, "nobody leads generation {generation}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The newest generation and its stream, as soon as the broker says so.
async fn newest(context: &async_nats::jetstream::Context) -> (u64, async_nats::jetstream::stream::Stream) {
    let since = Instant::now();
    loop {
        if let Some(number) = generation(context).await
            && let Ok(stream) = context.get_stream(format!("DAYBOOK_EVENTS_{number}")).await
        {
            return (number, stream);
        }
        assert!(since.elapsed() < WITHIN, "there is no stream of events");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until a generation follows.
async fn await_after(context: &async_nats::jetstream::Context, before: u64) {
    let since = Instant::now();
    while generation(context).await.is_none_or(|now| now <= before) {
        assert!(since.elapsed() < WITHIN, "no generation follows {before}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads the newest generation from its first message to its last.
pub(crate) async fn published(urls: &str) -> Published {
    let context = jetstream(urls).await;
    let (generation, stream) = newest(&context).await;
    let info = stream.cached_info();
    let base = info.config.metadata["daybook.base"].parse().unwrap();
    let last = info.state.last_sequence;
    let mut records = Vec::new();
    if info.state.messages > 0 {
        let config = async_nats::jetstream::consumer::pull::OrderedConfig::default();
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            let headers = message.headers.as_ref().unwrap();
            let text = |name: &str| headers.get(name).unwrap().as_str().to_owned();
            let hash = text("Daybook-Hash");
            let mut bytes = [0; 32];
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&hash[at * 2..at * 2 + 2], 16).unwrap();
            }
            let position: u64 = text("Daybook-Position").parse().unwrap();
            let sequence = message.info().unwrap().stream_sequence;
            assert_eq!(sequence, position - base, "one message for each position");
            records.push((position, bytes));
            if sequence == last {
                break;
            }
        }
    }
    Published { generation, base, records }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_strong_reads_go_on_while_the_broker_is_away() {
    let mut system = System::small().await;
    let (history, load) = system.load(4, 41).await;
    load.until_more(40, WITHIN).await;
    system.cluster.kill("nats-1").unwrap();
    assert_eq!(system.cluster.pid("nats-1"), None);
    // No process is turned away because of it, and what was just written can be read.
    let (commands, queries) = (system.commands(), system.queries());
    shop::receive(&commands, "AWAY", 5).await;
    for _ in 0..20 {
        let body = shop::order(&[("AWAY", 1)], "sandbox:approve");
        let placed = commands.post("/v1/orders", &body).await.expect(201);
        let order = placed.text("/order_id");
        let since = Instant::now();
        queries.get(&format!("/v1/orders/{order}")).await.expect(200);
        assert!(since.elapsed() < WITHIN / 4, "a strong read hangs");
    }
    load.until_more(60, WITHIN).await;
    // How far behind it is can be seen, by the metrics of those who post and in the answers of those who tell.
    let posting = Client::new(&system.cluster.url("projections"));
    let metrics = posting.get("/metrics").await.expect(200).body;
    assert!(metrics.contains("daybook_projection_lag_events"), "{metrics}");
    assert_eq!(system.lags().await.len(), 7);
    let ready = posting.get("/readyz").await.expect(200).body;
    assert!(ready.contains("unreachable; the log is read instead"), "{ready}");
    system.cluster.start("nats-1").unwrap();
    system.await_ready("nats-1").await;
    load.until_more(40, WITHIN).await;
    system.prove(history, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_three_is_killed_and_then_all_of_them() {
    let replicas = ROLES.map(|role| (role, 1));
    let mut system = System::start(&replicas).await;
    let (history, load) = system.load(4, 42).await;
    load.until_more(30, WITHIN).await;
    let urls = system.environment()["DAYBOOK_NATS__URLS"].clone();
    let context = jetstream(&urls).await;
    let (begun, _) = newest(&context).await;
    for _ in 0..3 {
        let (leader, end) = leader(&context, begun).await;
        system.cluster.kill(&leader).unwrap();
        load.until_more(30, WITHIN).await;
        // The two that are left go on with the stream, while the one that led it is away.
        let since = Instant::now();
        loop {
            let now = standing(&context, begun).await;
            if now.is_some_and(|(now, at)| now != leader && at > end) {
                break;
            }
            assert!(since.elapsed() < WITHIN, "without {leader} nothing is published after {end}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(system.cluster.pid(&leader), None);
        system.cluster.start(&leader).unwrap();
        system.await_ready(&leader).await;
        load.until_more(30, WITHIN).await;
    }
    assert_eq!(newest(&context).await.0, begun, "two are enough");
    let nodes = ["nats-1", "nats-2", "nats-3"];
    for node in nodes {
        system.cluster.kill(node).unwrap();
    }
    assert!(nodes.iter().all(|node| system.cluster.pid(node).is_none()));
    load.until_more(30, WITHIN).await;
    for node in nodes {
        system.cluster.start(node).unwrap();
    }
    for node in nodes {
        system.await_ready(node).await;
    }
    load.until_more(30, WITHIN).await;
    system.prove(history, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_is_published_anew() {
    let system = System::small().await;
    let (history, load) = system.load(4, 43).await;
    load.until_more(60, WITHIN).await;
    let urls = system.environment()["DAYBOOK_NATS__URLS"].clone();
    let context = jetstream(&urls).await;
    for _ in 0..2 {
        let (before, _) = newest(&context).await;
        // An operator's mistake: the stream denies purging, and deleting it takes all of it.
        context.delete_stream(format!("DAYBOOK_EVENTS_{before}")).await.unwrap();
        await_after(&context, before).await;
        load.until_more(60, WITHIN).await;
    }
    system.prove(history, load).await;
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_restored_from_an_older_copy_is_noticed() {
    let mut system = System::small().await;
    let (history, load) = system.load(4, 44).await;
    load.until_more(60, WITHIN).await;
    let urls = system.environment()["DAYBOOK_NATS__URLS"].clone();
    let folder = system.cluster.volume("nats-1");
    let older = folder.with_extension("older");
    let begun = published(&urls).await.generation;
    system.cluster.end("nats-1", "TERM").unwrap();
    copy(&folder, &older);
    system.cluster.start("nats-1").unwrap();
    system.await_ready("nats-1").await;
    let end = |published: &Published| published.records.last().map_or(0, |(at, _)| *at);
    let restarted = published(&urls).await;
    let copied = end(&restarted);
    assert_eq!(restarted.generation, begun, "a restart alone takes nothing");
    let since = Instant::now();
    let mut later = copied;
    while later < copied + 100 {
        assert!(since.elapsed() < WITHIN, "the relay does not go on after {copied}");
        load.until_more(10, WITHIN).await;
        later = end(&published(&urls).await);
    }
    system.cluster.end("nats-1", "TERM").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    copy(&older, &folder);
    system.cluster.start("nats-1").unwrap();
    system.await_ready("nats-1").await;
    println!("the copy ended at {copied}, the stream had been at {later}");
    // Before anybody published again, the stream was as it had been: the loss has happened, and the relay has seen it.
    await_after(&jetstream(&urls).await, begun).await;
    let seen = logged::count(&system, "relay", &[logged::SHORTENED]);
    assert!(seen > 0, "{}", system.cluster.log("relay"));
    load.until_more(60, WITHIN).await;
    system.prove(history, load).await;
}

/// How often a process has read the log because the broker had nothing to say.
async fn silences(process: &Client) -> u64 {
    let metrics = process.get("/metrics").await.expect(200).body;
    let told = metrics.lines().find_map(|line| line.strip_prefix("daybook_feed_silences_total "));
    told.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_partition_holds_nobody_up() {
    let system = System::small().await;
    let (commands, queries) = (system.commands(), system.queries());
    // All that happens, happens to one SKU: the other partitions have nothing.
    shop::receive(&commands, "ONLY", 1).await;
    let posting = Client::new(&system.cluster.url("projections"));
    let before = silences(&posting).await;
    let mut slow = 0;
    for round in 0..200 {
        let since = Instant::now();
        commands.post("/v1/stock/ONLY/receipts", &json!({ "qty": 1 })).await.expect(201);
        // The partition that has something shows whether the relay goes on.
        queries.get("/v1/stock/ONLY").await.expect(200);
        slow += u64::from(since.elapsed() > SILENCE / 2);
        if round % 10 == 0 {
            let since = Instant::now();
            for list in ["/v1/orders", "/v1/stock"] {
                queries.get(list).await.expect(200);
            }
            assert!(since.elapsed() < WITHIN / 4, "a list waits for partitions that have nothing");
        }
    }
    // The relay's word moves a partition that has nothing. Without it each would turn to the log every few seconds, which shows in no
    // answer; a relay that stands still for a moment, on a busy machine, makes all of them do so once.
    let silent = silences(&posting).await - before;
    println!("{silent} times the broker was taken for silent, {slow} rounds were slow");
    let partitions = u64::from(event_store::partition::STREAMS);
    assert!(silent < (2 + slow) * partitions, "partitions that have nothing read the log");
    let log = system.log().await;
    let busy: std::collections::BTreeSet<u32> = log
        .read_log(0, &event_store::Filter::default(), 10_000)
        .await
        .unwrap()
        .records
        .iter()
        .map(|record| event_store::partition::of_stream(&record.stream))
        .collect();
    assert!(busy.len() < 16, "some partitions are idle: {busy:?}");
    system.quiet(&*log).await;
    log.close().await.unwrap();
    assert_eq!(system.daybook(&["verify"])["holds"], true);
}
