//! The services of compose.yaml as processes of this machine: the same commands and the same environment, with the names of other
//! services, ports and mounted folders put where they are here. For tests, and for people who try the scaled system.

pub mod compose;
pub mod measure;
mod places;
mod process;
mod start;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::compose::{Compose, Condition, Program, Service};
use crate::places::{Places, replica};
use crate::process::Process;

/// How long a service may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a process may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(45);
/// The file in the cluster's folder that says what runs.
const STATE: &str = "cluster.json";

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// compose.yaml.
    pub compose: PathBuf,
    /// The folder for everything that the services keep.
    pub folder: PathBuf,
    /// The daybook program.
    pub daybook: PathBuf,
    /// Whether the processes end with this one; else they go on until `down`.
    pub bound: bool,
    /// Whether what the file publishes is at the very ports that it says; else at free ones.
    pub fixed_ports: bool,
    /// How many there are of services, where it is not as the file says.
    pub replicas: BTreeMap<String, usize>,
    /// Further environment of every daybook process.
    pub environment: BTreeMap<String, String>,
    /// A wire between PostgreSQL and everybody who uses it, if there is one.
    pub wire: Option<Wire>,
    /// How long PostgreSQL waits before it listens, while those who need it are started already: as where its health was asked of
    /// something that is not what they connect to. Only at the start of everything.
    pub late: Option<Duration>,
}

/// Something between a server and those who use it, that a test can break.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// The port where the server listens.
    pub server: u16,
    /// The port where the others find it.
    pub port: u16,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    compose: Compose,
    state: State,
    bound: bool,
    late: Option<Duration>,
}

/// What is kept of a cluster between two invocations.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    compose: PathBuf,
    daybook: PathBuf,
    replicas: BTreeMap<String, usize>,
    environment: BTreeMap<String, String>,
    places: Places,
    processes: BTreeMap<String, Process>,
}

/// How a replica is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its process, if it runs.
    pub pid: Option<u32>,
    /// Whether it says that it is ready.
    pub ready: bool,
    /// Where it listens.
    pub address: String,
}

