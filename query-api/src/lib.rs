//! The read side: HTTP over the read models, and the history of single orders. It only reads; its one other operation
//! is to start a rebuild of a read model.

pub mod diff;
pub mod history;
pub mod http;
