//! The newest of what took effect, so that a stream that sells for years keeps a state of the same size.
//! It never decides alone whether something takes effect twice: the store never runs a command id a second time, and units can only
//! leave a reservation that still holds them. This memory is for the same thing asked again under another command id.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The newest `N` of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Recent<T, const N: usize>(VecDeque<T>);

impl<T, const N: usize> Default for Recent<T, N> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq, const N: usize> Recent<T, N> {
    /// Remembers one more, and forgets the oldest where it is one too many.
    pub fn remember(&mut self, newest: T) {
        if self.0.len() >= N {
            self.0.pop_front();
        }
        self.0.push_back(newest);
    }

    /// Forgets what is no longer so.
    pub fn forget(&mut self, over: impl Fn(&T) -> bool) {
        self.0.retain(|known| !over(known));
    }

    /// The newest of which something is true, to be corrected.
    pub fn find_mut(&mut self, sought: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.0.iter_mut().rev().find(|known| sought(known))
    }

    /// Whether it is remembered.
    #[must_use]
    pub fn holds(&self, sought: &T) -> bool {
        self.0.iter().rev().any(|known| known == sought)
    }

    /// The remembered, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().rev()
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
