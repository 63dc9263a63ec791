//! The read side's parts: the read models, followed by workers of their own.

use std::sync::Arc;

use event_store::EventStore;
use projections::{Options, Projections};

use super::Stage;
use crate::config::Config;
use crate::service::health::{Health, Part};

pub(super) fn options(config: &Config) -> Options {
    Options {
        batch: config.projections.batch,
        ..Options::new(&config.store.data)
    }
}

pub(super) async fn start(
    config: &Config,
    log: Arc<dyn EventStore>,
    stage: &Stage,
    health: &Health,
) -> anyhow::Result<Arc<Projections>> {
    let models = Projections::open(options(config), log).await?;
    stage.spawn(Arc::clone(&models).run(stage.token.clone()));
    let asked = Arc::clone(&models);
    health.add(move || asked.positions().iter().map(part).collect());
    Ok(models)
}

/// A model that is behind still answers, and says how far it is; one that is being built does not.
fn part(standing: &projections::Standing) -> Part {
    let stopped = standing
        .stopped
        .as_ref()
        .map(|stop| format!("stopped at {}: {}", stop.position, stop.reason));
    Part {
        name: format!("projection/{}", standing.name),
        ready: !standing.building,
        detail: stopped
            .unwrap_or_else(|| format!("position {}, {} behind", standing.position, standing.lag)),
    }
}
