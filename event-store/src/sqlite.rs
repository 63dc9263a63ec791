//! The event store on SQLite, for one process that writes and any number that read beside it.
//!
//! Two files: `log.sqlite` holds the records in position order, the head and the consumer rows, and is the source of
//! truth; `index.sqlite` maps streams and commands to positions, and is a cache. One thread writes the log and commits
//! for all waiting callers (`writer`), one writes the index (`indexer`), one proves the log once (`prover`), a small
//! pool of connections reads (`readers`). Records that are durable in the log but not yet in the index are in memory
//! (`tail`). An append must not be answered before its commit is synced, and an answer from the index must agree with
//! the log or with the checksums of the index (`sums`).

mod backup;
mod checkpointer;
mod commit;
mod condition;
mod consumers;
mod copier;
mod filter;
mod fit;
mod group;
mod index;
mod index_state;
mod index_view;
mod indexer;
mod lock;
mod look_up;
mod open;
mod options;
mod prover;
mod queue;
mod read_only;
mod reader;
mod readers;
mod row_writer;
mod rows;
mod schema;
mod shared;
mod snapshots;
mod source;
mod store;
mod sums;
mod tail;
mod writer;

pub use crate::clock::{Clock, system_clock};
pub use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_EVENT_BYTES};
pub use backup::back_up;
pub use condition::Condition;
pub use copier::Copier;
pub use fit::set_aside;
pub(crate) use index_view::IndexView;
pub use lock::{Holder, holder};
pub use open::OpenError;
pub use options::{Options, Progress, ProgressHook, Step, StepHook, SyncHook};
pub use read_only::ReadOnly;
pub use store::Store;
