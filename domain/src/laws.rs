//! The laws of DOMAIN as functions over folded states: what must hold after every event.
