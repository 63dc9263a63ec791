//! The loop that projects the log to read models: it reads waiting records in bounded batches, decodes each record
//! once, passes it to every model at that position, and commits rows and checkpoints together. A record that cannot be
//! read or applied holds its stream in the models that need it, with a log line, and stops nothing else.

mod holding;
mod reading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use event_store::record::{Position, StreamId};
use event_store::supervision::{Ended, Pulse};
use event_store::{EventStore, Feed, Head};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::reading::Reading;
use crate::batch::{Reach, commit, prepare};
use crate::board::{Board, Stop};
use crate::member::Member;
use crate::patience::Patience;
use crate::source::Source;
use crate::step::Engine;
use crate::store::{Checkpoint, Error, ReadStore, Slot, ended};

/// How long an idle worker waits before it looks without having been woken.
const POLL: Duration = Duration::from_secs(1);
/// How long records gather before they are projected, unless a request waits for them: what follows an order comes in several commits of
/// the log, and each transaction of the read models writes the same pages again.
const LINGER: Duration = Duration::from_millis(4);
/// Reports a worker's progress: its position and the head.
pub type Progress = Arc<dyn Fn(Position, Position) + Send + Sync>;

/// What a worker needs to have.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn EventStore>,
    pub(crate) rows: Arc<dyn ReadStore>,
    pub(crate) board: Board,
    pub(crate) owner: Uuid,
    pub(crate) batch: usize,
}

/// Projects the log to some models.
pub(crate) struct Worker {
    parts: Parts,
    slot: Slot,
    members: Vec<Member>,
    source: Source,
    engine: Engine,
    /// Where the engine's folds stand, and for which members.
    engine_at: (Position, Vec<usize>),
    /// Up to here records are applied one by one, to find the one that cannot be applied.
    careful_to: Position,
    /// The streams that were held at first and should be tried again, by member, because a newer version of the program
    /// may read them. `None` until that is known.
    again: Option<VecDeque<(usize, StreamId)>>,
    /// How far the first of it was read on.
    reading: Option<Reading>,
    progress: Option<Progress>,
    patience: Patience,
}

impl Worker {
    pub(crate) fn new(parts: Parts, slot: Slot, members: Vec<Member>, progress: Option<Progress>) -> Self {
        Self {
            parts,
            slot,
            members,
            source: Source::Log,
            engine: Engine::new(Vec::new()),
            engine_at: (0, Vec::new()),
            careful_to: 0,
            again: None,
            reading: None,
            progress,
            patience: Patience::new(Pulse::default()),
        }
    }

    /// Reports on `pulse` what it waits for, from now on.
    pub(crate) fn told_on(&mut self, pulse: Pulse) {
        self.patience = Patience::new(pulse);
    }

    /// The same, with records that come through a door.
    pub(crate) fn fed(mut self, feed: Box<dyn Feed>) -> Self {
        self.source = Source::feed(feed);
        self
    }

