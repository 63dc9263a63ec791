//! The log and its queue.

use std::path::PathBuf;

use super::Error;
use super::concern::concern;
use super::url::Url;

concern! {
    /// The log and its queue.
    Store {
        /// The database of the log: postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full. Empty: SQLite in the
        /// folder below.
        url: Url = Url::default(),
        /// The folder of the log, its index and the read models; with a database, only of the sandbox gateway's ledger.
        data: PathBuf = PathBuf::from("daybook-data"),
        /// Whether the store has a clock that tests advance with POST /v1/test-clock. The setting must be the same as
        /// when the store was created; an existing store never gets such a clock.
        test_clock: bool = false,
        /// Events that wait for the writer; a command beyond them is answered 503 with Retry-After.
        queue_events: usize = 65_536 => 16..=16_777_216,
        /// Folded aggregates that are kept in memory, at most.
        cached_aggregates: usize = 50_000 => 1..=100_000_000,
        /// Bytes of these aggregates, at most, about. Aggregates in use are kept at any size.
        cache_bytes: usize = 536_870_912 => 1_048_576..=1_099_511_627_776,
    }
}

impl Store {
    pub(super) fn check(&self) -> Result<(), Error> {
        let url = self.url.secret();
        if url.is_empty() || url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(());
        }
        let why =
            format!("`{}` is not postgres://…; a SQLite log is in the folder store.data and has no address", self.url);
        Err(Error::Value { key: "store.url", why })
    }
}
