//! The write side's parts.

use std::sync::Arc;

use command_api::execute::{Executor, Options};
use command_api::verdict::{self, Verdicts};
use event_store::EventStore;
use event_store::supervision::{Ended, Supervisor};
use tokio_util::task::TaskTracker;

use super::Stage;
use crate::config::Config;

pub(super) fn executor(config: &Config, log: Arc<dyn EventStore>, commands: TaskTracker) -> Executor {
    let (cached, cached_bytes) = (config.store.cached_aggregates, config.store.cache_bytes);
    let options = Options { cached, cached_bytes, ..Options::default() };
    Executor::new(log, commands, options)
}

/// Wakes requests that wait for the outcome of an order; follows the log only if requests can wait.
pub(super) fn verdicts(log: Arc<dyn EventStore>, waited_for: bool, stage: &Stage, supervisor: &Supervisor) -> Verdicts {
    let (verdicts, follower) = verdict::Options::default().build(log);
    if waited_for {
        let token = stage.token.clone();
        stage.keep(supervisor, "verdicts", move |_| {
            let following = follower.clone().run(token.clone());
            async move { following.await.map_err(Ended::from) }
        });
    }
    verdicts
}
