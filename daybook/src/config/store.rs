//! Where the log is and how much waits for it.

use std::path::PathBuf;

use super::concern::concern;

concern! {
    /// Where the log is and how much waits for it.
    Store {
        /// The folder of the log, its index and the read models. One process writes to it at a time.
        data: PathBuf = PathBuf::from("daybook-data"),
        /// Events that wait for the writer; a command beyond them is answered 503 with Retry-After.
        queue_events: usize = 65_536,
        /// Folded aggregates that are kept in memory.
        cached_aggregates: usize = 50_000,
    }
}