    /// Projects until it is cancelled. Temporary failures of the log or the rows are retried.
    ///
    /// # Errors
    /// Failures that a retry does not fix. A worker of a partition also ends, with an error, when another owner takes
    /// one of its checkpoints.
    pub(crate) async fn run(&mut self, token: CancellationToken) -> Result<(), Error> {
        let mut head = self.parts.log.head();
        let mut takeovers = self.parts.board.takeovers();
        while !token.is_cancelled() {
            // Armed before the read, so that a record that arrives in between is not missed.
            head.borrow_and_update();
            let posted = match self.post(&token, &mut takeovers).await {
                Ok(()) => {
                    self.patience.goes_on();
                    tokio::select! {
                        () = token.cancelled() => break,
                        waited = self.wait(&mut head, &mut takeovers) => waited,
                    }
                }
                failed => failed,
            };
            if let Err(error) = posted {
                match ended(error.clone()) {
                    Ended::NotNow(why) => self.patience.wait(&why, &token).await,
                    Ended::Failed(_) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Projects all waiting records; reads the checkpoints first if there was a take-over.
    async fn post(&mut self, token: &CancellationToken, takeovers: &mut watch::Receiver<u64>) -> Result<(), Error> {
        if takeovers.has_changed().unwrap_or(false) {
            takeovers.borrow_and_update();
            if let Err(error) = self.reload().await {
                takeovers.mark_changed();
                return Err(error);
            }
        }
        self.drive(token).await
    }

    /// Waits until there may be records.
    async fn wait(
        &mut self,
        head: &mut watch::Receiver<Head>,
        takeovers: &mut watch::Receiver<u64>,
    ) -> Result<(), Error> {
        match &mut self.source {
            Source::Log => tokio::select! {
                _ = head.changed() => tokio::select! {
                    () = self.parts.board.awaited() => {}
                    () = tokio::time::sleep(LINGER) => {}
                },
                _ = takeovers.changed() => takeovers.mark_changed(),
                () = tokio::time::sleep(POLL) => {}
            },
            Source::Feed(tail) if self.members.iter().any(Member::wants_more) => {
                tail.wait(self.parts.batch).await?;
            }
            // All models have stopped: a rebuild takes the checkpoints from this worker.
            Source::Feed(_) => std::future::pending().await,
        }
        Ok(())
    }

    /// Projects all waiting records, and continues held streams.
    pub(crate) async fn drive(&mut self, token: &CancellationToken) -> Result<(), Error> {
        if self.again.is_none() {
            self.look_at_held();
        }
        loop {
            while !token.is_cancelled() && self.run_lowest(token).await? {}
            // New records come first, again after each part of a held stream.
            if token.is_cancelled() || !self.read_on().await? {
                return Ok(());
            }
        }
    }

    /// Reports its progress from now on.
    pub(crate) fn report_to(&mut self, progress: Option<Progress>) {
        self.progress = progress;
    }

    /// Why the first member stopped, if it did.
    pub(crate) fn stopped(&self) -> Option<&Stop> {
        self.members.iter().find_map(|member| member.stopped.as_ref())
    }

    /// Projects to the members that are furthest behind, until they reach another member or nothing waits. Returns
    /// whether to continue.
    async fn run_lowest(&mut self, token: &CancellationToken) -> Result<bool, Error> {
        let Some(from) = self.members.iter().filter(|m| m.wants_more()).map(|m| m.position).min() else {
            return Ok(false);
        };
        let set: Vec<_> = (0..self.members.len())
            .filter(|at| self.members[*at].wants_more() && self.members[*at].position == from)
            .collect();
        let others = self.members.iter().filter(|m| m.wants_more() && m.position > from).map(|m| m.position);
        let ends = set.iter().map(|at| self.members[*at].end());
        let bound = others.chain(ends).min().unwrap_or(Position::MAX);
        if self.engine_at != (from, set.clone()) {
            self.engine = Engine::new(set.iter().map(|at| self.members[*at].held.clone()).collect());
            self.engine_at = (from, set.clone());
        }
        let models: Vec<_> = set.iter().map(|at| Arc::clone(&self.members[*at].model)).collect();
        // Members with another end have another worker.
        let cut = self.members[set[0]].until.clone();
        let reach = Reach { models: &models, slot: self.slot, bound, cut: cut.filter(|cut| !cut.is_straight()) };
        let careful_to = self.careful_to;
        let (source, engine) = (&mut self.source, &mut self.engine);
        let mut next = prepare(&self.parts, source, engine, &reach, from, careful_to).await;
        loop {
            let prepared = match next {
                Ok(Some(prepared)) => prepared,
                Ok(None) => return Ok(false),
                Err(fault) => return self.falter(fault, &set).await.map(|()| true),
            };
            let waits = prepared.unfinished || prepared.to < prepared.head.min(bound);
            let more = waits && !token.is_cancelled();
            let (to, head) = (prepared.to, prepared.head);
            let held: Vec<_> = prepared.work.iter().map(|work| work.held.clone()).collect();
            let parts = self.parts.clone();
            let committing = commit(&parts, self.slot, &self.members, &set, prepared);
            let preparing = async {
                if more {
                    let (source, engine) = (&mut self.source, &mut self.engine);
                    prepare(&parts, source, engine, &reach, to, careful_to).await
                } else {
                    Ok(None)
                }
            };
            let (committed, following) = tokio::join!(committing, preparing);
            if let Err(error) = committed {
                self.engine_at = (0, Vec::new());
                if let (Error::Lost(name), true) = (&error, self.source.is_whole()) {
                    self.lost(name).await?;
                    return Ok(true);
                }
                return Err(error);
            }
            self.patience.goes_on();
            for (at, held) in set.iter().zip(held) {
                self.members[*at].position = to;
                self.hold(*at, &held).await?;
            }
            self.engine_at.0 = to;
            if let Some(progress) = &self.progress {
                progress(to, head);
            }
            if !more || set.iter().any(|at| self.members[*at].stopped.is_some()) {
                return Ok(true);
            }
            next = following;
        }
    }

    /// Another owner moved a checkpoint: if it was a take-over by this process, continue from there; otherwise leave
    /// the model to the other.
    async fn lost(&mut self, name: &str) -> Result<(), Error> {
        let found = checkpoint(&*self.parts.rows, name, self.slot).await?;
        let (slot, owner) = (self.slot, self.parts.owner);
        let Some(member) = self.members.iter_mut().find(|member| member.model.spec().name == name) else {
            return Ok(());
        };
        match found {
            Some(checkpoint) if checkpoint.owner == owner => {
                member.position = checkpoint.position;
                member.epoch = checkpoint.epoch;
                self.reading = None;
                member.recall(&*self.parts.rows, slot).await?;
            }
            _ => {
                tracing::error!(
                    projection.name = name,
                    "another process has taken this read model over, and this one stopped with it; restart this \
                     process alone"
                );
                let stop = Stop { position: member.position + 1, reason: "another worker has taken it over".into() };
                if slot == Slot::Live {
                    self.parts.board.change(name, |status| status.stopped = Some(stop.clone()));
                }
                member.stopped = Some(stop);
            }
        }
        Ok(())
    }

    /// Starts again from the checkpoints with an empty cache: after a panic the state of the folds is unknown.
    pub(crate) async fn begin_again(&mut self) -> Result<(), Error> {
        (self.engine, self.engine_at) = (Engine::new(Vec::new()), (0, Vec::new()));
        self.reading = None;
        for member in &mut self.members {
            if let Some(checkpoint) = checkpoint(&*self.parts.rows, member.model.spec().name, self.slot).await?
                && checkpoint.owner == self.parts.owner
            {
                member.position = checkpoint.position;
                member.epoch = checkpoint.epoch;
                member.recall(&*self.parts.rows, self.slot).await?;
            }
        }
        Ok(())
    }

    /// Reads all checkpoints again, after a take-over.
    async fn reload(&mut self) -> Result<(), Error> {
        for at in 0..self.members.len() {
            let name = self.members[at].model.spec().name;
            let Some(checkpoint) = checkpoint(&*self.parts.rows, name, self.slot).await? else {
                continue;
            };
            let member = &mut self.members[at];
            if checkpoint.owner == self.parts.owner && checkpoint.epoch != member.epoch {
                member.position = checkpoint.position;
                member.epoch = checkpoint.epoch;
                member.stopped = None;
                self.reading = None;
                member.recall(&*self.parts.rows, self.slot).await?;
                let held = member.held.len() as u64;
                self.parts.board.change(name, |status| status.held = held);
                self.engine_at = (0, Vec::new());
            }
        }
        Ok(())
    }
}

/// The checkpoint of a model that is projected whole.
async fn checkpoint(rows: &dyn ReadStore, name: &str, slot: Slot) -> Result<Option<Checkpoint>, Error> {
    let found = rows.checkpoints(Some(name), slot).await?;
    Ok(found.into_iter().next())
}
