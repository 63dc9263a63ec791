//! The composition root: it starts the parts of this process, connects them, and stops them in order. Every long task
//! is started here. Each role takes its dependencies as parameters and may run in a process of its own; no role knows
//! another.

mod broker;
mod http;
pub(crate) mod log;
mod parts;
mod process;
mod read;
mod services;
mod write;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use command_api::execute::{self, Executor, Plan, Request};
use domain::command::Service;
use domain::ids::{LocationId, Sku, Tenant};
use domain::stock::{self, Stock};
use domain::stream;
use event_store::EventStore;
use event_store::record::Position;
use event_store::sqlite::Options;
use event_store::supervision::{Ended, Supervisor};
use projections::{Projections, Reads};
use schemas::{Actor, Metadata};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::log::Log;
use crate::config::Config;
use crate::config::roles::{Role, Set};
use crate::service::health::{Health, Part, State};
use crate::telemetry;

pub(crate) use process::{BOOK, seen};
pub use read::Models;
pub(crate) use read::url as read_models_url;

/// How long a part may take to stop. Work that is cut off then is found again at the next start: a stop is never worse
/// than a kill.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long a failed write is reported. A writer with new work finds out within this time whether it still cannot
/// write; a writer without work would otherwise never be ready again.
const TROUBLED: Duration = Duration::from_secs(15);
/// How long read models may take to show a requested position.
const CATCH_UP: Duration = Duration::from_secs(600);

/// Everything that runs in this process.
pub struct Running {
    /// The configuration that it was started with.
    pub config: Config,
    /// Whose data it serves.
    pub tenant: Tenant,
    /// The log.
    pub log: Arc<dyn EventStore>,
    /// Runs commands.
    pub executor: Executor,
    /// Asks the read models.
    pub reads: Reads,
    /// How the parts are.
    pub health: Arc<Health>,
    /// What this process does.
    roles: Set,
    store: Log,
    models: Arc<Projections>,
    verdicts: command_api::verdict::Verdicts,
    commands: TaskTracker,
    imports: Stage,
    processes: Stage,
    following: Stage,
    publishing: Stage,
    upkeep: Stage,
    supervisor: Supervisor,
    server: Mutex<Option<http::Server>>,
}

