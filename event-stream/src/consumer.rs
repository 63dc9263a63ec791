//! Reads the log from the bus: an [`event_store::Feed`] for every partition, which falls back to the store wherever the
//! bus has no message, or none that can be trusted.
//!
//! A message counts if it comes from this store (incarnation), has the right sequence (position − base), matches its
//! hash, and follows the last message: its previous position in the partition must not be beyond the last one seen.
//! Older messages are skipped, and a gap is read from the store. The first message of each subscription, and one each
//! second after that, is compared with the store's own hash; if it differs, the generation is foreign, and the store is
//! read until a newer generation begins.
//!
//! JetStream keeps no consumer state: a subscription begins after our own position and is discarded when it is silent.
//! Whenever the store's head is beyond the last seen position for longer than [`Options::silence`] (NATS unreachable,
//! no relay, a lost stream or consumer), the code that fills a gap reads the store, until the relay moves again.

mod bus;
mod door;
mod live;
mod pending;

pub use bus::{Bus, Options, Stats};
