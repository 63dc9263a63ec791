//! Reads one stream of the log strictly: all code that folds a stream or lists its events uses this crate, so that all
//! readers stop at the same record. A record that cannot be read makes its own stream unreadable from there on, and no
//! other stream, until a later record of that stream sets it aside.

mod decode;
mod fold;
mod list;

pub use decode::{Read, Unreadable, chain, decode, event};
pub use fold::{Start, Until, fold, fold_here, fold_knowing};
pub use list::{Entry, after, asides, asides_after, entries, first_unreadable, sets_aside};

/// Why a stream cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] event_store::Error),
    /// One of its records cannot be read, and none sets it aside. Boxed, since it is rare and large.
    #[error(transparent)]
    Unreadable(#[from] Box<Unreadable>),
}
