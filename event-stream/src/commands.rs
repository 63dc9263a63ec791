//! The queue of commands between services: one work-queue stream, one subject and one durable consumer for each service.
//!
//! A command is delivered at least once: again after a restart, after an acknowledgement that was lost, after its time ran out. Whoever
//! executes it is idempotent by its id. The server drops the repetition of an id within two minutes, which saves work and promises
//! nothing. A queue that is lost with its server loses the commands on it, by design: who sent one sends it again when the answer that
//! it waits for (an event in the log) does not come. Nothing but the log is the truth.

mod deliveries;
mod queue;

pub use deliveries::{Deliveries, Delivery};
pub use queue::{MAX_BODY, Options, PutAside, Queue, ReceiveOptions, SendError};
