//! The consumer group of a role: each of its processes holds one row of the group, and the partitions are assigned to
//! the live rows. The assignment is only advice; the lease and the epoch of each partition's own row ensure that no two
//! processes write for one partition.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::consumer::{ConsumerKey, ConsumerRow, Lease};
use crate::record::Micros;
use crate::store::{Error, EventStore};

/// How many processes can share a role.
pub const MOST: u32 = 64;

/// A process's place among those that share a role.
pub struct Membership {
    store: Arc<dyn EventStore>,
    group: String,
    owner: String,
    lease: Duration,
    partitions: u32,
    share: watch::Sender<BTreeSet<u32>>,
}

impl Membership {
    /// A place in `group` for `owner`, which has to be unique among its processes. A process that is silent for `lease` is taken
    /// for gone. Nothing happens before [`Membership::run`].
    pub fn new(store: Arc<dyn EventStore>, group: &str, owner: &str, lease: Duration, partitions: u32) -> Self {
        Self {
            store,
            group: format!("members/{group}"),
            owner: owner.to_owned(),
            lease,
            partitions,
            share: watch::Sender::new(BTreeSet::new()),
        }
    }

    /// The partitions that this process ought to run, as it changes; none before it has a place.
    #[must_use]
    pub fn share(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.share.subscribe()
    }

    /// Keeps membership and assignment up to date until it is cancelled, then releases the membership. Temporary store
    /// errors are retried, and the assignment stays unchanged meanwhile; the leases of the partitions prevent two
    /// owners.
    pub async fn run(self, cancel: CancellationToken) {
        let mut place: Option<Lease> = None;
        while !cancel.is_cancelled() {
            match self.turn(place.take()).await {
                Ok((kept, share)) => {
                    place = kept;
                    self.share.send_if_modified(|now| {
                        let changed = *now != share;
                        if changed {
                            tracing::info!(
                                group = %self.group,
                                partitions = ?share,
                                "the partitions assigned to this process"
                            );
                        }
                        *now = share;
                        changed
                    });
                }
                Err(error) => {
                    tracing::warn!(
                        group = %self.group,
                        error = %error,
                        "the consumer-group membership cannot be renewed now; it is retried, and others take over if \
                         it ends"
                    )
                }
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(self.lease / 4) => {}
            }
        }
        if let Some(place) = place {
            // If the release fails, the membership expires by itself.
            drop(self.store.release(&place).await);
        }
    }

    async fn turn(&self, place: Option<Lease>) -> Result<(Option<Lease>, BTreeSet<u32>), Error> {
        let place = match place {
            Some(lease) => self.take(lease.key.partition).await?,
            None => None,
        };
        let place = match place {
            Some(row) => Some(row),
            None => self.find_place().await?,
        };
        let Some(place) = place else {
            tracing::warn!(
                group = %self.group,
                "the consumer group already has {MOST} members; this process stands by, nothing to do"
            );
            return Ok((None, BTreeSet::new()));
        };
        let rows = self.store.consumers(&self.group).await?;
        let alive = alive(&rows, self.store.lease_clock());
        Ok((Some(place.lease), share(&alive, &self.owner, self.partitions)))
    }

    async fn find_place(&self) -> Result<Option<ConsumerRow>, Error> {
        let rows = self.store.consumers(&self.group).await?;
        let own = rows.iter().find(|row| row.lease.owner == self.owner);
        let own = own.map(|row| row.lease.key.partition);
        for slot in own.into_iter().chain(0..MOST) {
            if let Some(row) = self.take(slot).await? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    async fn take(&self, slot: u32) -> Result<Option<ConsumerRow>, Error> {
        let key = ConsumerKey { name: self.group.clone(), partition: slot };
        let lease = Micros::try_from(self.lease.as_micros()).unwrap_or(Micros::MAX);
        self.store.acquire(&key, &self.owner, lease).await
    }
}

fn alive(rows: &[ConsumerRow], now: Micros) -> BTreeSet<&str> {
    rows.iter()
        .filter(|row| row.lease.lease_until > now && !row.lease.owner.is_empty())
        .map(|row| row.lease.owner.as_str())
        .collect()
}

/// Deals the partitions out: every process reckons the same, from the names alone.
fn share(alive: &BTreeSet<&str>, owner: &str, partitions: u32) -> BTreeSet<u32> {
    let Some(rank) = alive.iter().position(|name| *name == owner) else {
        return BTreeSet::new();
    };
    (0..partitions).filter(|partition| *partition as usize % alive.len() == rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_dealt_to_one() {
        let alive = BTreeSet::from(["a", "b", "c"]);
        let shares: Vec<_> = ["a", "b", "c"].map(|name| share(&alive, name, 16)).into();
        assert_eq!(shares.iter().map(BTreeSet::len).collect::<Vec<_>>(), [6, 5, 5]);
        let all: BTreeSet<_> = shares.into_iter().flatten().collect();
        assert_eq!(all, (0..16).collect());
        assert!(share(&alive, "d", 16).is_empty());
    }
}
