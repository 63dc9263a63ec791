//! The read side's parts: the read models, followed by workers of this process or of others.

use std::sync::Arc;

use anyhow::Context as _;
use event_store::EventStore;
use event_store::record::Position;
use event_store::supervision::Supervisor;
use projections::postgres::Postgres;
use projections::{Options, Projections, Sharing};

use super::Stage;
use super::broker::Feeds;
use super::log::Log;
use crate::config::Config;
use crate::config::url::Url;
use crate::service::files;
use crate::service::health::{Health, Part, State};

/// Where the read models of a log in a database are: in a database of their own, or in that of the log.
pub(crate) fn url(config: &Config) -> &Url {
    let own = &config.projections.url;
    if own.is_set() { own } else { &config.store.url }
}

/// The database of the read models.
pub(crate) async fn database(config: &Config) -> anyhow::Result<Arc<Postgres>> {
    let url = url(config);
    Postgres::open(url.secret(), config.projections.connections)
        .await
        .with_context(|| format!("the read models in {url} cannot be opened"))
}

fn options(config: &Config) -> Options {
    Options { batch: config.projections.batch, readers: files::readers(), ..Options::new(&config.store.data) }
}

/// The read models of the one process of a file.
pub(super) async fn whole(config: &Config, log: &Arc<dyn EventStore>) -> anyhow::Result<Arc<Projections>> {
    Ok(Projections::open(options(config), Arc::clone(log)).await?)
}

/// The read models that several processes share: this process projects them if `posts`, otherwise it only reads them.
pub(super) async fn shared(
    config: &Config,
    owner: &str,
    log: &Arc<dyn EventStore>,
    feeds: &Feeds,
    posts: bool,
) -> anyhow::Result<Arc<Projections>> {
    let rows = database(config).await?;
    if !posts {
        return Ok(Projections::reading(rows, Arc::clone(log)).await?);
    }
    let sharing = Sharing {
        owner: owner.to_owned(),
        batch: config.projections.batch,
        lease: config.roles.lease(),
        feeds: Some(Arc::clone(feeds)),
    };
    Ok(Projections::open_on(rows, Arc::clone(log), sharing).await?)
}

/// Runs this process's part of the read models, and reports their state if this process needs them.
pub(super) fn follow(models: &Arc<Projections>, needed: bool, stage: &Stage, supervisor: &Supervisor, health: &Health) {
    stage.spawn(Arc::clone(models).run_kept_by(supervisor.clone(), stage.token.clone()));
    if needed {
        let asked = Arc::clone(models);
        health.add(move || {
            let away = asked.away().map(|why| Part::new("read_models", State::Failed, why));
            asked.positions().iter().map(part).chain(away).collect()
        });
    }
}

/// A model that is behind still answers, with its position; so does one that holds some streams or has stopped. A model
/// that is being built does not.
fn part(standing: &projections::Standing) -> Part {
    let runs = match standing.runs.len() {
        0 => String::new(),
        count => format!(", {count} partitions here"),
    };
    let mut detail = format!("position {}, {} behind{runs}", standing.position, standing.lag);
    if standing.held > 0 {
        detail =
            format!("{detail}; holds {} streams: see GET /v1/records?state=unreadable for the reason", standing.held);
    }
    if let Some(stop) = &standing.stopped {
        detail = format!("stopped at {}: {}", stop.position, stop.reason);
    }
    let state = match standing {
        standing if standing.building => State::Failed,
        standing if standing.held > 0 || standing.stopped.is_some() => State::Degraded,
        _ => State::Ready,
    };
    Part::new(format!("projection/{}", standing.name), state, detail)
}

/// The read models alone, for a rebuild.
pub struct Models {
    log: Arc<dyn EventStore>,
    models: Arc<Projections>,
}

impl Models {
    /// Opens them. Where the log is a file, its lock keeps a server away meanwhile; a database serves on.
    ///
    /// # Errors
    /// If the store is held by another process or cannot be opened.
    pub async fn open(config: &Config, role: &str) -> anyhow::Result<Self> {
        let log = Log::open(config, role, |_| {}).await?;
        let events = log.events();
        let models = if log.is_shared() {
            Projections::reading(database(config).await?, Arc::clone(&events)).await?
        } else {
            whole(config, &events).await?
        };
        Ok(Self { log: events, models })
    }

    /// Rebuilds one; returns the position that it then shows.
    ///
    /// # Errors
    /// If there is none of that name, or a record cannot be applied.
    pub async fn rebuild(&self, name: &str, progress: projections::Progress) -> anyhow::Result<Position> {
        Ok(self.models.rebuild(name, Some(progress)).await?)
    }

    /// Closes the files.
    ///
    /// # Errors
    /// If they cannot be closed.
    pub async fn close(self) -> anyhow::Result<()> {
        self.models.close().await?;
        self.log.close().await?;
        Ok(())
    }
}
