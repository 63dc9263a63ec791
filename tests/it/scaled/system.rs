//! A scaled system on this machine, put under load, and the questions that are asked of it afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::History;
use cluster::{Cluster, Options};
use event_store::EventStore;
use event_store::postgres;
use serde_json::Value;

use crate::harness::load::{Load, Running};
use crate::harness::recorded::Endpoints;
use crate::harness::server::program;
use crate::harness::{Client, Session};

/// A process that is silent for so long is taken for gone: short, so that tests need not wait.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// How long the system may take until nothing is under way any more.
const QUIET_WITHIN: Duration = Duration::from_secs(240);
/// How long a process may take to be ready, on a machine that has much else to do.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// The system with each role in processes of its own.
pub(crate) const BY_ROLES: &str = "deploy/compose.roles.yaml";
/// The system that one would run.
pub(crate) const AS_SHIPPED: &str = "compose.yaml";
/// Its services: one answers everybody, the other projects.
const SHIPPED: [&str; 2] = ["core", "projections"];

/// Every role, each a service of its own.
pub(crate) const ROLES: [&str; 8] =
    ["command-api", "query-api", "relay", "projections", "sagas", "ordering", "inventory", "payments"];

/// The services of a file that run Daybook.
pub(crate) fn services(file: &str) -> &'static [&'static str] {
    if file == BY_ROLES { &ROLES } else { &SHIPPED }
}

/// The broker has refused nobody anything: every user may do what its role does.
pub(crate) fn refused_nothing(cluster: &Cluster) {
    let mut looked_at = 0;
    for name in cluster.names() {
        let nats = name.starts_with("nats-");
        let mut daybooks = ROLES.iter().chain(&SHIPPED);
        if !nats && !daybooks.any(|service| name.starts_with(service)) {
            continue;
        }
        looked_at += u32::from(nats);
        let log = cluster.log(&name);
        let refused = log.lines().find(|line| ["violation", "Violation"].iter().any(|word| line.contains(word)));
        assert_eq!(refused, None, "{name}");
    }
    assert!(looked_at > 0, "no broker was looked at");
}

/// A scaled system.
pub(crate) struct System {
    pub(crate) cluster: Cluster,
    session: Session,
    /// The services that run Daybook, that take commands and that answer queries.
    services: (&'static [&'static str], &'static str, &'static str),
    _folder: tempfile::TempDir,
}

impl System {
    /// Everything that deploy/compose.roles.yaml has, with so many of some services.
    pub(crate) async fn start(replicas: &[(&str, usize)]) -> Self {
        Self::wired(BY_ROLES, replicas, None, &[]).await
    }

    /// The system of compose.yaml, on one broker node.
    pub(crate) async fn shipped() -> Self {
        Self::wired(AS_SHIPPED, &[("nats-2", 0), ("nats-3", 0)], None, &[]).await
    }

    /// The same on a store with a clock that can be advanced.
    pub(crate) async fn for_a_test(replicas: &[(&str, usize)]) -> Self {
        Self::wired(BY_ROLES, replicas, None, &[("DAYBOOK_STORE__TEST_CLOCK", "true")]).await
    }

