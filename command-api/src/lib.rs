//! The write side: HTTP in front, the executor behind. The rules are in `domain`; nothing here decides what may happen
//! to an order.

pub mod aside;
pub mod claims;
mod dispatch;
pub mod execute;
pub mod http;
pub mod import;
mod payments;
pub mod verdict;
