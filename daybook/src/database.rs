//! `migrate` and `copy`: a database for the log, and a log that moves into it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use event_store::copy::{self, Source};
use event_store::record::Position;
use event_store::{postgres, sqlite};
use serde::Serialize;

use crate::cli::{Copy, Migrate};
use crate::config::Config;
use crate::config::url::Url;
use crate::console;

/// What a copy came to.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// The last position, of the original and of the copy.
    pub position: Position,
    /// The hash there, from which the whole log before it follows.
    pub hash: String,
    /// Records that were copied this time.
    pub copied: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
}

impl Copied {
    /// The copy as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{} events copied in {:.1} s; the copy ends at position {} with the hash {}, as the original does\n",
            console::grouped(i64::try_from(self.copied).unwrap_or(i64::MAX)),
            self.seconds,
            self.position,
            self.hash
        )
    }
}

/// Creates the tables of the configured database, and allows roles to write to them. Waits for a database that does not
/// accept connections yet, so that both can be started together.
///
/// # Errors
/// If the configuration names no database, it cannot be used, or it does not accept connections in time.
pub async fn migrate(config: &Config, asked: &Migrate) -> anyhow::Result<()> {
    let url = &config.store.url;
    if !url.is_set() {
        bail!("store.url names no database; a SQLite log needs no migration");
    }
    let told = |why: &postgres::OpenError| {
        console::complain(&format!("daybook: waiting up to {} s for the database {url}: {why}", asked.wait));
    };
    let arrived = postgres::arrival(url.secret(), Duration::from_secs(asked.wait), told).await;
    arrived.with_context(|| format!("the database {url} does not accept a connection"))?;
    let made = postgres::migrate(url.secret(), config.store.test_clock).await;
    made.with_context(|| format!("the tables in {url} cannot be created"))?;
    for role in &asked.grant_to {
        postgres::grant(url.secret(), role)
            .await
            .with_context(|| format!("the rights of {role} cannot be granted at {url}"))?;
    }
    Ok(())
}

/// Copies a log, and proves the copy against the original.
///
/// # Errors
/// If either cannot be opened, or the target holds anything that the source does not.
pub async fn copy(asked: &Copy) -> anyhow::Result<Copied> {
    let to = Url::from(asked.to.as_str());
    if !is_database(&asked.to) {
        bail!("`{to}` is not postgres://…: a log is copied into a database");
    }
    let begun = std::time::Instant::now();
    let (folder, from) = (asked.from.strip_prefix("sqlite:"), Url::from(asked.from.as_str()));
    let source: Arc<dyn Source> = match folder {
        Some(folder) => {
            sqlite::Store::open_read_only(folder).with_context(|| format!("the store in {folder} cannot be opened"))?
        }
        None if is_database(&asked.from) => {
            let options = postgres::Options::new(from.secret()).role("copy");
            postgres::Store::open(options).await.with_context(|| format!("the store in {from} cannot be opened"))?
        }
        None => bail!("`{from}` is not sqlite:FOLDER or postgres://…"),
    };
    let mut target =
        postgres::Target::open(to.secret()).await.with_context(|| format!("the store in {to} cannot be opened"))?;
    let bar = console::bar(0, "events");
    let mut first = None;
    let head = copy::run(&*source, &mut target, |progress| {
        first.get_or_insert(progress.position);
        bar.set_length(progress.head);
        bar.set_position(progress.position);
    })
    .await?;
    bar.finish_and_clear();
    Ok(Copied {
        position: head.position,
        hash: command_api::import::keys::hex(&head.hash),
        copied: head.position - first.unwrap_or(0),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn is_database(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}
