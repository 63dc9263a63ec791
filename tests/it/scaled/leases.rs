//! Who is at work: what the rows of the store say by which the processes of a role share its work. A fault that befalls a process which
//! only stands by shows nothing, so a test asks here whom to kill.

use std::time::{Duration, Instant};

use event_store::EventStore;
use event_store::consumer::{ConsumerKey, ConsumerRow};

use super::system::System;

/// How long a take-over may take on a machine that has much else to do.
const WITHIN: Duration = Duration::from_secs(120);

/// The rows by which the processes of a role share its work.
pub(crate) fn rows_of(role: &str) -> Option<String> {
    match role {
        "relay" | "projections" | "sagas" | "payments" => Some(role.to_owned()),
        "ordering" | "inventory" => Some(format!("service/{role}")),
        _ => None,
    }
}

/// The row of a role's first partition, or of its only place.
pub(crate) async fn first_row(log: &dyn EventStore, role: &str) -> ConsumerRow {
    let key = ConsumerKey { name: rows_of(role).expect("a role that is held"), partition: 0 };
    log.consumer(&key).await.unwrap().expect("somebody held it")
}

impl System {
    /// The living process that a row names.
    pub(crate) fn holder(&self, role: &str, row: &ConsumerRow) -> Option<String> {
        let names = self.cluster.replicas(role).unwrap();
        names.into_iter().find(|name| {
            let pid = self.cluster.pid(name);
            pid.is_some_and(|pid| row.lease.owner.contains(&format!("/{pid}/")))
        })
    }

    /// Waits until living processes have every partition of a role, and none of them is the one that held the first as `before` says.
    pub(crate) async fn await_taken_over(&self, log: &dyn EventStore, role: &str, before: &ConsumerRow) {
        let gone = &before.lease;
        let since = Instant::now();
        loop {
            let rows = log.consumers(&gone.key.name).await.unwrap();
            let taken = |row: &ConsumerRow| {
                row.lease.owner != gone.owner
                    && row.lease.lease_until > log.lease_clock()
                    && self.holder(role, row).is_some()
            };
            let left: Vec<_> = rows.iter().filter(|row| !taken(row)).collect();
            if left.is_empty() && rows[0].lease.epoch > gone.epoch {
                return;
            }
            assert!(since.elapsed() < WITHIN, "nobody took over from {gone:?}: {left:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
