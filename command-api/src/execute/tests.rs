//! The executor on a real store.
