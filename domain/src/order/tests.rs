//! The rules of an order, one by one, told as given, when, then.
