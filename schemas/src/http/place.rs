//! A request's place among the running requests, which it returns while it only waits. Both sides of the API wait, and
//! neither knows the counter; nothing here blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many requests are worked on, how many wait, and how many may.
#[derive(Debug)]
pub struct Places {
    running: AtomicUsize,
    waiting: AtomicUsize,
    most_running: usize,
    most_waiting: usize,
}

impl Places {
    /// At most so many at once of each.
    #[must_use]
    pub fn new(most_running: usize, most_waiting: usize) -> Arc<Self> {
        let (running, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { running, waiting, most_running, most_waiting })
    }

    /// Takes a place, unless all are taken.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Arc<Place>> {
        let place = || Arc::new(Place { places: Arc::clone(self), held: AtomicBool::new(true) });
        take(&self.running, self.most_running).then(place)
    }

    /// How many requests are worked on.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

fn take(counter: &AtomicUsize, most: usize) -> bool {
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < most).then_some(taken + 1)).is_ok()
}

/// The place of one request. Returned when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    held: AtomicBool,
}

impl Place {
    /// Gives the place back while the request waits; `None` if too many wait already, or this one does.
    #[must_use]
    pub fn wait(self: &Arc<Self>) -> Option<Waiting> {
        if !take(&self.places.waiting, self.places.most_waiting) {
            return None;
        }
        if !self.held.swap(false, Ordering::AcqRel) {
            self.places.waiting.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        self.places.running.fetch_sub(1, Ordering::AcqRel);
        Some(Waiting(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if *self.held.get_mut() {
            self.places.running.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A waiting request without its place. When it is dropped, the request continues at once, even if all places are
/// taken: it has done most of its work, and later requests are refused instead.
#[derive(Debug)]
pub struct Waiting(Arc<Place>);

impl Waiting {
    /// Takes a place again before the work begins; false where there is none: the request has to be turned away then.
    #[must_use]
    pub fn back(self) -> bool {
        let Place { places, held } = &*self.0;
        let back = take(&places.running, places.most_running);
        if back {
            held.store(true, Ordering::Release);
        }
        // Without a free place, the request continues beyond the bound, for the moment until a later request is
        // refused.
        back
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Place { places, held } = &*self.0;
        if !held.swap(true, Ordering::AcqRel) {
            places.running.fetch_add(1, Ordering::AcqRel);
        }
        places.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn who_waits_takes_no_place_and_comes_back_to_one() {
        let places = Places::new(1, 1);
        let first = places.take().unwrap();
        assert!(places.take().is_none(), "all places are taken");
        let waiting = first.wait().unwrap();
        assert!(first.wait().is_none(), "it waits already");
        let second = places.take().unwrap();
        assert!(second.wait().is_none(), "one may wait");
        drop(waiting);
        assert_eq!((places.running(), places.waiting()), (2, 0), "the first one goes on, beyond the bound");
        drop(second);
        assert!(places.take().is_none(), "the first one is still there");
        drop(first);
        assert_eq!(places.running(), 0);
    }

    #[test]
    fn who_has_not_begun_comes_back_only_where_there_is_a_place() {
        let places = Places::new(1, 1);
        let first = places.take().unwrap();
        let waiting = first.wait().unwrap();
        let second = places.take().unwrap();
        assert!(!waiting.back());
        drop((first, second));
        assert_eq!((places.running(), places.waiting()), (0, 0));
        let third = places.take().unwrap();
        assert!(third.wait().unwrap().back());
        assert_eq!((places.running(), places.waiting()), (1, 0));
    }

    #[test]
    fn a_request_that_goes_while_it_waits_leaves_nothing_behind() {
        let places = Places::new(2, 2);
        let place = places.take().unwrap();
        let waiting = place.wait().unwrap();
        drop(place);
        drop(waiting);
        assert_eq!((places.running(), places.waiting()), (0, 0));
    }
}