    async fn wired(file: &str, replicas: &[(&str, usize)], wire: Option<cluster::Wire>, more: &[(&str, &str)]) -> Self {
        let folder = servers::folder::temporary("cluster");
        // The server's user has to get to its data.
        let path = folder.path().to_owned();
        let opened = Command::new("chmod").arg("755").arg(&path).status();
        assert!(opened.unwrap().success());
        let mut environment = BTreeMap::from([
            ("DAYBOOK_ROLES__LEASE_MS", LEASE.as_millis().to_string()),
            ("DAYBOOK_PAYMENTS__TIMEOUT_MS", "2000".into()),
            ("DAYBOOK_PAYMENTS__GRACE_MS", "2000".into()),
            ("DAYBOOK_TELEMETRY__FORMAT", "text".into()),
        ]);
        environment.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let options = Options {
            compose: Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file),
            folder: path.join("cluster"),
            daybook: program(),
            bound: true,
            fixed_ports: false,
            replicas: replicas.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            environment: environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            wire,
            late: None,
        };
        let cluster = tokio::task::spawn_blocking(|| Cluster::up(options)).await.unwrap().unwrap();
        let (commands, queries) = if file == BY_ROLES { ("command-api", "query-api") } else { ("core", "core") };
        let services = (services(file), commands, queries);
        Self { cluster, session: Session::default(), services, _folder: folder }
    }

    /// The whole of it on one broker node, with one of everything: what most faults need.
    pub(crate) async fn small() -> Self {
        Self::start(&Self::one_of_each()).await
    }

    /// The same, with a proxy between the database and everybody who uses it.
    pub(crate) async fn behind_a_proxy() -> (Self, servers::Swallow) {
        let server = servers::free_port();
        let proxy = servers::Swallow::before(server);
        let laid = cluster::Wire { server, port: proxy.port() };
        (Self::wired(BY_ROLES, &Self::one_of_each(), Some(laid), &[]).await, proxy)
    }

    pub(crate) fn one_of_each() -> Vec<(&'static str, usize)> {
        let mut one: Vec<_> = ["nats-2", "nats-3"].map(|node| (node, 0)).into();
        one.extend(ROLES.map(|role| (role, 1)));
        one
    }

    /// Where clients go.
    pub(crate) fn endpoints(&self) -> Endpoints {
        let urls = |service: &str| {
            let names = self.cluster.replicas(service).unwrap();
            names.iter().map(|name| self.cluster.url(name)).collect()
        };
        let (_, commands, queries) = self.services;
        Endpoints { tenant: "main".to_owned(), commands: urls(commands), queries: urls(queries) }
    }

    /// A client of the first process that takes commands; those of one system share a session.
    pub(crate) fn commands(&self) -> Client {
        Client::new(&self.endpoints().commands[0]).within(&self.session)
    }

    /// A client of the first process that answers queries.
    pub(crate) fn queries(&self) -> Client {
        Client::new(&self.endpoints().queries[0]).within(&self.session)
    }

    /// Puts a load on it.
    pub(crate) async fn load(&self, clients: usize, seed: u64) -> (History, Running) {
        let history = History::new();
        println!("seed {seed}");
        let running = Load::of(clients, seed).start(&history, &self.endpoints()).await;
        (history, running)
    }

    /// The log, beside those who write to it.
    pub(crate) async fn log(&self) -> Arc<dyn EventStore> {
        let url = &self.environment()["DAYBOOK_STORE__URL"];
        postgres::Store::open(postgres::Options::new(url.as_str()).role("test")).await.unwrap()
    }

    /// The environment of a command beside the processes.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let name = &self.cluster.replicas(self.services.2).unwrap()[0];
        self.cluster.environment(name).unwrap()
    }

    /// Runs a command of the program beside the processes; what it printed as JSON.
    pub(crate) fn daybook(&self, arguments: &[&str]) -> Value {
        let output = Command::new(program())
            .env_clear()
            .envs(self.environment())
            .args(["--output", "json"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// How far each read model is behind, as a process that answers queries says.
    pub(crate) async fn lags(&self) -> BTreeMap<String, u64> {
        let since = Instant::now();
        let answer = loop {
            let answer = self.queries().get("/v1/projections").await;
            // Its database may have come back a moment ago.
            if answer.status != 503 || since.elapsed() > READY_WITHIN {
                break answer.expect(200).json();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let models = answer["items"].as_array().unwrap();
        models
            .iter()
            .map(|model| {
                let name = model["name"].as_str().unwrap().to_owned();
                (name, model["lag"].as_u64().unwrap())
            })
            .collect()
    }

    /// Waits until no read model is behind and nothing moves.
    pub(crate) async fn quiet(&self, log: &dyn EventStore) {
        let since = Instant::now();
        let (mut head, mut unmoved) = (0, Instant::now());
        loop {
            let now = log.head().borrow().position;
            if now != head {
                (head, unmoved) = (now, Instant::now());
            }
            let lags = self.lags().await;
            let behind: Vec<_> = lags.iter().filter(|(_, lag)| **lag > 0).collect();
            if behind.is_empty() && unmoved.elapsed() > Duration::from_secs(4) {
                return;
            }
            assert!(since.elapsed() < QUIET_WITHIN, "not quiet at {head}: {behind:?} are behind");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends a load and holds everything against everything: what clients were told, the log, the laws, every read model, the broker.
    pub(crate) async fn prove(&self, history: History, load: Running) {
        let counts = load.stop().await;
        println!("{counts:?}");
        println!("{}", self.warnings());
        let unresolved: u64 = counts
            .iter()
            .filter(|(what, _)| what.ends_with("unresolved") && !what.starts_with("Read"))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(unresolved, 0, "commands whose outcome nobody tells: {counts:?}");
        self.prove_log(&history).await;
    }

    /// What the processes warned of last: where a test fails, that is where to look.
    pub(crate) fn warnings(&self) -> String {
        let mut last = Vec::new();
        for name in self.cluster.names() {
            let log = self.cluster.log(&name);
            let warned: Vec<_> =
                log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
            last.extend(warned.iter().rev().take(6).rev().map(|line| format!("{name}: {line}")));
        }
        last.join("\n")
    }

    /// The processes of daybook that run on.
    pub(crate) fn daybooks(&self) -> Vec<String> {
        let of = |service: &&str| self.cluster.replicas(service).unwrap();
        self.services.0.iter().flat_map(of).collect()
    }

    /// The same without a load: of a history that was recorded otherwise.
    pub(crate) async fn prove_log(&self, history: &History) {
        let log = self.log().await;
        self.quiet(&*log).await;
        let report = checker::check(history, &*log).await.unwrap();
        println!("{report}");
        report.assert_green();
        let proof = self.ended().await;
        assert_eq!(proof["holds"], true, "{proof:#}");
        self.prove_broker(&*log).await;
        log.close().await.unwrap();
    }

    /// Waits until no long process is on its way any more; the proof of that moment.
    pub(crate) async fn ended(&self) -> Value {
        let since = Instant::now();
        loop {
            let proof = self.daybook(&["verify"]);
            let running = proof["sagas"]["running"].as_u64().unwrap_or(0);
            if running == 0 {
                return proof;
            }
            assert!(
                since.elapsed() < QUIET_WITHIN,
                "{running} long processes are left on their way: {:#}",
                proof["sagas"]
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// The broker has everything after its base, each with the hash that the log has (I30).
    async fn prove_broker(&self, log: &dyn EventStore) {
        refused_nothing(&self.cluster);
        let urls = self.environment()["DAYBOOK_NATS__URLS"].clone();
        let head = log.head().borrow().position;
        let since = Instant::now();
        // Readers may be ahead of the relay: they read the log where the broker is late.
        let found = loop {
            let found = super::broker::published(&urls).await;
            let end = found.records.last().map_or(found.base, |(position, _)| *position);
            if end >= head {
                break found;
            }
            assert!(since.elapsed() < QUIET_WITHIN, "the broker has the log up to {end} of {head}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let mut wanted = found.base + 1;
        for (position, hash) in &found.records {
            assert_eq!(*position, wanted, "generation {}", found.generation);
            wanted += 1;
            if position % 97 == 0 || *position == head {
                let page = log.read_log(position - 1, &event_store::Filter::default(), 1).await.unwrap();
                assert_eq!(&page.records[0].hash, hash, "position {position}");
            }
        }
        assert_eq!(wanted, head + 1, "the broker lacks the end of the log");
    }

    /// Kills a process, shows that it is gone, and starts it again after a while.
    pub(crate) async fn kill_and_start(&mut self, name: &str, after: Duration) {
        let before = self.cluster.pid(name).expect("it runs");
        self.cluster.kill(name).unwrap();
        assert_eq!(self.cluster.pid(name), None, "{name} is gone");
        tokio::time::sleep(after).await;
        self.cluster.start(name).unwrap();
        self.await_ready(name).await;
        assert_ne!(self.cluster.pid(name), Some(before), "{name} is another one");
    }

    /// Waits until a process says that it is ready.
    pub(crate) async fn await_ready(&self, name: &str) {
        let since = Instant::now();
        while !self.cluster.is_ready(name) {
            assert!(since.elapsed() < READY_WITHIN, "{name} is not ready: {}", self.cluster.log(name));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
