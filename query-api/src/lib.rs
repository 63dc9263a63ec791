//! The read side: HTTP over the read models, and the history of single orders. It only reads: the one thing that can be asked of it
//! beside that is to build a read model anew.

pub mod diff;
pub mod history;
pub mod http;
