//! The binary as a library, so that tests drive the same parts.
