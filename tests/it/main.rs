//! The integration suite: real stores, real HTTP, real processes. One binary, one module a capability.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod architecture;
mod tidy;
