//! The write side: HTTP in front, the executor behind. Rules are in `domain`; nothing here decides what may happen to an order.

mod dispatch;
pub mod execute;
pub mod import;
