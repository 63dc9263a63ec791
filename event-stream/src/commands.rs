//! The queue of commands between services: one work-queue stream, one subject and one durable consumer for each service.
//!
//! A command is delivered at least once: again after a restart, after a lost acknowledgement, after its time ran out.
//! So its executor must be idempotent by the command's id. The server drops repetitions of an id for a short time (see
//! `queue`), which saves work and guarantees nothing. If a queue is lost with its server, its commands are lost, by
//! design: a sender repeats its command when the answer that it waits for (an event in the log) does not arrive. Only
//! the log is the source of truth.

mod deliveries;
mod queue;

pub use deliveries::{Deliveries, Delivery};
pub use queue::{MAX_BODY, Options, PutAside, Queue, ReceiveOptions, SendError};
