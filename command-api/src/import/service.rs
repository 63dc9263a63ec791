//! Imports in a server: content is uploaded, and the run continues behind the answer. One run of the same content at a
//! time, and a few in all; a run that a stopped server leaves unfinished continues when the same content is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use domain::ids::{Channel, ImportId, LocationId, Tenant};
use domain::import::{Policy, RowRefusal, Started};
use domain::time::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::content::{self, Content, Layout, Unreadable};
use super::keys::{self, Origin};
use super::plan::{self, Options, Plan};
use super::run::{self, Importer, Named};
use crate::execute;

/// Runs at once. Each works on hundreds of orders at a time, so more would only share the same writer.
const AT_ONCE: usize = 2;

/// Takes imports in. Clones share everything.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    importer: Importer,
    tracker: TaskTracker,
    channel: Channel,
    location: LocationId,
    running: Mutex<BTreeSet<ImportId>>,
    /// Places for content that is only read.
    previews: Arc<Semaphore>,
}

/// Content to import.
pub struct Submission {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The actor of the import.
    pub actor: String,
    /// The layout; by default detected from the first line.
    pub layout: Option<Layout>,
    /// What to do with bad rows.
    pub policy: Policy,
    /// What the caller calls it.
    pub source: String,
    /// The content.
    pub content: Bytes,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// What stays reserved until the content is read, whether its sender still waits or not.
    pub held: Box<dyn Send + Sync>,
}

/// What content says, without anything being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The run that would import it.
    pub started: Started,
    /// The figures, by class.
    pub counts: BTreeMap<String, i64>,
    /// The rows that would be refused for what they say.
    pub refused: Vec<RowRefusal>,
}

/// Why content is not taken in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Rejected {
    /// The layout cannot be detected.
    #[error(
        "the first row is not that of a known layout: orders-csv begins with columns such as external_ref and sku, retail with InvoiceNo and \
         StockCode, orders-ndjson with {{; or say it with `layout`"
    )]
    NoLayout,
    /// It cannot be read at all.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Enough imports are running.
    #[error("{AT_ONCE} imports are running already: come back when one of them is done")]
    Busy,
    /// It could not be started.
    #[error(transparent)]
    NotStarted(#[from] run::Error),
}

impl Service {
    /// Runs are tasks of `tracker`; `importer` says when they stop.
    #[must_use]
    pub fn new(importer: Importer, tracker: TaskTracker, channel: Channel, location: LocationId) -> Self {
        Self(Arc::new(Inner {
            importer,
            tracker,
            channel,
            location,
            running: Mutex::default(),
            previews: Arc::new(Semaphore::new(AT_ONCE)),
        }))
    }

    /// Accepts content: when this returns, the run is recorded as started and continues by itself.
    ///
    /// # Errors
    /// If it is not accepted; nothing is done then.
    pub async fn submit(&self, submission: Submission) -> Result<ImportId, Rejected> {
        let service = self.clone();
        // A task of its own: a sender that hangs up frees nothing that is still in use.
        let taken = self.0.tracker.spawn(async move { service.take(submission).await });
        taken.await.map_err(|_| run::Error::Stopped)?
    }

    async fn take(&self, submission: Submission) -> Result<ImportId, Rejected> {
        let Submission { actor, key, content, .. } = &submission;
        let (layout, options) = self.understood(&submission)?;
        let sha256 = self.sha256(content).await?;
        let started = plan::started(layout, sha256, &options);
        let import_id = started.import_id;
        let named = key.as_ref().map(|key| named(key, &options, &started));
        let importer = Importer { actor: actor.clone(), ..self.0.importer.clone() };
        let Some(turn) = self.enter(import_id)? else {
            if named.is_some() {
                importer.start(started, &options, named).await?;
            }
            return Ok(import_id);
        };
        let mut parsed = self.parse(layout, content.clone()).await?;
        let begun = importer.start(started, &options, named).await?;
        let tracker = self.0.tracker.clone();
        self.0.tracker.spawn(async move {
            let _turn = turn;
            let planned = tracker.spawn_blocking(move || {
                parsed.refuse_after(begun.latest);
                (Plan::new(layout, sha256, parsed, &options), options)
            });
            let ran = match planned.await {
                Ok((plan, options)) => importer.run(plan, &options, begun.position).await,
                Err(_) => Err(run::Error::Stopped),
            };
            match ran {
                Ok(report) => tracing::info!(import.id = %report.import_id, import.refused = report.refused.len(), "an import is done"),
                Err(error) => tracing::warn!(
                    import.id = %import_id,
                    error = &error as &dyn std::error::Error,
                    "an import ended early; see docs/operations.md, 'An import refused rows or ended early'"
                ),
            }
        });
        Ok(import_id)
    }

    /// What content says, as of an instant after which none of it may lie.
    ///
    /// # Errors
    /// If it would not be accepted.
    pub async fn preview(&self, submission: Submission, latest: Timestamp) -> Result<Preview, Rejected> {
        let place = Arc::clone(&self.0.previews).try_acquire_owned().map_err(|_| Rejected::Busy)?;
        let service = self.clone();
        let read = self.0.tracker.spawn(async move {
            let _place = place;
            let (layout, options) = service.understood(&submission)?;
            let sha256 = service.sha256(&submission.content).await?;
            let mut parsed = service.parse(layout, submission.content.clone()).await?;
            parsed.refuse_after(latest);
            let started = plan::started(layout, sha256, &options);
            Ok(Preview { started, counts: parsed.tally.named(), refused: parsed.refused })
        });
        read.await.map_err(|_| run::Error::Stopped)?
    }

    async fn sha256(&self, content: &Bytes) -> Result<[u8; 32], Rejected> {
        let content = content.clone();
        let hashed = self.0.tracker.spawn_blocking(move || keys::sha256(&content));
        Ok(hashed.await.map_err(|_| run::Error::Stopped)?)
    }

    fn understood(&self, submission: &Submission) -> Result<(Layout, Options), Rejected> {
        let layout = submission.layout.or_else(|| Layout::detect(&submission.content)).ok_or(Rejected::NoLayout)?;
        let options = Options {
            origin: Origin { tenant: submission.tenant.clone(), channel: self.0.channel.clone() },
            source: submission.source.clone(),
            policy: submission.policy,
            location: self.0.location.clone(),
            faults: None,
        };
        Ok((layout, options))
    }

    async fn parse(&self, layout: Layout, content: Bytes) -> Result<Content, Rejected> {
        let parsed = self.0.tracker.spawn_blocking(move || content::parse(layout, &content));
        Ok(parsed.await.map_err(|_| run::Error::Stopped)??)
    }

    /// A turn to run, `None` if that import is running already.
    fn enter(&self, import_id: ImportId) -> Result<Option<Turn>, Rejected> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains(&import_id) {
            return Ok(None);
        }
        if running.len() >= AT_ONCE {
            return Err(Rejected::Busy);
        }
        running.insert(import_id);
        Ok(Some(Turn(Arc::clone(&self.0), import_id)))
    }
}

/// The caller's name for the start of a run. Equal requests lead to the same run, from the same source.
fn named(key: &str, options: &Options, started: &Started) -> Named {
    let parts = [b"POST /v1/imports".as_slice(), started.import_id.0.as_bytes(), started.source.as_bytes()];
    Named { command_id: execute::command_id(&options.origin.tenant, key), fingerprint: execute::fingerprint(&parts) }
}

/// A place among the running imports, released when it is dropped.
struct Turn(Arc<Inner>, ImportId);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
