//! The runner, the payment worker and the sandbox on a real store: ways of orders, crashes at random moments, faults of the provider.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod disputed;
mod endings;
mod faulty;
mod holding;
mod ledger;
mod lossy;
mod names;
mod paused;
mod pools;
mod refused;
mod runs;
mod sandbox;
mod services;
mod shop;
mod timed;
mod unreadable;
mod weather;
