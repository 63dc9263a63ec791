//! The listeners of the server and their limits. It must not be reachable from other machines before access control
//! exists.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use super::concern::concern;
use crate::service::listen::{Limits, Patience, Slowest};

concern! {
    /// The listeners of the server and their limits.
    Http {
        /// Address and port. Loopback only: until access control is built, every client that reaches the port may do
        /// everything.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080)),
        /// Address and port of a second listener, on a thread of its own, for /livez, /readyz and /metrics alone;
        /// http.listen serves them too. Empty: none.
        admin: Admin = Admin::default(),
        /// Listen on an address that other machines can reach, because something in front protects it: for example a
        /// network of containers whose ports are published on loopback.
        reachable: bool = false,
        /// How long a client may take to send the head of a request, in milliseconds from the connection or from the
        /// head's first byte.
        header_timeout_ms: u64 = 10_000 => 100..=600_000,
        /// How long a client may keep a connection without a request on it, in milliseconds, after its first request.
        idle_timeout_ms: u64 = 60_000 => 100..=3_600_000,
        /// How long a client may take to send the body of a request, in milliseconds; also the interval at which the
        /// upload rate of an import is checked (slowest_bytes_per_s).
        body_timeout_ms: u64 = 30_000 => 100..=3_600_000,
        /// The interval, in milliseconds, at which the rate is checked at which a client reads its answers
        /// (slowest_bytes_per_s).
        write_timeout_ms: u64 = 30_000 => 100..=3_600_000,
        /// The lowest accepted rate of a client, in bytes a second: slower than any real connection, but enough to
        /// close connections that only occupy a place.
        slowest_bytes_per_s: u64 = 1_024 => 1..=1_073_741_824,
        /// Concurrent connections, as far as the limit of open files allows. A connection beyond them closes the one
        /// that was silent for longest; if all are in use, only health routes are answered on it, and everything else
        /// is 503.
        connections: usize = 4_096 => 1..=1_000_000,
        /// Concurrent running requests; more are answered 503 with Retry-After.
        requests: usize = 2_048 => 1..=1_000_000,
        /// Concurrent waiting requests: for a position, an outcome (Prefer: wait) or the rest of their body. They do
        /// not count as running. More do not wait: a request for a position is answered 503 with Retry-After, a request
        /// for an outcome is answered at once.
        waiting: usize = 8_192 => 1..=1_000_000,
        /// Whether every POST, PUT, PATCH and DELETE must have an Idempotency-Key; without one it is answered 400.
        key_required: bool = false,
        /// How long running requests may take when the server stops, in milliseconds.
        drain_ms: u64 = 10_000 => 0..=600_000,
    }
}

/// The address of a second listener, if there is to be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Admin(pub Option<SocketAddr>);

impl TryFrom<String> for Admin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| format!("`{text}` is not ADDRESS:PORT"))
    }
}

impl From<Admin> for String {
    fn from(admin: Admin) -> Self {
        admin.0.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// Connections beyond the bound for the health routes: more than any set of probes opens at once.
const SPARE: usize = 32;
/// Connections to the admin listener: probes, scrapers and operators.
const ADMINISTRATORS: usize = 64;

impl Http {
    pub(super) fn check(&self) -> Result<(), Error> {
        self.reached("http.listen", self.listen)?;
        let Some(admin) = self.admin.0 else {
            return Ok(());
        };
        if admin == self.listen && admin.port() != 0 {
            let why = format!("{admin} is also http.listen: choose another port, or leave http.admin empty");
            return Err(Error::Value { key: "http.admin", why });
        }
        self.reached("http.admin", admin)
    }

    fn reached(&self, key: &'static str, address: SocketAddr) -> Result<(), Error> {
        if self.reachable || address.ip().is_loopback() {
            return Ok(());
        }
        let why = format!(
            "{address} can be reached from other machines, and there is no access control yet: only a loopback address is allowed, \
             127.0.0.1 or [::1] (or http.reachable = true, if something in front protects it)"
        );
        Err(Error::Value { key, why })
    }

    /// How long clients may take.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience {
            head: Duration::from_millis(self.header_timeout_ms),
            idle: Duration::from_millis(self.idle_timeout_ms),
            write: Slowest::new(Duration::from_millis(self.write_timeout_ms), self.slowest_bytes_per_s),
        }
    }

    /// The limits of the main listener, for the given number of file handles.
    #[must_use]
    pub fn limits(&self, handles: usize) -> Limits {
        let spare = SPARE.min(handles.div_ceil(4));
        let connections = handles.saturating_sub(spare).clamp(1, self.connections);
        Limits { connections, spare, patience: self.patience(), drain: Duration::from_millis(self.drain_ms) }
    }

    /// The limits of the admin listener.
    #[must_use]
    pub fn admin_limits(&self) -> Limits {
        Limits { connections: ADMINISTRATORS, spare: 0, ..self.limits(ADMINISTRATORS) }
    }

    /// How many file handles the main listener needs.
    #[must_use]
    pub fn handles(&self) -> usize {
        self.connections.saturating_add(SPARE)
    }

    /// How many handles the listener for questions about the process may need.
    #[must_use]
    pub fn admin_handles(&self) -> usize {
        if self.admin.0.is_some() { ADMINISTRATORS } else { 0 }
    }
}
