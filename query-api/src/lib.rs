//! The read side: HTTP over the read models, and the history of single orders.