impl Cluster {
    /// Starts everything, in order, and waits until it is ready.
    ///
    /// # Errors
    /// If the folder has a running cluster, or a service does not become ready in time; what runs is stopped then.
    pub fn up(options: Options) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.folder)?;
        let folder = options.folder.canonicalize()?;
        if let Ok(running) = Self::open(&folder)
            && running.status().iter().any(|status| status.pid.is_some())
        {
            bail!("a cluster runs in {}: `down` ends it", folder.display());
        }
        let compose = read(&options.compose, &options.replicas)?;
        let mut places = Places::find(&compose, &folder, options.fixed_ports);
        if let Some(wire) = options.wire {
            places.lay(&compose, wire);
        }
        let mut cluster = Self {
            compose,
            state: State {
                compose: options.compose.canonicalize()?,
                daybook: options
                    .daybook
                    .canonicalize()
                    .with_context(|| format!("there is no {}", options.daybook.display()))?,
                replicas: options.replicas,
                environment: options.environment,
                places,
                processes: BTreeMap::new(),
            },
            bound: options.bound,
            late: options.late,
        };
        if let Err(error) = cluster.start_all() {
            cluster.down().ok();
            return Err(error);
        }
        cluster.late = None;
        Ok(cluster)
    }

    /// The cluster of a folder, as the last invocation left it.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(STATE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("no cluster was started in {}", folder.display()))?;
        let state: State = serde_json::from_str(&text)?;
        Ok(Self { compose: read(&state.compose, &state.replicas)?, state, bound: false, late: None })
    }

    fn save(&self) -> anyhow::Result<()> {
        let file = self.state.places.folder.join(STATE);
        std::fs::write(file, serde_json::to_vec_pretty(&self.state)?)?;
        Ok(())
    }

    fn start_all(&mut self) -> anyhow::Result<()> {
        let order: Vec<Service> = self.compose.in_order()?.into_iter().cloned().collect();
        for service in &order {
            for (name, condition) in &service.depends_on {
                if *condition != Condition::ServiceStarted && !self.comes_late(name) {
                    self.await_service(name)?;
                }
            }
            for number in 1..=service.replicas {
                self.start(&replica(service, number))?;
            }
        }
        for service in &order {
            self.await_service(&service.name)?;
        }
        Ok(())
    }

    fn comes_late(&self, name: &str) -> bool {
        let service = self.compose.services.get(name);
        self.late.is_some() && service.is_some_and(|service| service.program == Program::Postgres)
    }

    fn await_service(&self, name: &str) -> anyhow::Result<()> {
        let service = self.compose.services.get(name).context("no such service")?;
        (1..=service.replicas).try_for_each(|number| self.await_ready(&replica(service, number)))
    }

    /// The service of a replica.
    fn service(&self, name: &str) -> anyhow::Result<&Service> {
        let mut services = self.compose.services.values();
        services
            .find(|service| (1..=service.replicas).any(|n| replica(service, n) == name))
            .with_context(|| format!("there is no `{name}` here; there are {}", self.names().join(", ")))
    }

    /// The names of all replicas.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state.places.ports.keys().cloned().collect()
    }

    /// The replicas of a service, or the one replica of that name.
    ///
    /// # Errors
    /// If there is neither.
    pub fn replicas(&self, name: &str) -> anyhow::Result<Vec<String>> {
        match self.compose.services.get(name) {
            Some(service) => Ok((1..=service.replicas).map(|n| replica(service, n)).collect()),
            None => self.service(name).map(|_| vec![name.to_owned()]),
        }
    }

    /// Starts a replica that does not run; does not wait for it.
    ///
    /// # Errors
    /// If it runs, or cannot be started.
    pub fn start(&mut self, name: &str) -> anyhow::Result<()> {
        if self.pid(name).is_some() {
            bail!("{name} runs");
        }
        let service = self.service(name)?;
        let process = start::start(self, service, name)?;
        self.state.processes.insert(name.to_owned(), process);
        self.save()
    }

    /// Waits until a replica says that it is ready; one that runs only once, until it has ended well.
    ///
    /// # Errors
    /// If it ends before, or takes too long.
    pub fn await_ready(&self, name: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        let once = self.service(name)?.once;
        loop {
            let ended = self.pid(name).is_none();
            if once && ended {
                return match self.state.processes.get(name).map(Process::succeeded) {
                    Some(true) => Ok(()),
                    _ => bail!("{name} failed: {}", self.log_end(name)),
                };
            }
            if !once && self.is_ready(name) {
                return Ok(());
            }
            if ended || begun.elapsed() > READY_WITHIN {
                bail!("{name} is not ready: {}", self.log_end(name));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether a replica says that it is ready.
    #[must_use]
    pub fn is_ready(&self, name: &str) -> bool {
        let Ok(service) = self.service(name) else {
            return false;
        };
        start::is_ready(self, service, name)
    }

    /// The process of a replica, if it runs.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<u32> {
        let process = self.state.processes.get(name)?;
        process.runs().then_some(process.pid)
    }

    /// Sends a signal to a replica: `KILL`, `STOP`, `CONT`, `TERM`, `QUIT` …
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, name: &str, signal: &str) -> anyhow::Result<()> {
        self.service(name)?;
        match self.state.processes.get(name).filter(|process| process.runs()) {
            Some(process) => process.signal(signal),
            None => bail!("{name} does not run"),
        }
    }

    /// `kill -9`, and waits for the end. PostgreSQL's children are killed with it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        let process = self.state.processes.get(name);
        if let (Ok(service), Some(process)) = (self.service(name), process)
            && service.program == Program::Postgres
        {
            process.signal_children("KILL")?;
        }
        self.signal(name, "KILL")?;
        self.await_end(name)
    }

    /// Asks a replica to end (`TERM`; PostgreSQL in immediate mode with `QUIT`) and waits for it.
    ///
    /// # Errors
    /// If it does not run, or does not end in time.
    pub fn end(&self, name: &str, signal: &str) -> anyhow::Result<()> {
        self.signal(name, signal)?;
        self.await_end(name)
    }

    fn await_end(&self, name: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.pid(name).is_some() {
            if begun.elapsed() > END_WITHIN {
                bail!("{name} does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// How every replica is.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let status = |name: &String| Status {
            name: name.clone(),
            pid: self.pid(name),
            ready: self.is_ready(name),
            address: self.address(name),
        };
        self.names().iter().map(status).collect()
    }

    /// Where a replica listens: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        let ports = self.state.places.ports.get(name);
        let first = ports.and_then(|ports| ports.values().next());
        first.map_or_else(String::new, |port| format!("127.0.0.1:{port}"))
    }

    /// The port of this machine for one of a replica's ports inside.
    #[must_use]
    pub fn port(&self, name: &str, inside: u16) -> Option<u16> {
        self.state.places.port(name, inside)
    }

    /// Where the HTTP of a replica is.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}", self.address(name))
    }

    /// The environment of a daybook service as its processes on this machine have it: for commands that go beside them.
    ///
    /// # Errors
    /// If there is no such replica.
    pub fn environment(&self, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        Ok(start::environment(self, self.service(name)?, name))
    }

    /// The folder of a named volume.
    #[must_use]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.state.places.volume(name, &self.compose.folder)
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.state.places.folder
    }

    /// What a replica wrote: all of it, over all its lives.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(start::log_file(self, name)).unwrap_or_default()
    }

    fn log_end(&self, name: &str) -> String {
        let log = self.log(name);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Ends everything: daybook first, the stores last.
    ///
    /// # Errors
    /// If something does not end; it is killed then.
    pub fn down(&mut self) -> anyhow::Result<()> {
        let order: Vec<Service> = self.compose.in_order()?.into_iter().rev().cloned().collect();
        let mut late = Vec::new();
        for program in [Program::Daybook, Program::Nats, Program::Postgres] {
            let names: Vec<String> = order
                .iter()
                .filter(|service| service.program == program)
                .flat_map(|service| (1..=service.replicas).map(|n| replica(service, n)))
                .collect();
            let signal = if program == Program::Postgres { "INT" } else { "TERM" };
            for name in &names {
                // One that is paused would never hear it.
                self.signal(name, "CONT").ok();
                self.signal(name, signal).ok();
            }
            for name in names {
                if self.await_end(&name).is_err() {
                    self.kill(&name)?;
                    late.push(name);
                }
            }
        }
        self.save()?;
        if late.is_empty() { Ok(()) } else { bail!("killed, since they did not end: {}", late.join(", ")) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.bound {
            for name in self.names() {
                self.kill(&name).ok();
            }
        }
    }
}

fn read(path: &Path, replicas: &BTreeMap<String, usize>) -> anyhow::Result<Compose> {
    let mut compose = Compose::read(path)?;
    for (name, count) in replicas {
        let service = compose.services.get_mut(name).with_context(|| format!("there is no service {name}"))?;
        service.replicas = *count;
    }
    compose.services.retain(|_, service| service.replicas > 0);
    let names: Vec<String> = compose.services.keys().cloned().collect();
    for service in compose.services.values_mut() {
        service.depends_on.retain(|name, _| names.contains(name));
    }
    Ok(compose)
}
