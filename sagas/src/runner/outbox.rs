//! Outgoing commands: those of one saga in order, those of different sagas in parallel, up to a limit. A command is
//! repeated until it is accepted; after a crash the log shows which commands have no answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// For so long a command is offered to a service that does not take it. Then it leaves its place to others.
const GIVES_BACK: Duration = Duration::from_secs(20);

/// A command to be sent.
pub(super) struct Letter {
    pub(super) key: Key,
    pub(super) tenant: Tenant,
    pub(super) command_id: Uuid,
    pub(super) command: domain::Command,
    pub(super) meta: Metadata,
}

/// A command that will never be carried out.
pub(super) struct Undeliverable {
    pub(super) key: Key,
    pub(super) command_id: Uuid,
    pub(super) detail: String,
}

pub(super) struct Outbox {
    shared: Arc<Shared>,
    tracker: TaskTracker,
}

/// What the lanes of an outbox share.
pub(super) struct Shared {
    most: usize,
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
                most: at_once * 16,
                dispatch,
                lanes: Mutex::default(),
                room: Notify::new(),
                at_once: Semaphore::new(at_once),
                failed,
                term,
                cancel,
            }),
            tracker,
        }
    }

    /// The state to wait on until there is room for more.
    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Why a sent command will not be carried out, if its service made it a dead letter within that time. `None` if
    /// that cannot be found out.
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
    /// Whether so many commands are in flight that no more should be sent.
    pub(super) fn is_full(&self) -> bool {
        self.lanes().waiting >= self.most
    }

    /// Waits until there may be room for more.
    pub(super) async fn room(&self) {
        self.room.notified().await;
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one saga's commands, until there are no more.
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
        let began = Instant::now();
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
                    // The receiver is gone only while the runner stops; the log still has the command.
                    drop(self.failed.send(undeliverable));
                    return;
                }
                Err(DispatchError::Unavailable(detail)) => {
                    meters::dispatched(service, "unavailable");
                    if began.elapsed() >= GIVES_BACK {
                        // It makes room for others. The command stays without an answer, so it is sent again in its
                        // turn.
                        tracing::warn!(
                            %detail,
                            service,
                            command.id = %letter.command_id,
                            "a command was not accepted for a while; it is retried, check that its service runs"
                        );
                        return meters::dispatched(service, "given_back");
                    }
                    tracing::warn!(
                        %detail,
                        service,
                        "a command is not accepted now; it is retried, check that its service runs if this stays"
                    );
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
