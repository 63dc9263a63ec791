//! Sagas and payments: the saga runners, and the payment worker with its gateway.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use command_api::execute::{Error, Executor};
use domain::command::Service;
use domain::ids::Tenant;
use domain::time::Timestamp;
use domain::{Command, Event, stream};
use event_store::partition::{CORRELATIONS, Door};
use event_store::record::Position;
use event_store::supervision::{Ended, Supervisor};
use event_store::{Class, EventStore, Filter};
use event_stream::commands::Queue;
use futures_util::future::BoxFuture;
use projections::{Reads, payments};
use sagas::endings::{self, Ask, End, Find, Watch};
use sagas::gateway::sandbox::{self, Sandbox};
use sagas::runner::{self, Options, Runner};
use sagas::{Dispatch, DispatchError, Holds, PaymentGateway, PaymentWorker, Pool, payment};
use schemas::Metadata;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Stage;
use super::broker::Feeds;
use super::services::{Host, Queued};
use crate::config::Config;
use crate::service::health::{Health, Part, State};

/// How often it is looked whether anything is on its way.
const LOOK: Duration = Duration::from_millis(200);
/// Records read at once.
const PAGE: usize = 4_096;
/// The sandbox gateway's own book, beside the store as a provider's would be elsewhere.
pub(crate) const BOOK: &str = "sandbox.sqlite";
/// How long the watch over the ends of authorisations waits until the read model shows what was recorded last.
const SHOWS: Duration = Duration::from_secs(5);
/// The supervisor's name of the payment worker.
const GATEWAY: &str = "gateway";

/// Commands of sagas go to the executor of this process.
struct InProcess(Executor);

#[async_trait]
impl Dispatch for InProcess {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        match self.0.execute_command(tenant, command_id, command, meta).await {
            Ok(_) => Ok(()),
            Err(error) if never(&error) => Err(DispatchError::Impossible(error.to_string())),
            Err(error) => Err(DispatchError::Unavailable(error.to_string())),
        }
    }
}

/// The row of a part that holds streams; it works for all other streams.
fn held(part: &str, streams: usize) -> Option<Part> {
    let why = || format!("streams held: {streams}; see `daybook records list` for the reason");
    (streams > 0).then(|| Part::new(part, State::Degraded, why()))
}

/// Whether a command that failed so will never be carried out, however often it is tried.
pub(super) fn never(error: &Error) -> bool {
    error.class() == Class::Never
}

/// The dependencies of sagas, payments and services.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) owner: &'a str,
    pub(super) log: &'a Arc<dyn EventStore>,
    pub(super) feeds: &'a Feeds,
    pub(super) queue: Option<&'a Queue>,
    pub(super) executor: &'a Executor,
    pub(super) stage: &'a Stage,
    pub(super) supervisor: &'a Supervisor,
    pub(super) health: &'a Health,
}

impl Parts<'_> {
    /// The destination of the sagas' commands: the queue of their service, or without a queue the executor of this
    /// process.
    fn dispatch(&self) -> Arc<dyn Dispatch> {
        match self.queue {
            Some(queue) => Arc::new(Queued(queue.clone())),
            None => Arc::new(InProcess(self.executor.clone())),
        }
    }

    /// The sagas: all of them if `whole`, otherwise the partitions that are assigned to this process.
    pub(super) fn sagas(&self, whole: bool) {
        let options = Options {
            dispatching: self.config.sagas.in_flight,
            lease: self.config.roles.lease(),
            ..Options::new(self.owner)
        };
        let (log, feeds, dispatch) = (Arc::clone(self.log), Arc::clone(self.feeds), self.dispatch());
        let (tracker, token, supervisor) = (TaskTracker::new(), self.stage.token.clone(), self.supervisor.clone());
        let holds = self.show_holds(runner::NAME);
        if whole {
            self.stage.keep(self.supervisor, runner::NAME, move |pulse| {
                let (log, feed, dispatch) = (Arc::clone(&log), feeds(Door::All), Arc::clone(&dispatch));
                let runner = Runner::new(log, feed, dispatch, tracker.clone(), options.clone());
                let (runner, token) = (runner.told_on(pulse).shown_in(holds.clone()), token.clone());
                async move { runner.run(token).await.map_err(Ended::from) }
            });
        } else {
            self.stage.keep(self.supervisor, runner::NAME, move |_| {
                let (log, dispatch) = (Arc::clone(&log), Arc::clone(&dispatch));
                let pool = Pool::new(log, Arc::clone(&feeds), dispatch, tracker.clone(), options.clone());
                pool.kept_by(supervisor.clone()).shown_in(holds.clone()).run(token.clone())
            });
        }
    }

    /// Payments and the gateway that they go to.
    pub(super) fn payments(&self) -> anyhow::Result<()> {
        let gateway: Arc<dyn PaymentGateway> = Arc::new(self.gateway()?);
        let config = self.config;
        let options = payment::Options {
            at_once: config.payments.in_flight,
            call_timeout: Duration::from_millis(config.payments.timeout_ms),
            grace: Duration::from_millis(config.payments.grace_ms),
            lease: config.roles.lease(),
            ..payment::Options::new(self.owner)
        };
        let (log, feeds, dispatch) = (Arc::clone(self.log), Arc::clone(self.feeds), self.dispatch());
        let (tracker, token) = (TaskTracker::new(), self.stage.token.clone());
        let holds = self.show_holds(GATEWAY);
        self.stage.keep(self.supervisor, GATEWAY, move |pulse| {
            let (log, feed, gateway) = (Arc::clone(&log), feeds(Door::All), Arc::clone(&gateway));
            let worker =
                PaymentWorker::new(log, feed, gateway, Arc::clone(&dispatch), tracker.clone(), options.clone());
            let (worker, token) = (worker.told_on(pulse).shown_in(holds.clone()), token.clone());
            async move { worker.run(token).await.map_err(Ended::from) }
        });
        Ok(())
    }

    /// The watch over the ends of authorisations.
    pub(super) fn endings(&self, reads: Reads) {
        let config = self.config;
        let options = endings::Options {
            lease: config.roles.lease(),
            lead_s: config.payments.expiry_lead_s,
            then: config.payments.on_expiry,
            ..endings::Options::new(self.owner)
        };
        let find: Find = Arc::new(move |ask: Ask| -> BoxFuture<'static, Result<Vec<End>, String>> {
            Box::pin(ends(reads.clone(), ask))
        });
        let (log, dispatch, token) = (Arc::clone(self.log), self.dispatch(), self.stage.token.clone());
        self.stage.keep(self.supervisor, endings::NAME, move |pulse| {
            let watch = Watch::new(Arc::clone(&log), Arc::clone(&find), Arc::clone(&dispatch), options.clone());
            let (watch, token) = (watch.told_on(pulse), token.clone());
            async move { watch.run(token).await.map_err(Ended::from) }
        });
    }

    /// Shows in readiness how many streams a part holds.
    fn show_holds(&self, part: &'static str) -> Holds {
        let holds = Holds::default();
        let shown = holds.clone();
        self.health.add(move || held(part, shown.streams()).into_iter().collect());
        holds
    }

    /// A service. What this process itself makes sagas ask of it, it carries out at once, active or not; what other processes send comes
    /// from the queue to the active one. Without a queue nobody else sends anything.
    pub(super) fn service(&self, service: Service) {
        self.executor.carries_out(service, true);
        if let Some(queue) = self.queue {
            let host = Host::new(service, queue.clone(), self.executor.clone(), self.config);
            host.start(self.owner, self.log, self.stage, self.supervisor, self.health);
        }
    }

    /// The sandbox.
    fn gateway(&self) -> anyhow::Result<Sandbox> {
        let config = self.config;
        let clock = Arc::clone(self.log);
        let now = Arc::new(move || Timestamp::from_micros(clock.now()));
        std::fs::create_dir_all(&config.store.data)
            .with_context(|| format!("{} cannot be created", config.store.data.display()))?;
        let mut sandbox = sandbox::Options::new(config.store.data.join(BOOK), now);
        sandbox.late = Duration::from_millis(config.payments.sandbox_late_ms);
        Sandbox::open(sandbox).context("the sandbox gateway's ledger cannot be opened")
    }
}

