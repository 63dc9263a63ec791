//! All read models of a process: opened together, posted to until told to stop, asked where they stand, rebuilt one by one.
//! A model whose rows come from another history than the log's is never served: it is built anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_store::EventStore;
use event_store::record::Position;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::board::{Board, Status, Stop};
use crate::hold::hold;
use crate::models;
use crate::projection::Projection;
use crate::reads::Reads;
use crate::sqlite::Sqlite;
use crate::store::{Error, ReadStore, Slot, Takeover};
use crate::value::Spec;
use crate::worker::{Member, Parts, Progress, Worker};

/// Models further apart than this are posted by workers of their own, so that none waits for one that has far to go.
const FAR: Position = 10_000;
/// How many rebuilds may be asked for and wait; there are fewer models than this.
const REQUESTS: usize = 64;

/// How the read models are opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the file.
    pub folder: PathBuf,
    /// About how many records are taken at once.
    pub batch: usize,
    /// How many queries run at the same time.
    pub readers: usize,
}

impl Options {
    /// The usual options for a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            batch: 2_000,
            readers: 4,
        }
    }
}

/// Where a read model stands, and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The model.
    pub name: &'static str,
    /// The version of its tables and its apply.
    pub version: u32,
    /// The last position that its rows show.
    pub position: Position,
    /// The log's last position.
    pub head: Position,
    /// How many positions it is behind.
    pub lag: u64,
    /// Whether it is being built and not to be read yet.
    pub building: bool,
    /// How far the tables are that are built beside it, if they are.
    pub rebuild: Option<Position>,
    /// Why it stopped, if it did.
    pub stopped: Option<Stop>,
}

/// The read models of a process.
pub struct Projections {
    parts: Parts,
    specs: Vec<&'static Spec>,
    workers: Mutex<Vec<Worker>>,
    rebuilding: Mutex<BTreeSet<&'static str>>,
    requests: (
        mpsc::Sender<&'static str>,
        Mutex<Option<mpsc::Receiver<&'static str>>>,
    ),
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projections")
            .field("statuses", &self.parts.board.all())
            .finish_non_exhaustive()
    }
}

impl Projections {
    /// Opens the read models of a folder and holds each against the log: one that does not fit is emptied, to be built anew by `run`.
    ///
    /// # Errors
    /// If the file or the log cannot be read or written.
    pub async fn open(options: Options, log: Arc<dyn EventStore>) -> Result<Arc<Self>, Error> {
        let rows = Sqlite::open(&options.folder, options.readers).await?;
        Self::with(rows, log, options.batch, models::all(), None).await
    }

    /// The same on a database that is open, for chosen models, each until a position if one is given.
    pub(crate) async fn with(
        rows: Arc<dyn ReadStore>,
        log: Arc<dyn EventStore>,
        batch: usize,
        models: Vec<Arc<dyn Projection>>,
        until: Option<&BTreeMap<&'static str, Position>>,
    ) -> Result<Arc<Self>, Error> {
        let owner = Uuid::now_v7();
        let head = log.head().borrow().position;
        let specs = models.iter().map(|model| model.spec()).collect();
        let mut found = Vec::new();
        let mut statuses = BTreeMap::new();
        for model in models {
            let (checkpoint, fits) = hold(&*rows, &*log, &*model, owner, head).await?;
            let building_to = if fits { 0 } else { head };
            statuses.insert(
                model.spec().name,
                Status {
                    position: checkpoint.position,
                    building_to,
                    ..Status::default()
                },
            );
            found.push((model, checkpoint));
        }
        let parts = Parts {
            log,
            rows,
            board: Board::new(statuses),
            owner,
            batch: batch.max(1),
        };
        found.sort_by_key(|(_, checkpoint)| checkpoint.position);
        let mut groups: Vec<(Position, Vec<Member>)> = Vec::new();
        for (model, checkpoint) in found {
            let end = until.and_then(|until| until.get(model.spec().name).copied());
            let member = Member::new(model, &checkpoint, end);
            match groups.last_mut() {
                Some((first, members)) if checkpoint.position - *first <= FAR => {
                    members.push(member)
                }
                _ => groups.push((checkpoint.position, vec![member])),
            }
        }
        let workers = groups
            .into_iter()
            .map(|(_, members)| Worker::new(parts.clone(), Slot::Live, members, None))
            .collect();
        let (asks, asked) = mpsc::channel(REQUESTS);
        Ok(Arc::new(Self {
            parts,
            specs,
            workers: Mutex::new(workers),
            rebuilding: Mutex::default(),
            requests: (asks, Mutex::new(Some(asked))),
        }))
    }

