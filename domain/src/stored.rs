//! How stored forms leave out what goes without saying.

/// Whether a value is what its absence means.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
