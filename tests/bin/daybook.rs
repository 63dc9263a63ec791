//! The product's entry point, for the tests that start it as a process.

fn main() {}
