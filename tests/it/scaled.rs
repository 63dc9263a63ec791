//! The scaled system: the services of compose.yaml, and each role in processes of its own (deploy/compose.roles.yaml), with real PostgreSQL
//! and NATS, under load while something breaks. Every test shows that its fault happened, and afterwards that nothing was lost, doubled or
//! left behind.

mod broker;
mod hot_sku;
mod leases;
mod logged;
mod moved;
mod paused;
mod roles;
mod shipped;
mod stores;
pub(crate) mod system;
mod users;
