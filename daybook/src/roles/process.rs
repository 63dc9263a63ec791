//! Long processes and payments: the saga runner, and the payment worker with its gateway.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use command_api::execute::{Error, Executor};
use domain::ids::Tenant;
use domain::time::Timestamp;
use domain::{Command, stream};
use event_store::record::Position;
use event_store::{EventStore, Filter, StoreTail};
use sagas::gateway::sandbox::{self, Sandbox};
use sagas::runner::{self, Options, Runner};
use sagas::{Dispatch, DispatchError, PaymentWorker, payment};
use schemas::Metadata;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Stage;
use crate::config::Config;
use crate::service::health::{Health, Part};

/// How often it is looked whether anything is on its way.
const LOOK: Duration = Duration::from_millis(200);
/// Records read at once.
const PAGE: usize = 4_096;
/// The sandbox gateway's own book, beside the store as a provider's would be elsewhere.
const BOOK: &str = "sandbox.sqlite";

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
        match self
            .0
            .execute_command(tenant, command_id, command, meta)
            .await
        {
            Ok(_) => Ok(()),
            Err(error @ (Error::KeyReused | Error::Plan(_) | Error::Unreadable { .. })) => {
                Err(DispatchError::Impossible(error.to_string()))
            }
            Err(error) => Err(DispatchError::Unavailable(error.to_string())),
        }
    }
}

pub(super) async fn start(
    config: &Config,
    log: Arc<dyn EventStore>,
    executor: Executor,
    stage: &Stage,
    health: &Health,
) -> anyhow::Result<()> {
    let dispatch: Arc<dyn Dispatch> = Arc::new(InProcess(executor));
    let options = Options {
        dispatching: config.sagas.in_flight,
        // The store's files let one process in, which finds its own leases again after a crash.
        ..Options::new(runner::NAME)
    };
    let feed = Box::new(StoreTail::new(Arc::clone(&log), Filter::default()));
    let runner = Runner::new(
        Arc::clone(&log),
        feed,
        Arc::clone(&dispatch),
        TaskTracker::new(),
        options,
    );
    let token = stage.token.clone();
    let processes = stage.spawn(async move {
        if let Err(error) = runner.run(token).await {
            tracing::error!(error = %error, "long processes do not go on");
        }
    });
    let worker = worker(config, log, dispatch)?;
    let token = stage.token.clone();
    let payments = stage.spawn(async move {
        if let Err(error) = worker.run(token).await {
            tracing::error!(error = %error, "payments do not go on");
        }
    });
    health.add(move || {
        vec![
            alive("sagas", processes.is_finished()),
            alive("payments", payments.is_finished()),
        ]
    });
    Ok(())
}

/// The payment worker, with the sandbox for a gateway.
fn worker(
    config: &Config,
    log: Arc<dyn EventStore>,
    dispatch: Arc<dyn Dispatch>,
) -> anyhow::Result<PaymentWorker> {
    let clock = Arc::clone(&log);
    let now = Arc::new(move || Timestamp::from_micros(clock.now()));
    let mut sandbox = sandbox::Options::new(config.store.data.join(BOOK), now);
    sandbox.late = Duration::from_millis(config.payments.sandbox_late_ms);
    let gateway =
        Arc::new(Sandbox::open(sandbox).context("the sandbox gateway's book cannot be opened")?);
    let options = payment::Options {
        at_once: config.payments.in_flight,
        call_timeout: Duration::from_millis(config.payments.timeout_ms),
        grace: Duration::from_millis(config.payments.grace_ms),
        ..payment::Options::new(payment::NAME)
    };
    let feed = Box::new(StoreTail::new(Arc::clone(&log), payment::filter()));
    Ok(PaymentWorker::new(
        log,
        feed,
        gateway,
        dispatch,
        TaskTracker::new(),
        options,
    ))
}

fn alive(name: &str, ended: bool) -> Part {
    let detail = if ended { "it has ended" } else { "it runs" };
    Part {
        name: name.to_owned(),
        ready: !ended,
        detail: detail.to_owned(),
    }
}

/// The position up to which the runner has seen the log: what happened after it, its sagas cannot have answered.
pub(crate) async fn seen(log: &dyn EventStore) -> Result<Position, event_store::Error> {
    let row = log.consumer(&runner::consumer(0)).await?;
    Ok(row.map_or(0, |row| row.checkpoint.position))
}

/// Waits until no saga is on its way; those that are parked are left alone.
pub(super) async fn settle(log: &dyn EventStore, limit: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let filter = Filter {
        categories: vec![stream::SAGA.to_owned()],
        kinds: ["SagaStarted", "SagaEnded", "SagaParked", "SagaResumed"]
            .map(str::to_owned)
            .into(),
        ..Filter::default()
    };
    let (mut open, mut parked) = (BTreeSet::new(), BTreeSet::new());
    let mut at = 0;
    loop {
        let head = log.head().borrow().position;
        while at < head {
            let page = log.read_log(at, &filter, PAGE).await?;
            for record in page.records {
                let id = record.stream;
                match &*record.kind {
                    "SagaStarted" => drop(open.insert(id)),
                    "SagaParked" => drop(parked.insert(id)),
                    "SagaResumed" => drop(parked.remove(&id)),
                    _ => {
                        open.remove(&id);
                        parked.remove(&id);
                    }
                }
            }
            if page.next <= at {
                break;
            }
            at = page.next;
        }
        let running = open.difference(&parked).count();
        if running == 0 && seen(log).await? >= head && log.head().borrow().position == head {
            return Ok(());
        }
        if begun.elapsed() > limit {
            bail!("{running} sagas are still on their way after {limit:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
