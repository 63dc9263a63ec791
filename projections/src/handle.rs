//! All read models of a process: opened together, projected until stopped, and queried for their positions. One process
//! projects them whole, or several share the work by partitions of the log, or a process only reads and leaves the work
//! to others. A model whose rows come from another history than the log's is never served: it is rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_store::record::Position;
use event_store::supervision::Supervisor;
use event_store::{EventStore, Filter, StoreTail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::board::{Board, Status};
use crate::hold::{hold, hold_spread};
use crate::member::{Cut, Member};
use crate::models;
use crate::partitions::{Feeds, Partitions};
use crate::positions::Positions;
use crate::projection::Projection;
use crate::reads::Reads;
use crate::sqlite::Sqlite;
use crate::standing::watch;
use crate::store::{Error, ReadStore, Slot, ended};
use crate::value::Spec;
use crate::worker::{Parts, Progress, Worker};

/// The prefix of its parts' names.
const NAME: &str = "projections";
/// Models further apart than this get separate workers, so that no model waits for one that is far behind.
const FAR: Position = 10_000;
/// How many rebuilds may be asked for and wait; there are fewer models than this.
const REQUESTS: usize = 64;

/// How the read models are opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the file.
    pub folder: PathBuf,
    /// About how many records one batch has.
    pub batch: usize,
    /// How many queries run at the same time.
    pub readers: usize,
}

impl Options {
    /// The usual options for a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), batch: 2_000, readers: 4 }
    }
}

/// How several processes post the read models of one database.
#[derive(Clone)]
pub struct Sharing {
    /// The id of this process, unique among those that share the database.
    pub owner: String,
    /// About how many records one batch has.
    pub batch: usize,
    /// How long a process may be silent before others take its partitions.
    pub lease: Duration,
    /// Where a partition's records come from; the store's tail if `None`.
    pub feeds: Option<Feeds>,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { owner: Uuid::now_v7().to_string(), batch: 2_000, lease: Duration::from_secs(10), feeds: None }
    }
}

impl std::fmt::Debug for Sharing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sharing")
            .field("owner", &self.owner)
            .field("batch", &self.batch)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// The read models of a process.
pub struct Projections {
    pub(crate) parts: Parts,
    pub(crate) models: Vec<Arc<dyn Projection>>,
    pub(crate) way: Way,
    pub(crate) rebuilding: Mutex<BTreeSet<&'static str>>,
    requests: (mpsc::Sender<&'static str>, Mutex<Option<mpsc::Receiver<&'static str>>>),
}

/// Which process projects the models.
pub(crate) enum Way {
    /// This process, whole.
    Whole(Mutex<Vec<Worker>>),
    /// This process and others, in partitions.
    Shared(Arc<Partitions>, Arc<Positions>),
    /// Other processes.
    Reading(Arc<Positions>),
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projections").field("standings", &self.positions()).finish_non_exhaustive()
    }
}

impl Projections {
    /// Opens the read models of a folder and checks each against the log: a model that does not match is emptied, and
    /// `run` rebuilds it.
    ///
    /// # Errors
    /// If the file or the log cannot be read or written.
    pub async fn open(options: Options, log: Arc<dyn EventStore>) -> Result<Arc<Self>, Error> {
        let rows = Sqlite::open(&options.folder, options.readers).await?;
        let held =
            Self::with(Arc::clone(&rows) as Arc<dyn ReadStore>, Arc::clone(&log), options.batch, models::all(), None);
        let why = match held.await {
            Err(Error::Damaged(why)) => why,
            held => return held,
        };
        // The damage was found only now, in a page that was not read before. The file is marked, and set aside when it
        // is opened again.
        tracing::warn!(
            why,
            "the file of the read models is damaged; it is set aside and rebuilt from the log, check the disk"
        );
        rows.close().await?;
        let rows = Sqlite::open(&options.folder, options.readers).await?;
        Self::with(rows, log, options.batch, models::all(), None).await
    }

    /// Opens the read models of a database that several processes project to, and creates those that are missing or do
    /// not match the log. `run` projects the partitions that are assigned to this process.
    ///
    /// # Errors
    /// If the database or the log cannot be read or written.
    pub async fn open_on(
        rows: Arc<dyn ReadStore>,
        log: Arc<dyn EventStore>,
        sharing: Sharing,
    ) -> Result<Arc<Self>, Error> {
        Self::sharing(rows, log, sharing, models::all()).await
    }

