//! Reading the log from the bus: a [`event_store::Feed`] for every door, which reads the store wherever the bus has nothing, or nothing that can
//! be believed.
//!
//! A message counts if it comes from this store (incarnation), stands where it belongs (sequence = position − base), is what its hash
//! says and follows what was seen: its previous position in the door's partition is not beyond it. Older ones are skipped, a hole is
//! read from the store. The first message of each subscription, and one each second after, is compared with the store's own hash; one
//! that differs makes the generation foreign, and the store is read until there is a newer one.
//!
//! JetStream remembers nothing for us: a subscription begins after our own position and is thrown away when it is silent. Whenever
//! the store's head is beyond what was seen for longer than [`Options::silence`] (NATS away, no relay, a stream or a consumer lost),
//! the store is read by the same code that heals a hole, until the relay moves again.

mod bus;
mod door;
mod live;
mod pending;

pub use bus::{Bus, Options, Stats};