/// Tasks that stop together.
pub(crate) struct Stage {
    name: &'static str,
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Stage {
    fn new(name: &'static str) -> Self {
        Self { name, token: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Cancels the tasks and waits for them, within bounds.
    async fn stop(&self) {
        self.token.cancel();
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                stage = self.name,
                "a stage did not stop in time and was cut off; its work continues at the next start, nothing to do"
            );
        }
    }
}

/// Opens the store and starts its parts; `serve` then accepts clients.
///
/// # Errors
/// If the store is held by another process or cannot be opened, or a part cannot be started.
pub async fn start(config: Config, role: &str) -> anyhow::Result<Running> {
    start_with(config, role, |_| {}).await
}

/// The same on a store that is opened otherwise: with a clock or a sync of the caller's.
///
/// # Errors
/// As [`start`].
pub async fn start_with(config: Config, role: &str, adjust: impl FnOnce(&mut Options)) -> anyhow::Result<Running> {
    let metrics = telemetry::metrics()?;
    let store = Log::open(&config, role, adjust).await?;
    let roles = roles(&config, role);
    let owner = owner(role, &store);
    let log = store.events();
    let health = Arc::new(Health::default());
    let supervisor = Supervisor::default();
    parts::show(&supervisor, &health);
    let upkeep = Stage::new("upkeep");
    let stop = upkeep.token.clone();
    upkeep.keep(&supervisor, "upkeep", move |_| ends(telemetry::upkeep(metrics.clone(), stop.clone())));
    watch_store(&store, &health);

    let publishing = Stage::new("the broker");
    let broker = broker::connect(&config, &owner, &log, &publishing, &supervisor).await?;
    if let Some(broker) = &broker {
        broker::watch(broker, &health);
        if roles.has(Role::Relay) {
            broker::relay(broker, &config, &owner, &log, &publishing, &supervisor, &health);
        }
    }
    let feeds = broker::feeds(broker.as_ref(), &log);

    let commands = TaskTracker::new();
    let executor = write::executor(&config, Arc::clone(&log), commands.clone());
    let following = Stage::new("read models");
    let verdicts = write::verdicts(Arc::clone(&log), roles.has(Role::CommandApi), &following, &supervisor);
    // The one process of a file does all of everything; of a database it does the share that falls to it.
    let whole = !store.is_shared();
    let posts = roles.has(Role::Projections);
    let models = if whole {
        read::whole(&config, &log).await?
    } else {
        read::shared(&config, &owner, &log, &feeds, posts).await?
    };
    let asked = posts || roles.has(Role::QueryApi);
    read::follow(&models, asked, &following, &supervisor, &health);
    let processes = Stage::new("sagas and payments");
    let parts = process::Parts {
        config: &config,
        owner: &owner,
        log: &log,
        feeds: &feeds,
        queue: broker.as_ref().map(|broker| &broker.queue),
        executor: &executor,
        stage: &processes,
        supervisor: &supervisor,
        health: &health,
    };
    if roles.has(Role::Sagas) {
        parts.sagas(whole);
    }
    if roles.has(Role::Payments) {
        parts.payments()?;
        parts.endings(models.reads());
    }
    for service in [Service::Ordering, Service::Inventory, Service::Payments] {
        if roles.has(services::role(service)) {
            parts.service(service);
        }
    }
    Ok(Running {
        tenant: Tenant::try_new(config.tenant.name.as_str())?,
        reads: models.reads(),
        imports: Stage::new("imports"),
        server: Mutex::new(None),
        config,
        log,
        executor,
        health,
        roles,
        store,
        models,
        verdicts,
        commands,
        processes,
        following,
        publishing,
        upkeep,
        supervisor,
    })
}

/// A part that has nothing to say at its end.
async fn ends(part: impl Future<Output = ()>) -> Result<(), Ended> {
    part.await;
    Ok(())
}

/// The roles of a process: those of its configuration, except for a command that only appends to a log that others
/// serve.
fn roles(config: &Config, role: &str) -> Set {
    if config.store.url.is_set() && role == "import" {
        return Set::only(Role::CommandApi);
    }
    config.roles.run.clone()
}

/// The owner id of this process among those that share a log. The one process of a file store finds its own leases
/// again after a crash.
fn owner(role: &str, store: &Log) -> String {
    if store.is_shared() {
        format!("{role}/{}/{}", std::process::id(), Uuid::now_v7().simple())
    } else {
        "daybook".to_owned()
    }
}

fn watch_store(store: &Log, health: &Arc<Health>) {
    let (failed, trouble) = (store.failed(), store.trouble());
    let head = store.events().head();
    let files = store.clone();
    health.add(move || {
        let recent = trouble.borrow().clone().filter(|trouble| trouble.at.elapsed() < TROUBLED);
        let cannot = || recent.map(|trouble| format!("cannot be written now: {}", trouble.why));
        let reason = failed.borrow().clone().or_else(|| files.away()).or_else(cannot);
        let condition = files.condition().unwrap_or_default();
        let complaint = condition.complaint();
        // A waiting writer does no work; with other troubles it continues, and reports the trouble.
        let state = match () {
            () if reason.is_some() || condition.waiting => State::Failed,
            () if complaint.is_some() => State::Degraded,
            () => State::Ready,
        };
        let complaint = complaint.map_or_else(String::new, |complaint| format!("; {complaint}"));
        let detail = reason.unwrap_or_else(|| format!("position {}{complaint}", head.borrow().position));
        vec![Part::new("store", state, detail)]
    });
}

impl Running {
    /// The durable head.
    #[must_use]
    pub fn head(&self) -> Position {
        self.log.head().borrow().position
    }

