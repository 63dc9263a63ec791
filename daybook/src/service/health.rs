//! How the parts of the process are. Each role says what it needs and has; nothing here knows what a part does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use serde::Serialize;
use utoipa::ToSchema;

/// Whether a part of the process can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Part {
    /// The part: `store`, `sagas`, `projection/order_list` …
    pub name: String,
    /// Whether it can do its work.
    pub ready: bool,
    /// What it has, or what it lacks.
    pub detail: String,
}

/// Whether the process can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether all its parts can.
    pub ready: bool,
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
    /// Adds a role: `check` says how it is, each time somebody asks.
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
        let mut parts: Vec<Part> = checks.iter().flat_map(|check| check()).collect();
        if self.stopping.load(Ordering::Acquire) {
            parts.push(Part { name: "process".into(), ready: false, detail: "it is stopping".into() });
        }
        Readiness { ready: parts.iter().all(|part| part.ready), parts }
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
    fn one_part_that_is_not_ready_is_enough() {
        let health = Health::default();
        assert!(health.readiness().ready);
        health.add(|| vec![Part { name: "store".into(), ready: false, detail: "closed".into() }]);
        assert!(!health.readiness().ready);
    }

    #[test]
    fn a_process_that_stops_is_not_ready() {
        let health = Health::default();
        health.stop();
        assert_eq!(health.readiness().parts[0].name, "process");
    }
}
