//! The broker that carries events and commands between processes.

use super::Error;
use super::concern::concern;
use super::url::Urls;

concern! {
    /// The broker that carries events and commands between processes: NATS with JetStream, 2.12 or newer. Everything in
    /// it is also in the log.
    Nats {
        /// Its nodes, separated by commas: nats://USER:PASSWORD@HOST:PORT. What one node says of the user goes for all of
        /// them. Empty: no broker. Processes then read the log themselves, and run the commands of their own sagas.
        urls: Urls = Urls::default(),
        /// The number of replicas of each stream: 1, 3 or 5.
        replicas: usize = 1 => 1..=5,
        /// For how many hours published events are kept, at most. Older events are read from the log.
        max_age_h: u64 = 72 => 1..=87_600,
        /// How many bytes of published events are kept, at most.
        max_bytes: u64 = 8_589_934_592 => 16_777_216..=1_125_899_906_842_624,
    }
}

impl Nats {
    /// The nodes, with user and password.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.urls.iter().map(|url| url.secret().to_owned()).collect()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |key, why: String| Err(Error::Value { key, why });
        if let Some(url) = self.urls.iter().find(|url| !url.secret().contains("://")) {
            return refuse("nats.urls", format!("`{url}` is not nats://HOST:PORT"));
        }
        let nodes: Vec<_> = self.urls.iter().collect();
        let mut users = nodes.iter().filter_map(|url| url.user());
        if let Some(first) = users.next()
            && let Some(other) = users.find(|user| *user != first)
        {
            return refuse("nats.urls", format!("a process is one user, and here are `{first}` and `{other}`"));
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return refuse("nats.replicas", format!("{} is not allowed: set it to 1, 3 or 5", self.replicas));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    fn checked(urls: &str) -> Result<(), String> {
        Nats { urls: urls.into(), ..Nats::default() }.check().map_err(|error| error.to_string())
    }

    #[test]
    fn a_process_is_one_user() {
        checked("nats://relay:s3cret@a:4222,nats://b:4222,nats://relay:s3cret@c:4222").unwrap();
        let refused = checked("nats://relay:s3cret@a:4222,nats://sagas:s3cret@b:4222").unwrap_err();
        assert!(refused.contains("sagas") && !refused.contains("s3cret"), "{refused}");
        let refused = checked("relay:s3cret@a:4222").unwrap_err();
        assert!(refused.contains("nats://HOST:PORT") && !refused.contains("s3cret"), "{refused}");
    }
}
