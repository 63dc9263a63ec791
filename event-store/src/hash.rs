//! The hash chain: what a leaf covers and how the chain goes on. The golden vectors below hold for every backend.