    /// The same for chosen models.
    pub(crate) async fn sharing(
        rows: Arc<dyn ReadStore>,
        log: Arc<dyn EventStore>,
        sharing: Sharing,
        models: Vec<Arc<dyn Projection>>,
    ) -> Result<Arc<Self>, Error> {
        let parts = parts(rows, log, sharing.batch, BTreeMap::new());
        let specs: Vec<_> = models.iter().map(|model| model.spec()).collect();
        hold_spread(&*parts.rows, &*parts.log, &specs, parts.owner).await?;
        let feeds = sharing.feeds.unwrap_or_else(|| {
            let log = Arc::clone(&parts.log);
            Arc::new(move |door| Box::new(StoreTail::through(Arc::clone(&log), Filter::default(), door)))
        });
        let shared = Partitions::new(&parts, models.clone(), feeds, sharing.owner, sharing.lease);
        let positions = Positions::new(Arc::clone(&parts.rows));
        positions.look().await?;
        Ok(Self::made(parts, models, Way::Shared(shared, positions)))
    }

    /// Read models that other processes project: this process only queries them, waits for them and rebuilds them.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn reading(rows: Arc<dyn ReadStore>, log: Arc<dyn EventStore>) -> Result<Arc<Self>, Error> {
        let parts = parts(rows, log, Options::new("").batch, BTreeMap::new());
        let positions = Positions::new(Arc::clone(&parts.rows));
        positions.look().await?;
        Ok(Self::made(parts, models::all(), Way::Reading(positions)))
    }

    /// Projects chosen models whole, on an open database, each up to its end if one is given.
    pub(crate) async fn with(
        rows: Arc<dyn ReadStore>,
        log: Arc<dyn EventStore>,
        batch: usize,
        models: Vec<Arc<dyn Projection>>,
        until: Option<&BTreeMap<&'static str, Cut>>,
    ) -> Result<Arc<Self>, Error> {
        let mut parts = parts(rows, log, batch, BTreeMap::new());
        let head = parts.log.head().borrow().position;
        let mut found = Vec::new();
        let mut statuses = BTreeMap::new();
        for model in &models {
            let (checkpoint, fits) = hold(&*parts.rows, &*parts.log, &**model, parts.owner, head).await?;
            let building_to = if fits { checkpoint.building_to } else { head };
            statuses
                .insert(model.spec().name, Status { position: checkpoint.position, building_to, ..Status::default() });
            found.push((Arc::clone(model), checkpoint));
        }
        parts.board = Board::new(statuses);
        found.sort_by_key(|(_, checkpoint)| checkpoint.position);
        let mut groups: Vec<(Position, Option<Cut>, Vec<Member>)> = Vec::new();
        for (model, checkpoint) in found {
            let end = until.and_then(|until| until.get(model.spec().name).cloned());
            let member = Member::new(model, &checkpoint, end.clone()).holding(&*parts.rows, Slot::Live).await?;
            let near = groups.iter_mut().rfind(|(first, cut, _)| {
                checkpoint.position - *first <= FAR && Cut::go_together(cut.as_ref(), end.as_ref())
            });
            match near {
                Some((_, _, members)) => members.push(member),
                None => groups.push((checkpoint.position, end, vec![member])),
            }
        }
        let workers =
            groups.into_iter().map(|(_, _, members)| Worker::new(parts.clone(), Slot::Live, members, None)).collect();
        Ok(Self::made(parts, models, Way::Whole(Mutex::new(workers))))
    }

    fn made(parts: Parts, models: Vec<Arc<dyn Projection>>, way: Way) -> Arc<Self> {
        let (asks, asked) = mpsc::channel(REQUESTS);
        Arc::new(Self { parts, models, way, rebuilding: Mutex::default(), requests: (asks, Mutex::new(Some(asked))) })
    }

    /// Projects this process's share, and rebuilds models on request, until it is stopped. Runs once.
    pub async fn run(self: Arc<Self>, token: CancellationToken) {
        self.run_kept_by(Supervisor::default(), token).await;
    }

    /// The same, with workers that `supervisor` keeps running.
    pub async fn run_kept_by(self: Arc<Self>, supervisor: Supervisor, token: CancellationToken) {
        let Some(mut asked) = self.requests.1.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let mut tasks = JoinSet::new();
        match &self.way {
            Way::Whole(workers) => {
                let workers = std::mem::take(&mut *workers.lock().unwrap_or_else(PoisonError::into_inner));
                for (number, worker) in workers.into_iter().enumerate() {
                    tasks.spawn(keep_worker(supervisor.clone(), number, worker, token.clone()));
                }
            }
            Way::Shared(shared, positions) => {
                let (shared, keeper, stop) = (Arc::clone(shared), supervisor.clone(), token.clone());
                tasks.spawn(async move {
                    let part = |_| Arc::clone(&shared).run(keeper.clone(), stop.clone());
                    keeper.keep(NAME, &stop, part).await;
                });
                tasks.spawn(keep_watch(supervisor, Arc::clone(positions), token.clone()));
            }
            Way::Reading(positions) => {
                tasks.spawn(keep_watch(supervisor, Arc::clone(positions), token.clone()));
            }
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
                            tracing::error!(
                                projection.name = name,
                                error = %error,
                                "the rebuild of a read model failed and its rows are unchanged; run `daybook rebuild \
                                 NAME` when the cause has ended"
                            );
                        }
                    });
                }
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(
                            error = %error,
                            "a task of the read models failed; restart the process if a read model stays behind"
                        );
                    }
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Projects everything up to the head, or each model to its own end, and returns; for callers that run no worker.
    /// Models that other processes project too are left to `run`.
    ///
    /// # Errors
    /// If the log or the rows fail, or a model stops at a record that it cannot apply.
    pub async fn catch_up(&self, progress: Option<Progress>) -> Result<(), Error> {
        let Way::Whole(kept) = &self.way else {
            return Ok(());
        };
        let mut workers = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outcome = Ok(());
        for worker in &mut workers {
            worker.report_to(progress.clone());
            let driven = worker.drive(&CancellationToken::new()).await;
            let stopped = worker.stopped().map(|stop| Error::Read(stop.reason.clone()));
            outcome = outcome.and(driven).and(stopped.map_or(Ok(()), Err));
        }
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = workers;
        outcome
    }

    /// The names of all read models.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        models::all().iter().map(|model| model.spec().name).collect()
    }

    /// Their queries.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let rows = Arc::clone(&self.parts.rows);
        match &self.way {
            Way::Whole(_) => Reads::new(rows, self.parts.board.clone()),
            Way::Shared(_, positions) | Way::Reading(positions) => {
                let store = Some(self.parts.log.incarnation());
                Reads::of(rows, Arc::clone(positions), &self.specs(), store)
            }
        }
    }

    pub(crate) fn specs(&self) -> Vec<&'static Spec> {
        self.models.iter().map(|model| model.spec()).collect()
    }

    /// Waits until every read model shows a position; the lowest of theirs.
    ///
    /// # Errors
    /// If they do not within the time, or one of them has stopped before it.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<Position, Error> {
        match &self.way {
            Way::Whole(_) => self.parts.board.wait_for(&[], position, timeout).await,
            Way::Shared(_, positions) | Way::Reading(positions) => {
                let names: Vec<_> = self.specs().iter().map(|spec| spec.name).collect();
                positions.wait_for(&names, None, position, timeout).await
            }
        }
    }

    /// Requests a rebuild of a read model from `run`.
    ///
    /// # Errors
    /// If there is none of that name, or it is being rebuilt already.
    pub fn request_rebuild(&self, name: &str) -> Result<(), Error> {
        let spec = self.model(name)?.spec();
        if self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner).contains(spec.name) {
            return Err(Error::AlreadyRebuilding(name.to_owned()));
        }
        self.requests.0.try_send(spec.name).map_err(|_| Error::AlreadyRebuilding(name.to_owned()))
    }

    pub(crate) fn model(&self, name: &str) -> Result<Arc<dyn Projection>, Error> {
        let found = self.models.iter().find(|model| model.spec().name == name);
        found.cloned().ok_or_else(|| Error::Unknown(name.to_owned()))
    }

    /// Closes the database. `run` has to have ended.
    ///
    /// # Errors
    /// If the writing thread did not end well.
    pub async fn close(&self) -> Result<(), Error> {
        self.parts.rows.close().await
    }
}

