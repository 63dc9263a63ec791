//! The broker that carries events and commands between processes.

use super::Error;
use super::concern::concern;

concern! {
    /// The broker that carries events and commands between processes: NATS with JetStream, 2.12 or newer. Everything in
    /// it is also in the log.
    Nats {
        /// Its nodes, separated by commas: nats://HOST:PORT. Empty: no broker. Processes then read the log themselves,
        /// and run the commands of their own sagas.
        urls: String = String::new(),
        /// The number of replicas of each stream: 1, 3 or 5.
        replicas: usize = 1 => 1..=5,
        /// For how many hours published events are kept, at most. Older events are read from the log.
        max_age_h: u64 = 72 => 1..=87_600,
        /// How many bytes of published events are kept, at most.
        max_bytes: u64 = 8_589_934_592 => 16_777_216..=1_125_899_906_842_624,
    }
}

impl Nats {
    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        let nodes = self.urls.split(',').map(str::trim);
        nodes.filter(|url| !url.is_empty()).map(str::to_owned).collect()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |key, why: String| Err(Error::Value { key, why });
        if let Some(url) = self.nodes().iter().find(|url| !url.contains("://")) {
            return refuse("nats.urls", format!("`{url}` is not nats://HOST:PORT"));
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return refuse("nats.replicas", format!("{} is not allowed: set it to 1, 3 or 5", self.replicas));
        }
        Ok(())
    }
}
