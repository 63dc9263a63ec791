//! The projection of the log to the read models.

use super::Error;
use super::concern::concern;
use super::url::Url;

concern! {
    /// The projection of the log to the read models.
    Projections {
        /// The database of the read models: postgres://USER:PASSWORD@HOST/DATABASE. Empty: a SQLite file in store.data,
        /// or the database of the log if there is one.
        url: Url = Url::default(),
        /// Records that one transaction applies, at most.
        batch: usize = 1_000 => 1..=100_000,
        /// How long a query waits for its min_position, in milliseconds, at most.
        longest_wait_ms: u64 = 30_000 => 0..=600_000,
        /// Connections to the database of the read models, at most.
        connections: u32 = 8 => 2..=1_000,
    }
}

impl Projections {
    pub(super) fn check(&self, scaled: bool) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::Value { key: "projections.url", why });
        if !self.url.is_set() {
            return Ok(());
        }
        let url = self.url.secret();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return refuse(format!(
                "`{}` is not postgres://…; leave it empty for the default place beside the log",
                self.url
            ));
        }
        if !scaled {
            let why =
                "the read models of a SQLite log are beside it in store.data: leave it empty, or set store.url as well";
            return refuse(why.to_owned());
        }
        Ok(())
    }
}
