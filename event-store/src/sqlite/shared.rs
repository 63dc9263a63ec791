//! What the store's handle and its threads share. Locks here are held for moments, never across a system call that may wait.

use std::path::PathBuf;
use std::sync::Mutex;

use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::checkpointer::Checkpoints;
use super::condition::Condition;
use super::index_state::IndexState;
use super::lock::Lock;
use super::options::Options;
use super::prover::Proof;
use super::queue::Queue;
use super::readers::Readers;
use super::snapshots::Kept;
use super::tail::Tail;
use crate::clock::Ahead;
use crate::recent::Recent;
use crate::record::Micros;
use crate::store::{Error, Head, Trouble};

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) incarnation: Uuid,
    pub(super) queue: Queue,
    pub(super) tail: Tail,
    pub(super) recent: Recent,
    pub(super) index: IndexState,
    pub(super) proof: Proof,
    pub(super) head: watch::Sender<Head>,
    /// How far a test has advanced the clock.
    pub(super) ahead: Ahead,
    /// Why the writer stopped unexpectedly; `None` while it runs.
    pub(super) failed: watch::Sender<Option<String>>,
    /// Why the writer could not write the last group, if it could not.
    pub(super) trouble: watch::Sender<Option<Trouble>>,
    pub(super) readers: Readers,
    pub(super) snapshots: Kept,
    pub(super) checkpoints: Checkpoints,
    /// The runtime of the waiting callers.
    pub(super) runtime: Option<Handle>,
    pub(super) lock: Mutex<Option<Lock>>,
}

impl Shared {
    pub(super) fn dir(&self) -> &PathBuf {
        &self.options.dir
    }

    /// The clock that leases go by.
    pub(super) fn lease_clock(&self) -> Micros {
        (self.options.clock)()
    }

    pub(super) fn now(&self) -> Micros {
        self.lease_clock().saturating_add(self.ahead.micros())
    }

    pub(super) fn condition(&self) -> Condition {
        Condition {
            proved_to: self.proof.proved_to(),
            damaged: self.proof.damaged(),
            rebuilding: self.index.fault(),
            unwritable: self.index.unwritable(),
            waiting: self.tail.len() > self.options.tail,
        }
    }

    /// The writer has written.
    pub(super) fn written(&self) {
        self.trouble.send_if_modified(|trouble| trouble.take().is_some());
    }

    /// The writer ends unexpectedly: every later call must fail.
    pub(super) fn fail(&self, reason: &str) {
        tracing::error!(
            store.dir = %self.dir().display(),
            reason,
            "the event store has stopped; the process ends with code 1, see docs/operations.md, 'A process ends by \
             itself'"
        );
        // Close the queue first, then publish the failure.
        let abandoned = self.queue.abandon();
        self.failed.send_replace(Some(reason.to_owned()));
        for job in abandoned {
            job.refuse(&Error::Closed);
        }
        self.tail.stop();
    }
}
