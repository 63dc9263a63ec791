//! How fast the scaled system is on this machine: orders against the embedded system in the same run, the time from an answer to the
//! read model that shows it, and how many events a second several processes post to the read models. Every figure is measured anew.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{Cluster, Options};

/// Clients at once that look for the lag: each waits for it, so that many are needed to keep a rate.
const CLIENTS: u64 = 96;
/// The SKUs that `daybook bench` orders.
const SKUS: usize = 1_000;
/// What a round trip to the read models' database is made to take in the slow case.
const DELAY: Duration = Duration::from_millis(2);
/// The system's clock ticks in a second, as `/proc` counts processor time.
const TICKS: f64 = 100.0;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seconds of each run of orders.
    pub seconds: u64,
    /// Connections at once, one run for each number.
    pub connections: Vec<usize>,
    /// Projection processes, one run for each number.
    pub workers: Vec<usize>,
}

/// Measures in a cluster of its own and tells what came of it.
///
/// # Errors
/// If the cluster cannot be started, or does not do what it is asked.
pub fn run(options: &Options, plan: &Plan) -> anyhow::Result<Value> {
    let mut cluster = Cluster::up(options.clone())?;
    let orders = orders(&cluster, options, plan)?;
    let peak = orders
        .iter()
        .filter_map(|run| run["scaled"]["per_second"].as_f64())
        .fold(1.0, f64::max);
    let lag = lag(&cluster, peak / 2.0, plan.seconds)?;
    await_models(&cluster, Duration::from_secs(300))?;
    let mut posting = Vec::new();
    for delay in [None, Some(DELAY)] {
        for workers in &plan.workers {
            posting.push(post(&mut cluster, options, *workers, delay)?);
        }
    }
    cluster.down()?;
    Ok(json!({ "orders": orders, "lag": lag, "posting": posting }))
}

