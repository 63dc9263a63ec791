//! Commands on their way out: those of one saga in order, those of different sagas side by side, so many and no more. A command is
//! offered until it is accepted; after a crash the log tells which were not answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::command::Service;
use domain::ids::Tenant;
use event_store::leadership::Term;
use schemas::Metadata;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::index::Key;
use crate::dispatch::{Dispatch, DispatchError};
use crate::meters;

/// A command to be sent.
pub(super) struct Letter {
    pub(super) key: Key,
    pub(super) tenant: Tenant,
    pub(super) command_id: Uuid,
    pub(super) command: domain::Command,
    pub(super) meta: Metadata,
}

/// A command that nobody will carry out.
pub(super) struct Undeliverable {
    pub(super) key: Key,
    pub(super) command_id: Uuid,
    pub(super) detail: String,
}

pub(super) struct Outbox {
    shared: Arc<Shared>,
    tracker: TaskTracker,
    most: usize,
}

struct Shared {
    dispatch: Arc<dyn Dispatch>,
    lanes: Mutex<Lanes>,
    room: Notify,
    at_once: Semaphore,
    failed: mpsc::UnboundedSender<Undeliverable>,
    term: Term,
    cancel: CancellationToken,
}

#[derive(Default)]
struct Lanes {
    by_saga: HashMap<Key, VecDeque<Letter>>,
    waiting: usize,
}

impl Outbox {
    pub(super) fn new(
        dispatch: Arc<dyn Dispatch>,
        tracker: TaskTracker,
        at_once: usize,
        failed: mpsc::UnboundedSender<Undeliverable>,
        term: Term,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                dispatch,
                lanes: Mutex::default(),
                room: Notify::new(),
                at_once: Semaphore::new(at_once),
                failed,
                term,
                cancel,
            }),
            tracker,
            most: at_once * 16,
        }
    }

    /// Waits until there is room for more.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.shared.room.notified();
            if self.shared.lanes().waiting < self.most || self.shared.cancel.is_cancelled() {
                return;
            }
            freed.await;
        }
    }

    /// Why a command that was sent will not be carried out, if its service said so within so long. Who cannot be asked has not said so.
    pub(super) async fn put_aside(&self, letter: &Letter, within: Duration) -> Option<String> {
        let (command, id) = (&letter.command, letter.command_id);
        let asked = self.shared.dispatch.put_aside(command, id, within).await;
        asked.unwrap_or_else(|error| {
            tracing::debug!(command.id = %id, %error, "whether a command was put aside is not known");
            None
        })
    }

    pub(super) fn send(&self, letter: Letter) {
        let mut lanes = self.shared.lanes();
        lanes.waiting += 1;
        if let Some(lane) = lanes.by_saga.get_mut(&letter.key) {
            lane.push_back(letter);
            return;
        }
        let key = letter.key.clone();
        lanes.by_saga.insert(key.clone(), VecDeque::from([letter]));
        drop(lanes);
        self.tracker.spawn(self.shared.clone().run(key));
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what one saga has to send, until there is no more.
    async fn run(self: Arc<Self>, key: Key) {
        while let Some(letter) = self.take(&key) {
            self.deliver(letter).await;
            self.lanes().waiting -= 1;
            self.room.notify_one();
        }
    }

    fn take(&self, key: &Key) -> Option<Letter> {
        let mut lanes = self.lanes();
        let letter = lanes.by_saga.get_mut(key).and_then(VecDeque::pop_front);
        if letter.is_none() {
            lanes.by_saga.remove(key);
        }
        letter
    }

    async fn deliver(&self, letter: Letter) {
        let service = service(letter.command.service());
        let mut wait = Duration::from_millis(20);
        while !self.cancel.is_cancelled() {
            let Ok(permit) = self.at_once.acquire().await else {
                return;
            };
            if !self.term.holds() {
                return;
            }
            let sent =
                self.dispatch.dispatch(&letter.tenant, letter.command_id, letter.command.clone(), letter.meta.clone());
            let result = sent.await;
            drop(permit);
            match result {
                Ok(()) => return meters::dispatched(service, "accepted"),
                Err(DispatchError::Impossible(detail)) => {
                    meters::dispatched(service, "impossible");
                    let undeliverable = Undeliverable { key: letter.key, command_id: letter.command_id, detail };
                    // Nobody listens any more only while the runner stops; the log still has what was asked.
                    drop(self.failed.send(undeliverable));
                    return;
                }
                Err(DispatchError::Unavailable(detail)) => {
                    meters::dispatched(service, "unavailable");
                    tracing::warn!(%detail, service, "a command is offered again later");
                    tokio::select! {
                        () = self.cancel.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
        }
    }
}

fn service(service: Service) -> &'static str {
    match service {
        Service::Ordering => "ordering",
        Service::Inventory => "inventory",
        Service::Payments => "payments",
    }
}
