//! Imports orders in bulk: content → rows by class → a plan → its run. Everything up to the plan is pure, so that the
//! same content always gives the same orders, the same ids and the same answers. It must never decide anything that an
//! aggregate decides.

pub mod content;
pub mod keys;
mod london;
pub mod orders;
pub mod plan;
pub mod price;
pub mod retail;
pub mod run;
pub mod service;
mod table;
pub mod tally;
mod whole;

pub use content::{Content, Layout};
pub use plan::{Options, Plan};
