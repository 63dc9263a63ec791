//! Folded aggregates of any type behind one trait, so that a batch can contain several types. Only the aggregate's own
//! `evolve` changes the state.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use domain::{Aggregate, Event, stream};
use schemas::{Stored, StoredEvent as _};
use serde::Serialize;

/// The version of folds of which no snapshot is kept.
pub(super) const NO_SNAPSHOTS: u32 = 0;

/// A shared state for callers.
pub(super) type State = Arc<dyn Any + Send + Sync>;

/// A state that can be moved on.
pub(super) trait Fold: Any + Send + Sync {
    /// Moves past an event; one of another type changes nothing.
    fn apply(&mut self, event: &Event);

    /// The current state. It is copied only if this fold changes while a caller still holds the state.
    fn shown(&self) -> State;

    /// An independent copy of this fold.
    fn branch(&self) -> Box<dyn Fold>;

    /// The state's bytes.
    fn write(&self) -> Result<Bytes, serde_json::Error>;

    /// How many bytes that would be. It takes as long as writing them and no memory.
    fn size(&self) -> usize;

    fn as_any(&self) -> &dyn Any;

    fn as_any_mut(&mut self) -> &mut dyn Any;
}

struct Folded<A>(Arc<A>);

impl<A: Stored> Fold for Folded<A> {
    fn apply(&mut self, event: &Event) {
        if let Some(event) = <A as Aggregate>::Event::of(event) {
            Arc::make_mut(&mut self.0).evolve(event);
        }
    }

    fn shown(&self) -> State {
        self.0.clone()
    }

    fn branch(&self) -> Box<dyn Fold> {
        Box::new(Self(self.0.clone()))
    }

    fn write(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(&*self.0).map(Into::into)
    }

    fn size(&self) -> usize {
        size(&*self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// How many bytes a state has as JSON.
pub(super) fn size(state: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // Counting cannot fail, and a state that has no bytes is small.
    drop(serde_json::to_writer(&mut counted, state));
    counted.0
}

/// Counts the bytes written to it.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The state, if it is of this type.
pub(super) fn state<A: Stored>(fold: &dyn Fold) -> Option<&A> {
    fold.as_any().downcast_ref::<Folded<A>>().map(|folded| &*folded.0)
}

/// The state to be moved on, if it is of this type.
pub(super) fn state_mut<A: Stored>(fold: &mut dyn Fold) -> Option<&mut A> {
    fold.as_any_mut().downcast_mut::<Folded<A>>().map(|folded| Arc::make_mut(&mut folded.0))
}

type Read = fn(&[u8]) -> Result<Box<dyn Fold>, serde_json::Error>;

/// What an aggregate's folds begin with.
#[derive(Clone, Copy)]
pub(super) struct Type {
    /// The category of its streams.
    pub(super) category: &'static str,
    /// The version of its fold.
    pub(super) fold: u32,
    /// A fold of no event.
    pub(super) fresh: fn() -> Box<dyn Fold>,
    /// A fold from its bytes.
    pub(super) read: Read,
}

impl Type {
    /// How the streams of a category are folded, if they are.
    pub(super) fn of_category(category: &str) -> Option<Self> {
        match category {
            stream::ORDER => Some(Self::of::<domain::order::Order>()),
            stream::PAYMENT => Some(Self::of::<domain::payment::Payment>()),
            stream::STOCK => Some(Self::of::<domain::stock::Stock>()),
            stream::RESERVATION => Some(Self::of::<domain::reservation::Reservation>()),
            stream::REFERENCE => Some(Self::of::<domain::reference::Reference>()),
            stream::IMPORT => Some(Self::of::<domain::import::Import>()),
            _ => None,
        }
    }

    pub(super) fn of<A: Stored>() -> Self {
        Self {
            category: A::CATEGORY,
            fold: A::FOLD,
            fresh: || Box::new(Folded(Arc::new(A::default()))),
            read: |bytes| {
                let state: A = serde_json::from_slice(bytes)?;
                Ok(Box::new(Folded(Arc::new(state))))
            },
        }
    }
}