    /// Waits until every read model shows a position.
    ///
    /// # Errors
    /// If one of them has stopped, or takes too long.
    pub async fn wait_for_models(&self, position: Position) -> anyhow::Result<()> {
        self.models.wait_for(position, CATCH_UP).await?;
        Ok(())
    }

    /// Waits until no saga is running; parked sagas wait for a person and are ignored.
    ///
    /// # Errors
    /// If that takes longer than `limit`, or a part of the process was given up, so that waiting is pointless.
    pub async fn settle(&self, limit: Duration) -> anyhow::Result<()> {
        tokio::select! {
            settled = process::settle(&*self.log, self.store.is_shared(), limit) => settled,
            why = self.gives_up() => bail!("{why}"),
        }
    }

    /// Returns the reason once a part of this process is given up.
    async fn gives_up(&self) -> String {
        let mut given_up = self.supervisor.given_up();
        let why = given_up.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| "the supervisor of the process has ended".into())
    }

    /// Takes stock in, for a measurement.
    ///
    /// # Errors
    /// If that has no outcome, or is refused.
    pub async fn receive(&self, sku: &str, qty: u32) -> anyhow::Result<()> {
        let sku = Sku::try_new(sku)?;
        let location = LocationId::try_new(self.config.tenant.location.as_str())?;
        let name = stream::stock(&location, &sku);
        let command = stock::Command::Receive { sku, location, qty, source_ref: Some("bench".into()) };
        let actor = Actor { id: self.config.tenant.actor.clone(), via: "cli".into(), on_behalf_of: None };
        let command_id = execute::fresh_command_id();
        let request = Request {
            tenant: self.tenant.clone(),
            command_id,
            fingerprint: execute::fingerprint(&[command_id.as_bytes()]),
            metadata: Metadata::new(actor, command_id),
            if_match: None,
            dry_run: false,
            while_asked: false,
        };
        let done = self.executor.execute(request, Plan::new().and_unseen::<Stock>(name, command)).await?;
        match done.refused() {
            Some(refused) => bail!("the stock receipt was refused: {}", refused.message),
            None => Ok(()),
        }
    }

    /// Lets clients in.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn serve(&self) -> anyhow::Result<()> {
        let server = http::listen(self).await?;
        self.store.set_url(server.url.clone())?;
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// Where clients are let in; empty before that.
    #[must_use]
    pub fn url(&self) -> String {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().map(|server| server.url.clone()).unwrap_or_default()
    }

    /// Returns when `stop` is cancelled.
    ///
    /// # Errors
    /// If the store has stopped unexpectedly: the outcome of its last write is then unknown, and only a new process can
    /// find out. Also if a part failed repeatedly. In both cases the process must be stopped in order, and started
    /// again.
    pub async fn until(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut failed = self.store.failed();
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            why = self.gives_up() => bail!("{why}"),
            reason = failed.wait_for(Option::is_some) => {
                let reason = reason.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "it is closed".into());
                bail!("the store has stopped: {reason}")
            }
        }
    }

    /// Stops everything, in order: clients first, the store last. Each part within bounds.
    ///
    /// # Errors
    /// If the files cannot be closed; their content is intact anyway.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.health.stop();
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.stop().await;
        }
        self.imports.stop().await;
        self.processes.stop().await;
        self.commands.close();
        if tokio::time::timeout(PATIENCE, self.commands.wait()).await.is_err() {
            tracing::warn!(
                "running commands were cut off at the stop; the log has what they wrote, sagas and clients repeat the \
                 rest, nothing to do"
            );
        }
        self.following.stop().await;
        // The last commits are published before the process ends, if there is time.
        self.publishing.stop().await;
        self.upkeep.stop().await;
        let models = self.models.close().await;
        tokio::time::timeout(PATIENCE, self.log.close()).await.context("the store did not close in time")??;
        models.context("the read models did not close")?;
        tracing::info!("stopped");
        Ok(())
    }
}
