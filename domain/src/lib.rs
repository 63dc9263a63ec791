//! The rules of orders, stock, payments and their long processes: pure and synchronous.
