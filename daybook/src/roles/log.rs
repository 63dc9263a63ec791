//! The log that a configuration names: a SQLite file of this process alone, or a database that any number of processes share.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use anyhow::Context as _;
use event_store::audit::Audit;
use event_store::clock::{Mismatch, TestClock};
use event_store::{EventStore, Trouble, postgres, sqlite};
use tokio::sync::watch;

use crate::config::Config;
use crate::config::url::Url;
use crate::console;
use crate::service::files;

/// The log of this process.
#[derive(Clone)]
pub(super) enum Log {
    /// In a folder.
    File(Arc<sqlite::Store>),
    /// In a database.
    Database(Arc<postgres::Store>),
}

impl Log {
    /// Opens it for writing.
    pub(super) async fn open(
        config: &Config,
        role: &str,
        adjust: impl FnOnce(&mut sqlite::Options),
    ) -> anyhow::Result<Self> {
        let url = &config.store.url;
        if url.is_set() {
            return Ok(Self::Database(database(url, role, config).await?));
        }
        let folder = &config.store.data;
        let mut options = sqlite::Options::new(folder).role(role);
        options.queue_events = config.store.queue_events;
        options.test_clock = config.store.test_clock;
        options.readers = files::readers();
        options.wal_ahead = sqlite::Options::WAL_AHEAD;
        let bar = std::sync::Mutex::new(None);
        options.progress = Some(Arc::new(move |progress| {
            let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
            let bar = bar.get_or_insert_with(|| console::bar(progress.head, "rebuilding the index"));
            bar.set_position(progress.indexed_to);
            if progress.indexed_to >= progress.head {
                bar.finish_and_clear();
            }
        }));
        adjust(&mut options);
        let store = sqlite::Store::open(options);
        let clock = store.as_ref().err().and_then(|error| match error {
            sqlite::OpenError::Clock(mismatch) => Some(*mismatch),
            _ => None,
        });
        store.map(Self::File).with_context(|| format!("{}{}", cannot_open(folder), what_to_do(clock)))
    }

    /// The log for all readers and writers.
    pub(super) fn events(&self) -> Arc<dyn EventStore> {
        match self {
            Self::File(store) => Arc::clone(store) as Arc<dyn EventStore>,
            Self::Database(store) => Arc::clone(store) as Arc<dyn EventStore>,
        }
    }

    /// The clock that a test advances, if it was made with one.
    pub(super) fn test_clock(&self) -> Arc<dyn TestClock> {
        match self {
            Self::File(store) => Arc::clone(store) as Arc<dyn TestClock>,
            Self::Database(store) => Arc::clone(store) as Arc<dyn TestClock>,
        }
    }

    /// Gets a reason once the writer has stopped unexpectedly.
    pub(super) fn failed(&self) -> watch::Receiver<Option<String>> {
        match self {
            Self::File(store) => store.failed(),
            Self::Database(store) => store.failed(),
        }
    }

    /// How its files are, where it is in files.
    pub(super) fn condition(&self) -> Option<sqlite::Condition> {
        match self {
            Self::File(store) => Some(store.condition()),
            Self::Database(_) => None,
        }
    }

    /// What currently keeps the writer from writing.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        match self {
            Self::File(store) => store.trouble(),
            Self::Database(store) => store.trouble(),
        }
    }

    /// Why the log cannot be reached; `None` while it can.
    pub(super) fn away(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::Database(store) => store.away().borrow().clone(),
        }
    }

    /// Whether other processes write to it as well.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Database(_))
    }

    /// Notes where this process listens, for those who find the file in use.
    pub(super) fn set_url(&self, url: String) -> anyhow::Result<()> {
        match self {
            Self::File(store) => store.set_url(url).map_err(Into::into),
            Self::Database(_) => Ok(()),
        }
    }
}

/// Opens the log for reading, beside its writer.
///
/// # Errors
/// If it does not exist, or cannot be opened.
pub(crate) async fn beside(config: &Config, role: &str) -> anyhow::Result<Arc<dyn EventStore>> {
    Ok(audited(config, role).await?)
}

/// The same, with the data that is kept beside the log.
///
/// # Errors
/// As [`beside`].
pub(crate) async fn audited(config: &Config, role: &str) -> anyhow::Result<Arc<dyn Audit>> {
    let url = &config.store.url;
    if url.is_set() {
        let options = postgres::Options::new(url.secret()).role(role);
        let store = postgres::Store::open_read_only(options).await;
        return Ok(store.with_context(|| format!("the store in {url} cannot be opened"))?);
    }
    let folder = &config.store.data;
    let store = sqlite::Store::open_read_only(folder).with_context(|| cannot_open(folder))?;
    Ok(store)
}

/// Opens the log for writing only: a file's lock keeps a server from starting meanwhile.
///
/// # Errors
/// If it cannot be opened, or the file is in use.
pub(crate) async fn for_writing(config: &Config, role: &str) -> anyhow::Result<Arc<dyn EventStore>> {
    Ok(Log::open(config, role, |_| {}).await?.events())
}

async fn database(url: &Url, role: &str, config: &Config) -> anyhow::Result<Arc<postgres::Store>> {
    let mut options = postgres::Options::new(url.secret()).role(role);
    options.queue_events = config.store.queue_events;
    options.test_clock = config.store.test_clock;
    let store = postgres::Store::open(options).await;
    let clock = store.as_ref().err().and_then(|error| match error {
        postgres::OpenError::Clock(mismatch) => Some(*mismatch),
        _ => None,
    });
    store.with_context(|| format!("the store in {url} cannot be opened{}", what_to_do(clock)))
}

/// The setting to change when a store's clock differs from the configuration.
fn what_to_do(clock: Option<Mismatch>) -> &'static str {
    match clock {
        Some(Mismatch::HasTestClock) => {
            " (set store.test_clock = true for a store with a test clock, and only for one)"
        }
        Some(Mismatch::HasNone) => " (set store.test_clock = false; a test needs another store.data or database)",
        None => "",
    }
}

fn cannot_open(folder: &Path) -> String {
    format!("the store in {} cannot be opened", folder.display())
}
