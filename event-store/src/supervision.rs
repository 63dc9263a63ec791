//! Supervises the long-running parts of a process, with one policy for all. A part that fails or panics is restarted
//! after a pause; after repeated failures the supervisor gives up, and the process should end, so that a new one starts
//! from a clean state. If a store cannot do something *now*, that is not a failure: the part retries it by itself (see
//! [`crate::patience`]) and reports here what it waits for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::patience::Backoff;
use crate::store::{Class, Error};

/// When a part is restarted, and when the supervisor gives up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The first pause; doubled with each failure.
    pub first: Duration,
    /// The longest one.
    pub cap: Duration,
    /// A part that ran for so long has recovered: the next pause is the first again.
    pub healthy: Duration,
    /// So many failures …
    pub most: usize,
    /// … within so long, and the part is given up.
    pub within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            healthy: Duration::from_secs(60),
            most: 5,
            within: Duration::from_secs(60),
        }
    }
}

/// Why a part ended without being stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It could not do its work now: it is run again, and that does not count.
    NotNow(String),
    /// It failed.
    Failed(String),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        match error.class() {
            Class::NotNow | Class::Unknown => Self::NotNow(error.to_string()),
            Class::Never => Self::Failed(error.to_string()),
        }
    }
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does its work.
    Running,
    /// It runs, and waits for something that is unavailable now.
    Waiting(String),
    /// It failed, and is run again after a pause.
    Restarting(String),
    /// It failed too often. The process should end.
    GivenUp(String),
}

/// A part, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The part: `sagas`, `sagas/3`, `relay` …
    pub name: String,
    /// How it is.
    pub health: Health,
    /// How often it was run again.
    pub restarts: u64,
}

/// Runs the parts of a process. Clones share everything.
#[derive(Clone, Default)]
pub struct Supervisor(Arc<Inner>);

#[derive(Default)]
struct Inner {
    limits: Limits,
    parts: Mutex<BTreeMap<String, (Health, u64)>>,
    given_up: watch::Sender<Option<String>>,
}

/// The status that a part reports. Clones report for the same part.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Option<(Arc<Inner>, Arc<str>)>);

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("parts", &*self.parts()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Pulse {
    /// Reports that the part waits for something that is unavailable now; the part continues by itself.
    pub fn waits(&self, why: &str) {
        self.set(Health::Waiting(why.to_owned()));
    }

    /// The part does its work again.
    pub fn goes_on(&self) {
        self.set(Health::Running);
    }

    fn set(&self, health: Health) {
        if let Some((inner, name)) = &self.0 {
            inner.set(name, health);
        }
    }
}

impl Inner {
    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, (Health, u64)>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, name: &str, health: Health) {
        if let Some(part) = self.parts().get_mut(name) {
            part.0 = health;
        }
    }

    fn restarts(&self, name: &str, why: &str) {
        if let Some(part) = self.parts().get_mut(name) {
            *part = (Health::Restarting(why.to_owned()), part.1 + 1);
        }
    }
}

/// Lists a part for as long as this value lives.
struct Listed<'a>(&'a Inner, &'a str);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.parts().remove(self.1);
    }
}

impl Supervisor {
    /// A supervisor of no parts yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { limits, ..Inner::default() }))
    }

    /// The parts that are kept now, and how they are, in order of name.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let parts = self.0.parts();
        let standing = |(name, (health, restarts)): (&String, &(Health, u64))| Standing {
            name: name.clone(),
            health: health.clone(),
            restarts: *restarts,
        };
        parts.iter().map(standing).collect()
    }

    /// Becomes the reason once a part is given up: the process should stop in order, and end with an error.
    #[must_use]
    pub fn given_up(&self) -> watch::Receiver<Option<String>> {
        self.0.given_up.subscribe()
    }

    /// Keeps a part running until it is stopped, and returns once the part has ended. Each run of `part` is a separate
    /// task, and must end soon after `stop`. If the supervisor gives up, nothing runs after that. Dropping the future
    /// aborts the part.
    pub async fn keep<F>(&self, name: &str, stop: &CancellationToken, mut part: impl FnMut(Pulse) -> F)
    where
        F: Future<Output = Result<(), Ended>> + Send + 'static,
    {
        let limits = self.0.limits;
        // Two kinds of pauses: a pause that has grown long with waiting would keep failures from ever being frequent.
        let fresh = || Backoff::new(limits.first, limits.cap);
        let (mut waits, mut pauses) = (fresh(), fresh());
        let mut failures: VecDeque<Instant> = VecDeque::new();
        self.0.parts().insert(name.to_owned(), (Health::Running, 0));
        let _listed = Listed(&self.0, name);
        let pulse = Pulse(Some((Arc::clone(&self.0), name.into())));
        while !stop.is_cancelled() {
            let began = Instant::now();
            let ended = match AbortOnDropHandle::new(tokio::spawn(part(pulse.clone()))).await {
                Ok(Ok(())) => Ended::Failed("it ended without being stopped".into()),
                Ok(Err(ended)) => ended,
                Err(error) if error.is_panic() => Ended::Failed("it panicked".into()),
                Err(error) => Ended::Failed(error.to_string()),
            };
            if stop.is_cancelled() {
                return;
            }
            let ran = began.elapsed();
            let why = match &ended {
                Ended::NotNow(why) | Ended::Failed(why) => why.as_str(),
            };
            if ran >= limits.healthy {
                waits.reset();
                pauses.reset();
            }
            let wait = match ended {
                Ended::NotNow(_) => waits.next_wait(),
                Ended::Failed(_) if self.too_often(&mut failures) => return self.give_up(name, why, stop).await,
                Ended::Failed(_) => pauses.next_wait(),
            };
            self.0.restarts(name, why);
            metrics::counter!("daybook_part_restarts_total", "part" => kind(name)).increment(1);
            tracing::error!(
                part = name,
                error = why,
                ?wait,
                "a part of the process failed; it is restarted after a pause, see docs/operations.md, 'A part waits or \
                 restarts'"
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => pulse.goes_on(),
            }
        }
    }

    /// Notes a failure; whether there were too many.
    fn too_often(&self, failures: &mut VecDeque<Instant>) -> bool {
        let (now, limits) = (Instant::now(), self.0.limits);
        failures.retain(|at| now - *at < limits.within);
        failures.push_back(now);
        failures.len() >= limits.most
    }

    async fn give_up(&self, name: &str, why: &str, stop: &CancellationToken) {
        let Limits { most, within, .. } = self.0.limits;
        tracing::error!(
            part = name,
            error = why,
            "a part of the process failed {most} times within {within:?}; the process ends, see docs/operations.md, 'A \
             process ends by itself'"
        );
        metrics::counter!("daybook_parts_given_up_total", "part" => kind(name)).increment(1);
        self.0.set(name, Health::GivenUp(why.to_owned()));
        self.0.given_up.send_if_modified(|given_up| {
            let first = given_up.is_none();
            if first {
                *given_up = Some(format!("{name} failed {most} times within {within:?}: {why}"));
            }
            first
        });
        // Listed until the end, so that readiness says why.
        stop.cancelled().await;
    }
}

/// The part's name without its partition: labels of metrics are few.
fn kind(name: &str) -> String {
    name.split('/').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests;
