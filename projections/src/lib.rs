//! The read models: a table, an apply and the queries of each.
