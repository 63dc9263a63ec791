//! The write side: HTTP in front, the executor behind.

pub mod import;
