//! When a law is promised: some hold after each event, some only once all events of a command are folded, since one command's events may
//! say one after the other what is true of them together. All who check a stream fold it here, so that each law is checked exactly
//! where it is promised.

use super::{Verdict, order, payment, stock};
use crate::aggregate::Aggregate;
use crate::order::Order;
use crate::payment::Payment;
use crate::stock::Stock;

/// An aggregate whose streams have laws.
pub trait Lawful: Aggregate {
    /// The laws that hold after each event: `earlier` is the event before it of the same command, if there is one.
    ///
    /// # Errors
    /// The first law that does not hold.
    fn after_event(before: &Self, earlier: Option<&Self::Event>, event: &Self::Event, after: &Self) -> Verdict;

    /// The laws that hold once all events of a command are folded; those that hold after each event among them.
    ///
    /// # Errors
    /// The first law that does not hold.
    fn after_batch(&self) -> Verdict;
}

/// A stream as it is folded under the eyes of its laws.
#[derive(Clone, Debug)]
pub struct Watched<A: Lawful> {
    state: A,
    /// The last event of the batch that is being folded.
    last: Option<A::Event>,
}

impl<A: Lawful> Default for Watched<A> {
    fn default() -> Self {
        Self::of(A::default())
    }
}

impl<A: Lawful> Watched<A> {
    /// A stream that stands somewhere already, at the end of a batch.
    #[must_use]
    pub fn of(state: A) -> Self {
        Self { state, last: None }
    }

    /// Folds an event.
    ///
    /// # Errors
    /// The first law of those that hold after each event that does not. The event is folded all the same.
    pub fn fold(&mut self, event: A::Event) -> Verdict {
        let before = self.state.clone();
        self.state.evolve(&event);
        let verdict = A::after_event(&before, self.last.as_ref(), &event, &self.state);
        self.last = Some(event);
        verdict
    }

    /// Ends a batch: all events of one command are folded.
    ///
    /// # Errors
    /// The first law that does not hold.
    pub fn end_batch(&mut self) -> Verdict {
        self.last = None;
        self.state.after_batch()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &A {
        &self.state
    }
}

impl Lawful for Order {
    fn after_event(before: &Self, _: Option<&Self::Event>, _: &Self::Event, after: &Self) -> Verdict {
        order::check(after)?;
        order::check_step(before, after)
    }

    fn after_batch(&self) -> Verdict {
        order::check(self)
    }
}

impl Lawful for Payment {
    fn after_event(before: &Self, earlier: Option<&Self::Event>, event: &Self::Event, after: &Self) -> Verdict {
        payment::check_event(after)?;
        payment::check_step(before, earlier, event, after)
    }

    fn after_batch(&self) -> Verdict {
        payment::check(self)
    }
}

impl Lawful for Stock {
    fn after_event(_: &Self, _: Option<&Self::Event>, _: &Self::Event, after: &Self) -> Verdict {
        stock::check_event(after)
    }

    fn after_batch(&self) -> Verdict {
        stock::check(self)
    }
}
