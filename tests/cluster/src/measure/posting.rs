//! How many events a second several processes post to empty read models.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::http::request;
use super::{Plan, slow};
use crate::{Cluster, Options};

/// What a commit to the read models' database is made to take more in the slow case.
const DELAY: Duration = Duration::from_millis(2);
/// How long anything here may take.
const WITHIN: Duration = Duration::from_secs(1_800);
/// How long a process may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(45);
/// Who writes to the log.
const WRITERS: [&str; 5] = ["command-api", "ordering", "inventory", "payments", "sagas"];

/// Copies an embedded store's log into the cluster's empty database, and has it published.
pub(super) fn copy(cluster: &mut Cluster, options: &Options, from: &str) -> anyhow::Result<Value> {
    for role in WRITERS.into_iter().chain(["relay", "projections", "query-api"]) {
        end(cluster, role)?;
    }
    let begun = Instant::now();
    let output = Command::new(&options.daybook)
        .args(["--output", "json", "copy", "--from", from, "--to", &store(cluster)?])
        .output()?;
    if !output.status.success() {
        bail!("copy: {}", String::from_utf8_lossy(&output.stderr));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut told: Value = serde_json::from_slice(&output.stdout)?;
    told["seconds"] = json!(seconds);
    for role in ["relay", "query-api"] {
        for name in cluster.replicas(role)? {
            cluster.start(&name)?;
            cluster.await_ready(&name)?;
        }
    }
    let head = head(cluster)?;
    let published = "SELECT coalesce(max(position), 0) FROM daybook.consumer WHERE name = 'relay'";
    let begun = Instant::now();
    while sql(&store(cluster)?, published)?.parse::<u64>()? < head {
        if begun.elapsed() > WITHIN {
            bail!("the log is not published");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(told)
}

/// Posts the whole log to empty read models, once for each number of processes and each delay. Nobody writes to the log meanwhile.
pub(super) fn post_all(cluster: &mut Cluster, options: &Options, plan: &Plan) -> anyhow::Result<Vec<Value>> {
    for role in WRITERS.into_iter().chain(["projections", "query-api"]) {
        end(cluster, role)?;
    }
    let mut posting = Vec::new();
    for delay in [None, Some(DELAY)] {
        for workers in &plan.workers {
            posting.push(post(cluster, options, *workers, delay)?);
        }
    }
    Ok(posting)
}

fn post(cluster: &Cluster, options: &Options, workers: usize, delay: Option<Duration>) -> anyhow::Result<Value> {
    let queries = cluster.replicas("query-api")?;
    let mut environment = cluster.environment(&queries[0])?;
    let url = environment["DAYBOOK_PROJECTIONS__URL"].clone();
    sql(&url, "DROP SCHEMA IF EXISTS daybook_read CASCADE")?;
    if let Some(delay) = delay {
        environment.insert("DAYBOOK_PROJECTIONS__URL".into(), slow::commits(&url, delay)?);
    }
    let head = head(cluster)?;
    let (begun, machine) = (Instant::now(), Machine::now()?);
    let mut children = Vec::new();
    for number in 0..workers {
        let log = cluster.folder().join("logs").join(format!("worker-{number}.log"));
        let log = std::fs::File::create(log)?;
        environment.insert("DAYBOOK_HTTP__LISTEN".into(), format!("127.0.0.1:{}", servers::free_port()));
        let mut command = Command::new(&options.daybook);
        command.env_clear().envs(&environment);
        command.args(["serve", "--roles", "projections"]);
        children.push(command.stdout(log.try_clone()?).stderr(log).spawn()?);
    }
    let lowest = "SELECT coalesce(min(position), 0) FROM daybook_read.checkpoint WHERE slot = 'live'";
    // The schema is not there at first.
    let position = || sql(&url, lowest).ok().and_then(|text| text.parse().ok());
    while position().unwrap_or(0_u64) < head {
        if begun.elapsed() > WITHIN {
            bail!("the read models do not reach {head}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let busy = Machine::now()?.busy_since(&machine);
    let shares: Vec<_> = children.iter().map(|child| spent(child.id()) / seconds).collect();
    for child in children {
        stop(child)?;
    }
    Ok(json!({
        "processes": workers,
        "commit_delay_ms": delay.map_or(0.0, |delay| delay.as_secs_f64() * 1e3),
        "events": head, "seconds": seconds, "events_per_second": head as f64 / seconds,
        "processors_of_each": shares, "processors_of_the_machine": busy,
    }))
}

/// Holds what was posted against the embedded store's read models, row by row.
pub(super) fn compare(cluster: &Cluster, options: &Options, from: &str) -> anyhow::Result<Value> {
    let folder = from.strip_prefix("sqlite:").unwrap_or(from);
    let queries = cluster.replicas("query-api")?;
    let output = Command::new(&options.daybook)
        .env_clear()
        .envs(cluster.environment(&queries[0])?)
        .args(["--output", "json", "verify", "--against", folder])
        .output()?;
    serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until a query-api says that no read model is behind.
pub(super) fn await_models(cluster: &Cluster, within: Duration) -> anyhow::Result<()> {
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

fn end(cluster: &Cluster, role: &str) -> anyhow::Result<()> {
    for name in cluster.replicas(role)? {
        if cluster.pid(&name).is_some() {
            cluster.end(&name, "TERM")?;
        }
    }
    Ok(())
}

/// Asks a process to end, so that it gives its leases back and the next ones need not wait for them.
fn stop(mut child: Child) -> anyhow::Result<()> {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > END_WITHIN {
            child.kill()?;
            child.wait()?;
            bail!("a worker does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn head(cluster: &Cluster) -> anyhow::Result<u64> {
    let head = "SELECT coalesce(max(position), 0) FROM daybook.events";
    Ok(sql(&store(cluster)?, head)?.parse()?)
}

/// The owner's address of the log's database.
fn store(cluster: &Cluster) -> anyhow::Result<String> {
    let mut environment = cluster.environment("migrate")?;
    environment.remove("DAYBOOK_STORE__URL").context("no database")
}

fn sql(url: &str, text: &str) -> anyhow::Result<String> {
    let output = Command::new(servers::postgres::programs().join("psql"))
        .args(["-X", "-q", "-tA", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text])
        .output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    bail!("{text}: {}", String::from_utf8_lossy(&output.stderr))
}

/// The system's clock ticks in a second, as `/proc` counts processor time.
const TICKS: f64 = 100.0;

/// Processor seconds that a process has used.
fn spent(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at| rest.split_whitespace().nth(at).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS
}

/// What all processors of the machine have done, in ticks.
struct Machine {
    busy: f64,
    at: Instant,
}

impl Machine {
    fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = first.split_whitespace().filter_map(|text| text.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq
        let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum();
        Ok(Self { busy, at: Instant::now() })
    }

    /// How many processors were busy since then, on average.
    fn busy_since(&self, before: &Self) -> f64 {
        (self.busy - before.busy) / TICKS / (self.at - before.at).as_secs_f64()
    }
}
