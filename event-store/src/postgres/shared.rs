//! What the tasks of one store have in common.

use std::sync::atomic::AtomicI64;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::clock::ServerClock;
use super::connections::Connections;
use super::options::Options;
use super::queue::Queue;
use super::snapshots::Kept;
use crate::recent::Recent;
use crate::store::{Error, Head, Trouble};

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) address: PgConnectOptions,
    pub(super) queue: Queue,
    pub(super) pool: Connections,
    pub(super) recent: Recent,
    /// One reader at a time fetches what another process wrote.
    pub(super) fetching: tokio::sync::Mutex<()>,
    pub(super) head: watch::Sender<Head>,
    pub(super) failed: watch::Sender<Option<String>>,
    /// Why the writer cannot write now, while it cannot.
    pub(super) trouble: watch::Sender<Option<Trouble>>,
    /// Why the database cannot be reached; `None` while it can.
    pub(super) away: watch::Sender<Option<String>>,
    pub(super) snapshots: Kept,
    pub(super) clock: ServerClock,
    pub(super) incarnation: Uuid,
    /// This handle, so that its own notifications are known.
    pub(super) handle: Uuid,
    /// The latest instant for which this handle gave a position: it records nothing at or before it.
    pub(super) answered_to: AtomicI64,
    /// Signals that another process has moved the head.
    pub(super) woken: Notify,
    /// This process moved the head.
    pub(super) moved: Notify,
    /// The tasks that are waited for at the end.
    pub(super) tasks: TaskTracker,
    /// Nothing is written by this handle.
    pub(super) reads_only: bool,
    /// Ends the tasks that would never end by themselves.
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// Shows a head that is durable. A head that was read earlier and comes later changes nothing.
    pub(super) fn publish(&self, head: Head) {
        let moved = self.head.send_if_modified(|known| {
            let newer = head.position > known.position;
            if newer {
                *known = head;
            }
            newer
        });
        if moved {
            metrics::gauge!("daybook_store_head_position").set(head.position as f64);
        }
    }

    /// Runs an endless task that may be cancelled at any point.
    pub(super) fn watch(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Stops the store: the log is not the one that was opened, or the writer ended unexpectedly. Nothing more is
    /// accepted, and only a new process, which reads the database again, can continue.
    pub(super) fn fail(&self, why: &str) {
        tracing::error!(
            error = why,
            "the event store has stopped; the process ends with code 1, see docs/operations.md, 'A process ends by \
             itself'"
        );
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                *failed = Some(why.to_owned());
            }
            first
        });
        for job in self.queue.abandon() {
            job.refuse(&Error::Closed);
        }
    }
}
