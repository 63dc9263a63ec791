//! What crosses a wire or a disk. It knows the domain and nothing else of Daybook, and never reads or writes by itself.

pub mod command;
pub mod http;
pub mod metadata;
pub mod registry;
pub mod stream;
mod upcast;

pub use metadata::{Actor, Metadata};
pub use registry::{Encoded, Stored, StoredEvent};
