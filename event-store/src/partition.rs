//! Partitions: how the log is divided among workers, so that each worker receives all its records in order through one
//! `Door`. The hash function and the counts are fixed for a log: opening a store with other ones is refused.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::record::{Record, StreamId};

/// Into how many partitions the streams of a log fall.
pub const STREAMS: u32 = 16;
/// Into how many partitions the correlations of a log fall.
pub const CORRELATIONS: u32 = 16;
/// The function's name, kept with a log: the first 8 bytes, big-endian, of SHA-256 over the parts, each preceded by its length
/// in bytes (u32 BE), modulo the count.
pub const HASH: &str = "sha256-8";

/// The entity that a record's work belongs to (an order, a reservation); supplied by the caller, who can decode
/// records.
pub type Correlate = Arc<dyn Fn(&Record) -> Uuid + Send + Sync>;

/// The stream partition of a stream.
#[must_use]
pub fn of_stream(stream: &StreamId) -> u32 {
    of(&[stream.tenant.as_bytes(), stream.category.as_bytes(), stream.id.as_bytes()], STREAMS)
}

/// The correlation partition of a tenant's correlation.
#[must_use]
pub fn of_correlation(tenant: &str, correlation: Uuid) -> u32 {
    of(&[tenant.as_bytes(), correlation.as_bytes()], CORRELATIONS)
}

fn of(parts: &[&[u8]], count: u32) -> u32 {
    let mut hasher = Sha256::new();
    for part in parts {
        // Names are bounded far below 4 GiB.
        hasher.update((part.len() as u32).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    (u64::from_be_bytes(first) % u64::from(count)) as u32
}

/// Which records come through.
#[derive(Clone)]
pub enum Door {
    /// All of them.
    All,
    /// Those of the streams of one partition.
    Streams(u32),
    /// Those whose work belongs to one correlation partition.
    Correlations(u32, Correlate),
}

impl Door {
    /// Whether a record comes through.
    #[must_use]
    pub fn admits(&self, record: &Record) -> bool {
        match self {
            Self::All => true,
            Self::Streams(partition) => of_stream(&record.stream) == *partition,
            Self::Correlations(partition, correlate) => {
                of_correlation(&record.stream.tenant, correlate(record)) == *partition
            }
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "All"),
            Self::Streams(partition) => write!(f, "Streams({partition})"),
            Self::Correlations(partition, _) => write!(f, "Correlations({partition})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_vectors_hold() {
        let of = |id: &str| of_stream(&StreamId::new("acme", "order", id));
        assert_eq!(["a", "b", "c", "main/caf\u{e9}\0"].map(of), [5, 7, 9, 7]);
        let correlation = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(of_correlation("acme", correlation), 9);
    }

    #[test]
    fn streams_spread_evenly() {
        let mut counts = [0_u32; STREAMS as usize];
        for n in 0..16_000 {
            counts[of_stream(&StreamId::new("acme", "order", format!("{n}"))) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
