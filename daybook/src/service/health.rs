//! The states of the process's parts. Each role reports its own; this file does not know what a part does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use serde::Serialize;
use utoipa::ToSchema;

/// How a part of the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does its work.
    Ready,
    /// It does part of its work: an operator should look. The process is still ready.
    Degraded,
    /// It does no work at all.
    Failed,
}

/// How a part of the process is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Part {
    /// The part: `store`, `sagas`, `projection/order_list` …
    pub name: String,
    /// How it is.
    pub state: State,
    /// Whether it does its work, at least some of it.
    pub ready: bool,
    /// The details of the state.
    pub detail: String,
}

/// The detail of a part without anything to report.
const RUNS: &str = "it runs";

impl Part {
    /// A part with this state.
    pub fn new(name: impl Into<String>, state: State, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state, ready: state != State::Failed, detail: detail.into() }
    }

    /// A working part without anything to report.
    pub fn runs(name: impl Into<String>) -> Self {
        Self::new(name, State::Ready, "")
    }

    /// Merges two reports on the same part: the worse state wins.
    fn and(&mut self, other: Self) {
        let state = self.state.max(other.state);
        if self.detail.is_empty() {
            self.detail = other.detail;
        } else if !other.detail.is_empty() && other.detail != self.detail {
            self.detail = format!("{}; {}", self.detail, other.detail);
        }
        (self.state, self.ready) = (state, state != State::Failed);
    }
}

/// Whether the process can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether all its parts do their work, at least some of it.
    pub ready: bool,
    /// The names of the degraded parts.
    pub degraded: Vec<String>,
    /// Its parts.
    pub parts: Vec<Part>,
}

type Check = Box<dyn Fn() -> Vec<Part> + Send + Sync>;

/// The parts of the process.
#[derive(Default)]
pub struct Health {
    stopping: AtomicBool,
    checks: RwLock<Vec<Check>>,
}

impl Health {
    /// Adds a role: each health request calls `check` for its parts.
    pub fn add(&self, check: impl Fn() -> Vec<Part> + Send + Sync + 'static) {
        self.checks.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(check));
    }

    /// From now on the process is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// How the process is.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        let mut parts: Vec<Part> = Vec::new();
        for part in checks.iter().flat_map(|check| check()) {
            match parts.iter_mut().find(|known| known.name == part.name) {
                Some(known) => known.and(part),
                None => parts.push(part),
            }
        }
        for part in parts.iter_mut().filter(|part| part.detail.is_empty()) {
            RUNS.clone_into(&mut part.detail);
        }
        if self.stopping.load(Ordering::Acquire) {
            parts.push(Part::new("process", State::Failed, "it is stopping"));
        }
        let degraded = parts.iter().filter(|part| part.state == State::Degraded).map(|part| part.name.clone());
        Readiness { ready: parts.iter().all(|part| part.ready), degraded: degraded.collect(), parts }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("readiness", &self.readiness()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_does_no_work_makes_the_process_unready_and_one_that_does_less_is_listed() {
        let health = Health::default();
        assert!(health.readiness().ready);
        health.add(|| vec![Part::new("sagas", State::Degraded, "a stream cannot be read")]);
        let readiness = health.readiness();
        assert!(readiness.ready);
        assert_eq!(readiness.degraded, ["sagas"]);
        health.add(|| vec![Part::new("store", State::Failed, "closed")]);
        let readiness = health.readiness();
        assert!(!readiness.ready);
        assert_eq!(readiness.degraded, ["sagas"]);
    }

    #[test]
    fn what_several_say_of_one_part_is_one_row_and_the_worst_of_it_counts() {
        let health = Health::default();
        health.add(|| vec![Part::runs("relay"), Part::runs("sagas")]);
        health.add(|| vec![Part::new("relay", State::Ready, "stands by")]);
        health.add(|| vec![Part::new("sagas", State::Degraded, "streams held: 1")]);
        let readiness = health.readiness();
        let rows: Vec<_> = readiness.parts.iter().map(|part| (&*part.name, part.state, &*part.detail)).collect();
        assert_eq!(rows, [("relay", State::Ready, "stands by"), ("sagas", State::Degraded, "streams held: 1")]);
        assert_eq!((readiness.ready, readiness.degraded), (true, vec!["sagas".to_owned()]));
        health.add(|| vec![Part::new("sagas", State::Failed, "waiting: the disk is full")]);
        let sagas = health.readiness().parts.remove(1);
        assert_eq!((sagas.ready, &*sagas.detail), (false, "streams held: 1; waiting: the disk is full"));
    }

    #[test]
    fn a_process_that_stops_is_not_ready() {
        let health = Health::default();
        health.stop();
        assert_eq!(health.readiness().parts[0].name, "process");
    }
}