    /// Posts the log to the read models, and rebuilds those that are asked for, until told to stop. Runs once.
    pub async fn run(self: Arc<Self>, token: CancellationToken) {
        let workers =
            std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(mut asked) = self
            .requests
            .1
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return;
        };
        let mut tasks = JoinSet::new();
        for worker in workers {
            tasks.spawn(worker.run(token.clone()));
        }
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                Some(name) = asked.recv() => {
                    let (this, token) = (Arc::clone(&self), token.clone());
                    tasks.spawn(async move {
                        let done = tokio::select! {
                            () = token.cancelled() => return,
                            done = this.rebuild(name, None) => done,
                        };
                        if let Err(error) = done {
                            tracing::error!(projection.name = name, error = %error, "the rebuild failed; the rows are as before");
                        }
                    });
                }
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(error = %error, "a task of the read models ended badly");
                    }
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Posts everything up to the head, or to where each model shall end, and comes back; for those who run no worker.
    ///
    /// # Errors
    /// If the log or the rows fail, or a model stops at a record that it cannot apply.
    pub async fn catch_up(&self, progress: Option<Progress>) -> Result<(), Error> {
        let mut workers =
            std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outcome = Ok(());
        for worker in &mut workers {
            worker.report_to(progress.clone());
            let driven = worker.drive(&CancellationToken::new()).await;
            let stopped = worker
                .stopped()
                .map(|stop| Error::Read(stop.reason.clone()));
            outcome = outcome.and(driven).and(stopped.map_or(Ok(()), Err));
        }
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers;
        outcome
    }

    /// The names of all read models.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        models::all()
            .iter()
            .map(|model| model.spec().name)
            .collect()
    }

    /// Their queries.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Reads::new(Arc::clone(&self.parts.rows), self.parts.board.clone())
    }

    /// Waits until every read model shows a position; the lowest of theirs.
    ///
    /// # Errors
    /// If they do not within the time, or one of them has stopped before it.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<Position, Error> {
        self.parts.board.wait_for(&[], position, timeout).await
    }

    /// Where each read model stands.
    #[must_use]
    pub fn positions(&self) -> Vec<Standing> {
        let head = self.parts.log.head().borrow().position;
        let statuses = self.parts.board.all();
        let standing = |spec: &&'static Spec| {
            let status = statuses.get(spec.name).cloned().unwrap_or_default();
            Standing {
                name: spec.name,
                version: spec.version,
                position: status.position,
                head,
                lag: head.saturating_sub(status.position),
                building: status.position < status.building_to,
                rebuild: status.rebuild,
                stopped: status.stopped,
            }
        };
        self.specs.iter().map(standing).collect()
    }

    /// Asks `run` to rebuild a read model.
    ///
    /// # Errors
    /// If there is none of that name, or it is being rebuilt already.
    pub fn request_rebuild(&self, name: &str) -> Result<(), Error> {
        let spec = models::by_name(name)
            .ok_or_else(|| Error::Unknown(name.to_owned()))?
            .spec();
        if self
            .rebuilding
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(spec.name)
        {
            return Err(Error::AlreadyRebuilding(name.to_owned()));
        }
        self.requests
            .0
            .try_send(spec.name)
            .map_err(|_| Error::AlreadyRebuilding(name.to_owned()))
    }

    /// Rebuilds a read model from the first record, beside the one that is read, and puts it in its place; the position it shows then.
    ///
    /// # Errors
    /// If there is none of that name, it is being rebuilt already, or a record cannot be applied; the rows are as before then.
    pub async fn rebuild(&self, name: &str, progress: Option<Progress>) -> Result<Position, Error> {
        let model = models::by_name(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let spec = model.spec();
        let _guard = Rebuilding::begin(&self.rebuilding, spec.name)?;
        tracing::info!(projection.name = spec.name, "rebuilding a read model");
        let built = self.build(model, progress).await;
        self.parts
            .board
            .change(spec.name, |status| status.rebuild = None);
        if built.is_err() {
            self.parts.rows.discard(spec).await?;
        }
        built
    }

    async fn build(
        &self,
        model: Arc<dyn Projection>,
        progress: Option<Progress>,
    ) -> Result<Position, Error> {
        let (parts, spec) = (&self.parts, model.spec());
        let made = parts
            .rows
            .create(spec, Slot::Next, parts.owner, parts.log.incarnation())
            .await?;
        let board = parts.board.clone();
        let told: Progress = Arc::new(move |at, head| {
            board.change(spec.name, |status| status.rebuild = Some(at));
            if let Some(progress) = &progress {
                progress(at, head);
            }
        });
        let member = Member::new(model, &made, None);
        let mut worker = Worker::new(parts.clone(), Slot::Next, vec![member], Some(told));
        loop {
            worker.drive(&CancellationToken::new()).await?;
            if let Some(stop) = worker.stopped() {
                return Err(Error::Read(stop.reason.clone()));
            }
            match parts.rows.take_over(spec, parts.owner).await? {
                Takeover::Done(checkpoint) => {
                    parts.board.change(spec.name, |status| {
                        *status = Status {
                            position: checkpoint.position,
                            ..Status::default()
                        };
                    });
                    metrics::gauge!("daybook_projection_stopped", "projection" => spec.name)
                        .set(0.0);
                    parts.board.taken_over();
                    tracing::info!(
                        projection.name = spec.name,
                        position = checkpoint.position,
                        "a read model was rebuilt"
                    );
                    return Ok(checkpoint.position);
                }
                Takeover::Behind(live) => {
                    tracing::debug!(position = live, "the live rows are ahead; catching up")
                }
            }
        }
    }

    /// Closes the file. `run` has to have ended.
    ///
    /// # Errors
    /// If the writing thread did not end well.
    pub async fn close(&self) -> Result<(), Error> {
        self.parts.rows.close().await
    }
}

/// Keeps one rebuild of a model from meeting another, also when it is dropped half-way.
struct Rebuilding<'a>(&'a Mutex<BTreeSet<&'static str>>, &'static str);

impl<'a> Rebuilding<'a> {
    fn begin(all: &'a Mutex<BTreeSet<&'static str>>, name: &'static str) -> Result<Self, Error> {
        if all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name)
        {
            Ok(Self(all, name))
        } else {
            Err(Error::AlreadyRebuilding(name.to_owned()))
        }
    }
}

impl Drop for Rebuilding<'_> {
    fn drop(&mut self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(self.1);
    }
}