fn parts(
    rows: Arc<dyn ReadStore>,
    log: Arc<dyn EventStore>,
    batch: usize,
    statuses: BTreeMap<&'static str, Status>,
) -> Parts {
    Parts { log, rows, board: Board::new(statuses), owner: Uuid::now_v7(), batch: batch.max(1) }
}

/// Keeps a worker running. After a failure it starts again from its checkpoints.
async fn keep_worker(supervisor: Supervisor, number: usize, worker: Worker, token: CancellationToken) {
    let worker = Arc::new(tokio::sync::Mutex::new(worker));
    let mut again = false;
    let part = |pulse| {
        let (worker, token) = (Arc::clone(&worker), token.clone());
        let begin_again = std::mem::replace(&mut again, true);
        async move {
            let mut worker = worker.lock().await;
            worker.told_on(pulse);
            if begin_again {
                worker.begin_again().await.map_err(ended)?;
            }
            worker.run(token).await.map_err(ended)
        }
    };
    supervisor.keep(&format!("{NAME}/{number}"), &token, part).await;
}

async fn keep_watch(supervisor: Supervisor, positions: Arc<Positions>, token: CancellationToken) {
    let part = |_| {
        let watching = watch(Arc::clone(&positions), token.clone());
        async move {
            watching.await;
            Ok(())
        }
    };
    supervisor.keep("positions", &token, part).await;
}
