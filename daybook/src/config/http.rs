//! Where the server listens and what it bears. It must not be reachable from other machines before access control exists.

use std::net::SocketAddr;
use std::time::Duration;

use super::Error;
use super::concern::concern;

concern! {
    /// Where the server listens and what it bears.
    Http {
        /// Address and port. Loopback only: until access control is built, whoever reaches the port may do everything.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080)),
        /// Listen where other machines can reach it all the same, because something in front keeps strangers away: a network of
        /// containers whose ports are published on loopback.
        reachable: bool = false,
        /// How long a client may take to send a request's head.
        header_timeout_ms: u64 = 10_000,
        /// How long a client may take to send a request's body.
        body_timeout_ms: u64 = 30_000,
        /// Connections at once; more wait in the system's queue.
        connections: usize = 4_096,
        /// Requests at once; more are answered 503 with Retry-After.
        requests: usize = 2_048,
        /// How long requests that are being answered may take when the server stops.
        drain_ms: u64 = 10_000,
    }
}

impl Http {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.reachable || self.listen.ip().is_loopback() {
            return Ok(());
        }
        let why = format!(
            "{} can be reached from other machines, and there is no access control yet: only a loopback address is allowed, \
             127.0.0.1 or [::1] (or http.reachable = true, where something in front keeps strangers away)",
            self.listen
        );
        Err(Error::Value { key: "http.listen", why })
    }

    /// How long draining may take.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
