//! What a saga asks for is carried out as soon as the decision that asks for it is on the store's queue, without waiting for its
//! commit. Nothing leaves the process by that: the follow-up is one more batch on the queue, and it expects the decision on the
//! saga's stream, so it is in the log only after it. The saga's runner hears of the decision once it is durable, and sends what
//! was not carried out here: nothing depends on a follow-up.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Command;
use domain::command::Service;
use domain::ids::Tenant;
use event_store::EventStore;
use event_store::gathering::Announcement;
use schemas::Metadata;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Executor, Inner};

/// How many carried out commands are remembered: more than runners are behind by, as long as they are not far behind.
const REMEMBERED: usize = 16_384;

/// A command that a saga asks for.
pub(super) struct FollowUp {
    pub(super) tenant: Tenant,
    pub(super) command_id: Uuid,
    pub(super) command: Command,
    pub(super) metadata: Metadata,
}

/// The follow-ups of an executor.
pub(super) struct FollowUps {
    /// The most at once. What is beyond them is left to the runner, which knows no more than what is durable and so falls behind
    /// without harm.
    most: usize,
    /// The services whose commands are carried out here, a bit each.
    services: AtomicU8,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    under_way: HashMap<Uuid, UnderWay>,
    carried_out: HashSet<Uuid>,
    /// The same, the oldest first.
    oldest: VecDeque<Uuid>,
}

struct UnderWay {
    /// Whether it was carried out, once that is known.
    told: watch::Receiver<Option<bool>>,
    /// Until it is on the store's queue.
    announced: Option<Announcement>,
}

impl FollowUps {
    pub(super) fn new(most: usize) -> Self {
        Self { most, services: AtomicU8::new(0), known: Mutex::default() }
    }

    fn serves(&self, service: Service) -> bool {
        self.services.load(Ordering::Relaxed) & bit(service) != 0
    }

    /// Whether none is under way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.known().under_way.is_empty()
    }

    /// It is on the store's queue.
    pub(super) fn queued(&self, command_id: Uuid) {
        if let Some(under_way) = self.known().under_way.get_mut(&command_id) {
            under_way.announced = None;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of a follow-up; `None` if it is carried out already, or if it has to be left to the runner.
    fn enter(self: &Arc<Self>, command_id: Uuid, store: &dyn EventStore) -> Option<Turn> {
        let mut known = self.known();
        if known.under_way.len() >= self.most || known.under_way.contains_key(&command_id) {
            return None;
        }
        let (tell, told) = watch::channel(None);
        known.under_way.insert(command_id, UnderWay { told, announced: store.announce() });
        Some(Turn { follow_ups: Arc::clone(self), command_id, tell })
    }
}

fn bit(service: Service) -> u8 {
    match service {
        Service::Ordering => 1,
        Service::Inventory => 2,
        Service::Payments => 4,
    }
}

/// A follow-up under way. Dropped without an end it was not carried out.
struct Turn {
    follow_ups: Arc<FollowUps>,
    command_id: Uuid,
    tell: watch::Sender<Option<bool>>,
}

impl Turn {
    fn end(self, carried_out: bool) {
        if carried_out {
            let mut known = self.follow_ups.known();
            if known.carried_out.insert(self.command_id) {
                known.oldest.push_back(self.command_id);
            }
            if known.oldest.len() > REMEMBERED
                && let Some(oldest) = known.oldest.pop_front()
            {
                known.carried_out.remove(&oldest);
            }
        }
        self.tell.send_replace(Some(carried_out));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.follow_ups.known().under_way.remove(&self.command_id);
    }
}

impl Inner {
    /// Carries out what sagas asked for in a batch that is on the queue, those of one saga in the order in which it asked.
    pub(super) fn follow_up(self: &Arc<Self>, asked: Vec<FollowUp>) {
        // At a stop the runner of the next start sends the rest.
        if self.tracker.is_closed() {
            return;
        }
        for FollowUp { tenant, command_id, command, metadata } in asked {
            if !self.follow_ups.serves(command.service()) {
                continue;
            }
            let Some(turn) = self.follow_ups.enter(command_id, &*self.store) else {
                self.metrics.followed_up("left");
                continue;
            };
            let executor = Executor(Arc::clone(self));
            self.tracker.spawn(async move {
                let done = executor.run_command(&tenant, command_id, command, metadata, true).await;
                executor.0.metrics.followed_up(match &done {
                    Ok(_) => "carried_out",
                    Err(super::Error::NotAsked) => "void",
                    Err(_) => "failed",
                });
                turn.end(done.is_ok());
            });
        }
    }
}

impl Executor {
    /// Whether commands of sagas to this service are carried out here as soon as they are asked for. At first none are.
    pub fn carries_out(&self, service: Service, here: bool) {
        let services = &self.0.follow_ups.services;
        if here {
            services.fetch_or(bit(service), Ordering::Relaxed);
        } else {
            services.fetch_and(!bit(service), Ordering::Relaxed);
        }
    }

    /// Whether a command of a saga was carried out here as soon as it was asked for; waits for one that is under way. `false`
    /// says nothing about the command: the log does.
    pub async fn has_carried_out(&self, command_id: Uuid) -> bool {
        let told = {
            let known = self.0.follow_ups.known();
            if known.carried_out.contains(&command_id) {
                return true;
            }
            known.under_way.get(&command_id).map(|under_way| under_way.told.clone())
        };
        match told {
            Some(mut told) => told.wait_for(Option::is_some).await.is_ok_and(|told| *told == Some(true)),
            None => false,
        }
    }
}
