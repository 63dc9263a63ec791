//! What a saga asks for is carried out as soon as the decision that asks for it is on the store's queue, without waiting for its
//! commit. Nothing leaves the process by that: the follow-up is one more batch on the queue, and it expects the decision on the
//! saga's stream, so it is in the log only after it. The decision's metadata say that its process carries out what it asks for; the
//! runner that hears of it sends what is still without an outcome after a while, so nothing depends on a follow-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Command;
use domain::command::Service;
use domain::ids::Tenant;
use event_store::Class;
use event_store::gathering::Announcement;
use schemas::Metadata;
use uuid::Uuid;

use super::{Error, Executor, Inner};

/// The pauses before a follow-up is tried again that could not be written; after the last one it is left to the runner.
const PAUSES: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500)];
const ALL: [Service; 3] = [Service::Ordering, Service::Inventory, Service::Payments];

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
    under_way: Mutex<HashMap<Uuid, UnderWay>>,
}

struct UnderWay {
    /// Until it is on the store's queue.
    announced: Option<Announcement>,
    /// It was asked for again: what asked first was not written, and the saga decided the same at its next attempt.
    again: bool,
}

impl FollowUps {
    pub(super) fn new(most: usize) -> Self {
        Self { most, services: AtomicU8::new(0), under_way: Mutex::default() }
    }

    /// Whether what a saga asks for now is carried out here, whatever it is.
    pub(super) fn carries_out_all(&self) -> bool {
        // What is decided meanwhile takes its places too.
        ALL.iter().all(|service| self.serves(*service)) && self.under_way().len() < self.most / 2
    }

    fn serves(&self, service: Service) -> bool {
        self.services.load(Ordering::Relaxed) & bit(service) != 0
    }

    /// Whether none is under way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.under_way().is_empty()
    }

    /// It is on the store's queue.
    pub(super) fn queued(&self, command_id: Uuid) {
        if let Some(under_way) = self.under_way().get_mut(&command_id) {
            under_way.announced = None;
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Uuid, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a follow-up, unless it has to be left to the runner.
    fn enter(self: &Arc<Self>, command_id: Uuid, announced: Option<Announcement>) -> Entered {
        let mut under_way = self.under_way();
        if let Some(under_way) = under_way.get_mut(&command_id) {
            under_way.again = true;
            return Entered::Again;
        }
        if under_way.len() >= self.most {
            return Entered::Left;
        }
        under_way.insert(command_id, UnderWay { announced, again: false });
        Entered::First(Turn { follow_ups: Arc::clone(self), command_id, left: false })
    }
}

/// How a follow-up begins.
enum Entered {
    First(Turn),
    /// It is under way, and looks again whether it is asked for.
    Again,
    Left,
}

fn bit(service: Service) -> u8 {
    match service {
        Service::Ordering => 1,
        Service::Inventory => 2,
        Service::Payments => 4,
    }
}

/// A follow-up under way, until this is dropped.
struct Turn {
    follow_ups: Arc<FollowUps>,
    command_id: Uuid,
    /// It is not under way any more; another one of the same command may be.
    left: bool,
}

impl Turn {
    /// Ends a follow-up that had no outcome, unless it was asked for again.
    fn leave(&mut self) -> bool {
        let mut under_way = self.follow_ups.under_way();
        let again = under_way.get_mut(&self.command_id).is_some_and(|it| std::mem::take(&mut it.again));
        if !again {
            under_way.remove(&self.command_id);
            self.left = true;
        }
        !again
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.left {
            self.follow_ups.under_way().remove(&self.command_id);
        }
    }
}

impl Inner {
    /// Carries out what sagas asked for in a batch that is on the queue.
    pub(super) fn follow_up(self: &Arc<Self>, asked: Vec<FollowUp>) {
        // At a stop the runner of the next start sends the rest.
        if self.tracker.is_closed() {
            return;
        }
        for follow_up in asked {
            if !self.follow_ups.serves(follow_up.command.service()) {
                continue;
            }
            let mut turn = match self.follow_ups.enter(follow_up.command_id, self.store.announce()) {
                Entered::First(turn) => turn,
                Entered::Again => continue,
                Entered::Left => {
                    self.metrics.followed_up("left");
                    continue;
                }
            };
            let executor = Executor(Arc::clone(self));
            self.tracker.spawn(async move {
                loop {
                    let outcome = match executor.carry_out(&follow_up).await {
                        Ok(()) => "carried_out",
                        Err(Error::NotAsked) => "void",
                        Err(_) => "failed",
                    };
                    executor.0.metrics.followed_up(outcome);
                    if outcome == "carried_out" || turn.leave() {
                        break;
                    }
                }
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

    async fn carry_out(&self, follow_up: &FollowUp) -> Result<(), Error> {
        let FollowUp { tenant, command_id, command, metadata } = follow_up;
        let mut pauses = PAUSES.iter();
        loop {
            match self.run_command(tenant, *command_id, command.clone(), metadata.clone(), true).await {
                Ok(_) => return Ok(()),
                Err(error) if error == Error::NotAsked || error.class() != Class::NotNow => return Err(error),
                Err(error) => match pauses.next() {
                    Some(pause) if !self.0.tracker.is_closed() => tokio::time::sleep(*pause).await,
                    _ => return Err(error),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_again_while_it_is_under_way_is_looked_at_again() {
        let follow_ups = Arc::new(FollowUps::new(1));
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let Entered::First(mut turn) = follow_ups.enter(one, None) else { panic!("it is the first") };
        assert!(matches!(follow_ups.enter(other, None), Entered::Left));
        assert!(matches!(follow_ups.enter(one, None), Entered::Again));
        assert!(!turn.leave(), "it is tried again");
        assert!(turn.leave());
        let Entered::First(next) = follow_ups.enter(one, None) else { panic!("it is under way no more") };
        drop(turn);
        assert!(!follow_ups.is_idle(), "the next one is");
        drop(next);
        assert!(follow_ups.is_idle());
    }
}