/// Orders per second on both systems, in turn.
fn orders(cluster: &Cluster, options: &Options, plan: &Plan) -> anyhow::Result<Vec<Value>> {
    let name = &cluster.replicas("command-api")?[0];
    let url = cluster.url(name);
    for number in 0..SKUS {
        // As `bench` fills its own store.
        let path = format!("/v1/stock/BENCH-{number:04}/receipts");
        request(
            &cluster.address(name),
            "POST",
            &path,
            Some(r#"{"qty":1000000}"#),
        )?;
    }
    let mut runs = Vec::new();
    for connections in &plan.connections {
        let run = |url: Option<&str>| -> anyhow::Result<Value> {
            let mut command = Command::new(&options.daybook);
            command.args(["--output", "json", "bench"]);
            command.args(["--seconds", &plan.seconds.to_string()]);
            command.args(["--connections", &connections.to_string()]);
            if let Some(url) = url {
                command.args(["--url", url]);
            }
            let output = command.output()?;
            if !output.status.success() {
                bail!("bench: {}", String::from_utf8_lossy(&output.stderr));
            }
            let told: Value = serde_json::from_slice(&output.stdout)?;
            Ok(told["rounds"][0].clone())
        };
        let (embedded, scaled) = (run(None)?, run(Some(&url))?);
        runs.push(json!({ "connections": connections, "embedded": embedded, "scaled": scaled }));
    }
    Ok(runs)
}

/// The time from a command's answer to a query that shows it, at a rate.
fn lag(cluster: &Cluster, rate: f64, seconds: u64) -> anyhow::Result<Value> {
    let commands = cluster.address(&cluster.replicas("command-api")?[0]);
    let queries = cluster.address(&cluster.replicas("query-api")?[0]);
    request(
        &commands,
        "POST",
        "/v1/stock/LAG/receipts",
        Some(r#"{"qty":1000000}"#),
    )?;
    let sent = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let threads: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (commands, queries) = (commands.clone(), queries.clone());
            let sent = Arc::clone(&sent);
            std::thread::spawn(move || {
                let mut times = Vec::new();
                while begun.elapsed() < Duration::from_secs(seconds) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let due = begun + Duration::from_secs_f64(number as f64 / rate);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let body = r#"{"currency":"GBP","lines":[{"line_id":1,"sku":"LAG","title":"Lag","qty":1,"unit_price":"1.00"}],"payment":{"instrument":"sandbox:approve"}}"#;
                    let answer = request(&commands, "POST", "/v1/orders", Some(body))?;
                    let (answered, position) = (Instant::now(), header(&answer, "daybook-position"));
                    let position = position.context("an order has a position")?;
                    let path = format!("/v1/orders?limit=1&min_position={position}");
                    request(&queries, "GET", &path, None)?;
                    times.push(answered.elapsed());
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a client failed"))??,
        );
    }
    times.sort();
    let of = |share: f64| {
        let at = (times.len() as f64 * share) as usize;
        let time = times.get(at.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let reached = times.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(json!({
        "wanted_per_second": rate, "orders_per_second": reached,
        "p50_ms": of(0.5), "p99_ms": of(0.99), "orders": times.len(),
    }))
}

/// Posts the whole log to empty read models with so many processes.
fn post(
    cluster: &mut Cluster,
    options: &Options,
    workers: usize,
    delay: Option<Duration>,
) -> anyhow::Result<Value> {
    let queries = cluster.replicas("query-api")?;
    let own = cluster.replicas("projections")?;
    for name in own.iter().chain(&queries) {
        if cluster.pid(name).is_some() {
            cluster.end(name, "TERM")?;
        }
    }
    let mut environment = cluster.environment(&queries[0])?;
    let url = environment["DAYBOOK_PROJECTIONS__URL"].clone();
    sql(&url, "DROP SCHEMA IF EXISTS daybook_read CASCADE")?;
    if let Some(delay) = delay {
        environment.insert("DAYBOOK_PROJECTIONS__URL".into(), slow(&url, delay)?);
    }
    let begun = Instant::now();
    let mut children = Vec::new();
    for number in 0..workers {
        let log = cluster
            .folder()
            .join("logs")
            .join(format!("worker-{number}.log"));
        let log = std::fs::File::create(log)?;
        environment.insert(
            "DAYBOOK_HTTP__LISTEN".into(),
            format!("127.0.0.1:{}", servers::free_port()),
        );
        let mut command = Command::new(&options.daybook);
        command.env_clear().envs(&environment);
        command.args(["serve", "--roles", "projections"]);
        children.push(command.stdout(log.try_clone()?).stderr(log).spawn()?);
    }
    let head: u64 = sql(&store(cluster)?, "SELECT max(position) FROM daybook.events")?.parse()?;
    let lowest =
        "SELECT coalesce(min(position), 0) FROM daybook_read.checkpoint WHERE slot = 'live'";
    while sql(&url, lowest)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0_u64)
        < head
    {
        if begun.elapsed() > Duration::from_secs(900) {
            bail!("the read models do not reach {head}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let shares: Vec<_> = children
        .iter()
        .map(|child| spent(child.id()) / seconds)
        .collect();
    for mut child in children {
        child.kill()?;
        child.wait()?;
    }
    for name in own.iter().chain(&queries) {
        cluster.start(name)?;
        cluster.await_ready(name)?;
    }
    Ok(json!({
        "processes": workers, "round_trip_ms": delay.map_or(0.0, |delay| delay.as_secs_f64() * 1e3),
        "events": head, "seconds": seconds, "events_per_second": head as f64 / seconds,
        "processor_share_of_each": shares,
    }))
}

/// The owner's address of the log's database.
fn store(cluster: &Cluster) -> anyhow::Result<String> {
    let mut environment: BTreeMap<String, String> = cluster.environment("migrate")?;
    environment
        .remove("DAYBOOK_STORE__URL")
        .context("no database")
}

fn sql(url: &str, text: &str) -> anyhow::Result<String> {
    let output = Command::new(servers::postgres::programs().join("psql"))
        .args([
            "-X",
            "-q",
            "-tA",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            text,
        ])
        .output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    bail!("{text}: {}", String::from_utf8_lossy(&output.stderr))
}

/// Processor seconds that a process has used.
fn spent(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at| {
        rest.split_whitespace()
            .nth(at)
            .and_then(|text| text.parse::<f64>().ok())
    };
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS
}

/// Waits until a query-api says that no read model is behind.
fn await_models(cluster: &Cluster, within: Duration) -> anyhow::Result<()> {
    let queries = cluster.address(&cluster.replicas("query-api")?[0]);
    let begun = Instant::now();
    loop {
        let answer = request(&queries, "GET", "/v1/projections", None)?;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let told: Value = serde_json::from_str(body)?;
        let items = told["items"].as_array().cloned().unwrap_or_default();
        if !items.is_empty() && items.iter().all(|item| item["lag"] == 0) {
            return Ok(());
        }
        if begun.elapsed() > within {
            bail!("the read models do not catch up: {body}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn request(address: &str, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let body = body.unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(answer);
    }
    bail!(
        "{method} {path}: {}",
        answer.lines().next().unwrap_or_default()
    )
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines().map_while(|line| {
        line.split_once(": ")
            .or((!line.is_empty()).then_some((line, "")))
    });
    lines
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// The same database behind something that holds every answer back for a while.
fn slow(url: &str, delay: Duration) -> anyhow::Result<String> {
    let (before, rest) = url.split_once('@').context("an address with a user")?;
    let (host, after) = rest.split_once('/').context("an address with a database")?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let own = listener.local_addr()?;
    let target = host.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&target) else {
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nodelay(true).ok();
            }
            if let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) {
                std::thread::spawn(move || pump(from, to, Duration::ZERO));
            }
            std::thread::spawn(move || pump(server, client, delay));
        }
    });
    Ok(format!("{before}@{own}/{after}"))
}

fn pump(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(std::net::Shutdown::Both).ok();
}
