//! Long processes: their events, their state, and what they ask for next. Pure: `sagas/` runs them.

pub mod event;

pub use event::Event;
