//! The formats of everything that crosses a wire or a disk. The crate knows the domain and nothing else of Daybook, and
//! does no I/O.

pub mod command;
pub mod http;
pub mod metadata;
pub mod registry;
pub mod stream;
mod upcast;

pub use metadata::{Actor, Metadata};
pub use registry::{Encoded, Stored, StoredEvent};
