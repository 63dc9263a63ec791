//! Runs a plan: through the executor like every other command, orders in parallel; each step of an order waits until
//! the saga of the previous step has answered. After an interruption, the next run gives the same result.

mod credits;
mod order;
mod send;
mod stock;
mod wait;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{CustomerRef, ImportId, Sku};
use domain::import::{self, Finished, Import, RowRefusal, Started};
use domain::stream;
use domain::time::Timestamp;
use event_store::Direction;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream as futures};
use schemas::http::instant::AHEAD_S;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::plan::{self, EarlierLine, Options, Plan};
use crate::execute::{self, Executor};

use order::Outcome;
use send::Sender;

/// The open units of a customer's earlier orders of a SKU, at a position of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Who bought.
    pub customer: CustomerRef,
    /// What.
    pub sku: Sku,
    /// As of this position: what the run itself did afterwards does not count.
    pub as_of: u64,
}

/// Answers a [`Lookup`]; passed in, because this crate does not know the read models.
pub type Earlier = Arc<dyn Fn(Lookup) -> BoxFuture<'static, Result<Vec<EarlierLine>, String>> + Send + Sync>;

/// Progress that a run reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// So many streams of stock are to be seen to.
    StockPlanned(usize),
    /// One is.
    StockDone,
    /// So many orders are to be worked on.
    OrdersPlanned(usize),
    /// One is done.
    OrderDone,
    /// A command was answered after this long.
    Command(Duration),
}

/// Receives the progress of a run.
pub type Observer = Arc<dyn Fn(Observed) + Send + Sync>;

/// What a run needs.
#[derive(Clone)]
pub struct Importer {
    /// Runs the commands.
    pub executor: Executor,
    /// The actor of the import.
    pub actor: String,
    /// Looks up earlier orders.
    pub earlier: Earlier,
    /// Receives the progress.
    pub observer: Observer,
    /// Orders that are worked on at once.
    pub in_flight: usize,
    /// How long an order may wait for a process to answer.
    pub patience: Duration,
    /// Ends the run early; the next run continues it.
    pub stop: CancellationToken,
}

/// A caller's own name for the command that starts a run, and what equal requests have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The command's id, made of the idempotency key.
    pub command_id: Uuid,
    /// Of the request.
    pub fingerprint: [u8; 32],
}

/// A run that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Where that is recorded.
    pub position: u64,
    /// The latest instant that its content may name. Counted from when it was begun first, so that the same content, sent again, comes to
    /// the same.
    pub latest: Timestamp,
}

/// The result of a run. The same content always gives the same report.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The run.
    pub import_id: ImportId,
    /// Whether nothing was done since a row was bad.
    pub called_off: bool,
    /// How many of what, by class.
    pub counts: BTreeMap<String, i64>,
    /// The rows that were refused.
    pub refused: Vec<RowRefusal>,
}

/// Why a run ended early. The next run continues it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It was stopped.
    #[error("the import was stopped: run it again to go on")]
    Stopped,
    /// A command has no outcome.
    #[error("a command has no outcome")]
    Command(#[from] execute::Error),
    /// Earlier orders cannot be looked up.
    #[error("earlier orders cannot be looked up: {0}")]
    Lookup(String),
    /// A process does not answer.
    #[error("order {order} has waited {waited:?} for {what}")]
    NoAnswer {
        /// The order's number.
        order: String,
        /// For how long.
        waited: Duration,
        /// For what.
        what: &'static str,
    },
    /// The caller's key named another command.
    #[error("the idempotency key was used for another request: use a new one")]
    KeyReused,
    /// The run's own stream says no.
    #[error("the import cannot be recorded: {0}")]
    Refused(String),
}

impl Importer {
    /// Records the start of a run; under the caller's own name for that, if it has one. An earlier start stays valid.
    ///
    /// # Errors
    /// If the command has no outcome, or the name stands for another command.
    pub async fn start(&self, started: Started, options: &Options, named: Option<Named>) -> Result<Begun, Error> {
        let name = execute::stream_id(&options.origin.tenant, &stream::import(started.import_id));
        Sender::new(self, started.import_id, options).start(started, named).await?;
        // Of the first start: every run looks at the same past, and takes the same instants for future ones.
        let store = self.executor.store();
        let first = store.read_stream(&name, 1, Direction::Forwards, 1).await.map_err(execute::Error::from)?;
        let first = first.first().ok_or_else(|| Error::Refused("its start is not in the log".into()))?;
        let latest = Timestamp::from_micros(first.recorded_at).plus_seconds(AHEAD_S);
        Ok(Begun { position: first.position, latest })
    }