/// Ends of authorisations as the read model of payments has them; one that is behind is waited for, but not long.
async fn ends(reads: Reads, ask: Ask) -> Result<Vec<End>, String> {
    drop(reads.wait_for(payments::NAME, ask.position, SHOWS).await);
    let which = match ask.which {
        endings::Which::Near => payments::Which::Near,
        endings::Which::There => payments::Which::There,
    };
    let after = ask.after.map(|End { tenant, payment_id, order_id, capture_before, version }| payments::End {
        tenant,
        payment_id,
        order_id,
        capture_before,
        version,
    });
    let found = payments::ends(&reads, which, ask.until.micros(), after.as_ref(), ask.limit).await;
    let found = found.map_err(|error| error.to_string())?;
    let end = |payments::End { tenant, payment_id, order_id, capture_before, version }| End {
        tenant,
        payment_id,
        order_id,
        capture_before,
        version,
    };
    Ok(found.value.into_iter().map(end).collect())
}

/// The position up to which every runner has seen the log: what happened after it, their sagas cannot have answered.
pub(crate) async fn seen(log: &dyn EventStore, shared: bool) -> Result<Position, event_store::Error> {
    let rows = log.consumers(runner::NAME).await?;
    let wanted = if shared { CORRELATIONS as usize } else { 1 };
    if rows.len() < wanted {
        return Ok(0);
    }
    let positions = rows.iter().map(|row| row.checkpoint.position);
    Ok(positions.min().unwrap_or(0))
}

/// Waits until no saga is on its way; those that are parked are left alone.
pub(super) async fn settle(log: &dyn EventStore, shared: bool, limit: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let filter = Filter {
        categories: vec![stream::SAGA.to_owned()],
        kinds: ["SagaStarted", "SagaEnded", "SagaParked", "SagaResumed"].map(str::to_owned).into(),
        ..Filter::default()
    };
    let (mut open, mut parked) = (BTreeSet::new(), BTreeSet::new());
    let mut at = 0;
    loop {
        let head = log.head().borrow().position;
        while at < head {
            let page = log.read_log(at, &filter, PAGE).await?;
            for record in page.records {
                // The runner logs a record that cannot be read.
                let Ok(Event::Saga(decision)) = streams::event(&record) else { continue };
                let id = record.stream;
                if decision.ended().is_some() {
                    open.remove(&id);
                    parked.remove(&id);
                    continue;
                }
                if decision.started().is_some() {
                    open.insert(id.clone());
                }
                match decision.parks() {
                    Some(true) => drop(parked.insert(id)),
                    Some(false) => drop(parked.remove(&id)),
                    None => {}
                }
            }
            if page.next <= at {
                break;
            }
            at = page.next;
        }
        let running = open.difference(&parked).count();
        if running == 0 && seen(log, shared).await? >= head && log.head().borrow().position == head {
            return Ok(());
        }
        if begun.elapsed() > limit {
            bail!("{running} sagas are still running after {limit:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
