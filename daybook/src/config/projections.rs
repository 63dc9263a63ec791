//! How read models follow the log.

use super::concern::concern;
use super::url::Url;

concern! {
    /// How read models follow the log.
    Projections {
        /// The database of the read models: postgres://USER:PASSWORD@HOST/DATABASE. Empty: a SQLite file in store.data, or where the log
        /// is in a database, that one.
        url: Url = Url::default(),
        /// Records that are applied in one transaction, at most.
        batch: usize = 1_000,
        /// How long a query waits for the position that it asks for, at most.
        longest_wait_ms: u64 = 30_000,
        /// Connections to the database of the read models, at most.
        connections: u32 = 8,
    }
}