    /// Runs a plan that was [started](Self::start) at a position.
    ///
    /// # Errors
    /// If it ends early.
    pub async fn run(&self, mut plan: Plan, options: &Options, started: u64) -> Result<Report, Error> {
        let sender = Arc::new(Sender::new(self, plan.started.import_id, options));
        let mut counts = plan.tally.named();
        let called_off = plan.is_called_off();
        let mut refused = std::mem::take(&mut plan.refused);
        if !called_off {
            let earlier = self.look_up(&plan, started).await?;
            plan.settle(earlier, options);
            self.stock(&plan, &sender, &mut counts, &mut refused).await?;
            self.orders(&mut plan, &sender, &mut counts, &mut refused).await?;
            credits::record(&plan.credits, &sender, &mut counts).await?;
        }
        refused.sort_by(|a, b| (a.line, &a.code).cmp(&(b.line, &b.code)));
        for row in &refused {
            *counts.entry(format!("refused.{}", row.code)).or_default() += 1;
        }
        for part in plan::parts(&refused, 1) {
            let name = format!("refused/{}", part.part);
            sender.import(&name, import::Command::RefuseRows(part)).await?;
        }
        let finished = Finished { counts: counts.clone() };
        sender.import("finish", import::Command::Finish(finished)).await?;
        Ok(Report { import_id: plan.started.import_id, called_off, counts, refused })
    }

    async fn look_up(&self, plan: &Plan, as_of: u64) -> Result<HashMap<(CustomerRef, Sku), Vec<EarlierLine>>, Error> {
        futures::iter(plan.lookups())
            .map(|(customer, sku)| async move {
                let lookup = Lookup { customer: customer.clone(), sku: sku.clone(), as_of };
                let lines = (self.earlier)(lookup).await.map_err(Error::Lookup)?;
                Ok(((customer, sku), lines))
            })
            .buffer_unordered(8)
            .try_collect()
            .await
    }

    async fn stock(
        &self,
        plan: &Plan,
        sender: &Arc<Sender>,
        counts: &mut BTreeMap<String, i64>,
        refused: &mut Vec<RowRefusal>,
    ) -> Result<(), Error> {
        (self.observer)(Observed::StockPlanned(plan.stock.len()));
        let mut work = futures::iter(plan.stock.clone())
            .map(|stock| async move { stock::run(&stock, sender).await })
            .buffer_unordered(self.in_flight);
        while let Some(done) = self.stop.run_until_cancelled(work.next()).await.ok_or(Error::Stopped)? {
            let done = done?;
            (self.observer)(Observed::StockDone);
            *counts.entry("stock.streams".into()).or_default() += 1;
            *counts.entry("stock.received_units".into()).or_default() += done.received;
            *counts.entry("stock.corrections".into()).or_default() += done.corrections;
            refused.extend(done.refused);
        }
        Ok(())
    }

    async fn orders(
        &self,
        plan: &mut Plan,
        sender: &Arc<Sender>,
        counts: &mut BTreeMap<String, i64>,
        refused: &mut Vec<RowRefusal>,
    ) -> Result<(), Error> {
        let orders = std::mem::take(&mut plan.orders);
        (self.observer)(Observed::OrdersPlanned(orders.len()));
        let skip = plan.started.policy == import::Policy::Skip;
        let mut work =
            futures::iter(orders).map(|order| order::run(order, sender, skip)).buffer_unordered(self.in_flight);
        while let Some(done) = self.stop.run_until_cancelled(work.next()).await.ok_or(Error::Stopped)? {
            let Outcome { counted, refused: rows } = done?;
            (self.observer)(Observed::OrderDone);
            for (name, count) in counted {
                *counts.entry(name).or_default() += count;
            }
            refused.extend(rows);
        }
        Ok(())
    }
}

/// The events that an import has recorded about itself until now, with the version of its stream.
///
/// # Errors
/// If it cannot be read.
pub async fn state(
    executor: &Executor,
    tenant: &domain::ids::Tenant,
    import_id: ImportId,
) -> Result<(Arc<Import>, u64), execute::Error> {
    executor.load::<Import>(tenant, &stream::import(import_id)).await
}
