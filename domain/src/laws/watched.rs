//! When a law is promised: some laws hold after each event, others only after all events of a command, because one
//! command's events may describe one change in several steps. Every check of a stream folds it here, so that each law
//! is checked exactly where it is promised. Laws over all parts of a large state are checked once in as many events as
//! it has parts, and at the end of the stream.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Verdict, order, payment, stock};
use crate::aggregate::Aggregate;
use crate::order::Order;
use crate::payment::Payment;
use crate::stock::Stock;

/// States of up to so many parts are looked at as a whole after each event; larger ones once for as many events as they have parts, so that
/// a stream is not checked in the square of its length.
const FEW: usize = 64;

/// An aggregate whose streams have laws.
pub trait Lawful: Aggregate {
    /// What the laws of one step need to know of the state before it.
    type Before;

    /// Remembers that.
    fn before(&self, event: &Self::Event) -> Self::Before;

    /// The laws that hold after each event, as far as the step and what it touched can show: `earlier` is the event before it of the same
    /// command, if there is one.
    ///
    /// # Errors
    /// The first law that does not hold.
    fn after_event(before: &Self::Before, earlier: Option<&Self::Event>, event: &Self::Event, after: &Self) -> Verdict;

    /// The laws that hold after each event and are about all parts of the state together.
    ///
    /// # Errors
    /// The first law that does not hold.
    fn whole(&self) -> Verdict {
        Ok(())
    }

    /// How many parts [`Lawful::whole`] looks at.
    fn parts(&self) -> usize {
        0
    }

    /// The laws that hold once all events of a command are folded; those of [`Lawful::whole`] not among them.
    ///
    /// # Errors
    /// The first law that does not hold.
    fn after_batch(&self) -> Verdict;
}

/// A stream as it is folded under the eyes of its laws. It can be stored at the end of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: DeserializeOwned"))]
pub struct Watched<A: Lawful> {
    state: A,
    /// The last event of the batch that is being folded.
    #[serde(skip)]
    last: Option<A::Event>,
    /// Events since all parts were looked at together.
    since_whole: usize,
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
        Self { state, last: None, since_whole: 0 }
    }

    /// Folds an event.
    ///
    /// # Errors
    /// The first violated law of those that hold after each event. The event is folded anyway.
    pub fn fold(&mut self, event: A::Event) -> Verdict {
        let before = self.state.before(&event);
        self.state.evolve(&event);
        let verdict = A::after_event(&before, self.last.as_ref(), &event, &self.state);
        self.last = Some(event);
        self.since_whole += 1;
        let parts = self.state.parts();
        if parts > FEW && self.since_whole < parts {
            return verdict;
        }
        self.since_whole = 0;
        verdict.and_then(|()| self.state.whole())
    }

    /// Ends a batch: all events of one command are folded.
    ///
    /// # Errors
    /// The first law that does not hold.
    pub fn end_batch(&mut self) -> Verdict {
        self.last = None;
        self.state.after_batch()
    }

    /// Ends the stream: everything is checked again.
    ///
    /// # Errors
    /// The first violated law.
    pub fn end(&self) -> Verdict {
        self.state.after_batch()?;
        self.state.whole()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &A {
        &self.state
    }
}

impl Lawful for Order {
    type Before = Self;

    fn before(&self, _: &Self::Event) -> Self {
        self.clone()
    }

    fn after_event(before: &Self, _: Option<&Self::Event>, event: &Self::Event, after: &Self) -> Verdict {
        order::check(after)?;
        order::check_step(before, after)?;
        order::check_release(before, event, after)
    }

    fn after_batch(&self) -> Verdict {
        order::check(self)?;
        order::check_batch(self)
    }
}

impl Lawful for Payment {
    type Before = Self;

    fn before(&self, _: &Self::Event) -> Self {
        self.clone()
    }

    fn after_event(before: &Self, earlier: Option<&Self::Event>, event: &Self::Event, after: &Self) -> Verdict {
        payment::check_event(after)?;
        payment::check_step(before, earlier, event, after)
    }

    fn after_batch(&self) -> Verdict {
        payment::check(self)
    }
}

impl Lawful for Stock {
    type Before = stock::Touched;

    fn before(&self, event: &Self::Event) -> stock::Touched {
        stock::Touched::of(self, event)
    }

    fn after_event(before: &stock::Touched, _: Option<&Self::Event>, event: &Self::Event, after: &Self) -> Verdict {
        stock::check_totals(after)?;
        stock::check_step(before, event, after)
    }

    fn whole(&self) -> Verdict {
        stock::check_parts(self)
    }

    fn parts(&self) -> usize {
        self.reservations.len()
    }

    fn after_batch(&self) -> Verdict {
        stock::check_queue(self)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;
    use crate::ids::{LineId, ReservationId};
    use crate::stock::Event;
    use crate::stock::event::{LineShare, Received, ReservationExpired, Reserved};
    use crate::stock::state::{Held, HeldLine};

    fn reserved(number: u128) -> Event {
        Event::Reserved(Reserved {
            reservation_id: ReservationId(Uuid::from_u128(number)),
            order_id: None,
            lines: vec![LineShare { line_id: LineId(0), qty: 1 }],
            qty: 1,
            expires_at: None,
            forgotten_until: None,
        })
    }

    /// A SKU with this many open reservations.
    fn hot(open: u32) -> Watched<Stock> {
        let mut watched = Watched::<Stock>::default();
        let qty = open + 10;
        watched.fold(Event::Received(Received { qty, source_ref: None })).unwrap();
        for number in 1..=u128::from(open) {
            assert_eq!(watched.fold(reserved(number)), Ok(()));
            assert_eq!(watched.end_batch(), Ok(()));
        }
        watched
    }

    #[test]
    fn a_step_that_moves_the_total_and_not_its_reservation_is_found_at_once_however_many_are_open() {
        for open in [3, 3_000] {
            let mut watched = hot(open);
            assert_eq!(watched.end(), Ok(()));
            let gone = ReservationId(Uuid::from_u128(2));
            // The reservation holds less than the totals count for it: its end subtracts exactly what it holds.
            watched.state.reservations.insert(
                gone,
                Held {
                    order_id: None,
                    lines: [(LineId(0), HeldLine { reserved: 2, backordered: 0 })].into(),
                    expires_at: None,
                    promise: 2,
                },
            );
            let expired = ReservationExpired { reservation_id: gone, order_id: None, qty: 1, backordered: 0 };
            let found = watched.fold(Event::ReservationExpired(expired)).unwrap_err();
            assert_eq!(found.law, super::super::stock::SUMS.0);
        }
    }

    #[test]
    fn what_no_step_shows_is_found_once_in_as_many_events_as_there_are_parts_and_at_the_end() {
        let mut watched = hot(3_000);
        watched.state.reservations.remove(&ReservationId(Uuid::from_u128(7)));
        assert!(watched.end().is_err());
        let found = (1..=3_001).position(|number| watched.fold(reserved(10_000 + number)).is_err());
        assert!(found.is_some());
    }

    #[test]
    fn looking_at_all_parts_costs_no_more_than_the_events_themselves() {
        let mut watched = hot(3_000);
        let mut looked = 0;
        for number in 1..=1_000 {
            watched.fold(reserved(20_000 + number)).ok();
            looked += usize::from(watched.since_whole == 0);
        }
        assert!(looked <= 1, "{looked} times");
    }
}
