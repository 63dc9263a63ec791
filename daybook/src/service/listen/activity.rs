//! The activity of a connection as seen by the server: whether a request on it is being answered, and since when the
//! server waits for the client. This determines when a client has been silent or slow for too long, and which
//! connection is closed first when there are too many. It must never end a connection while the server itself is what
//! the client waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::{Pace, Slowest};

/// Data that arrived on a connection within this time may not have been seen yet.
const FRESH: Duration = Duration::from_millis(20);
/// How long such a connection is given for that.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From connecting, or from the first byte of a request, to the end of the request's head.
    pub head: Duration,
    /// From one request to the next.
    pub idle: Duration,
    /// To take its answers.
    pub write: Slowest,
}

impl Patience {
    /// The shortest of them: a check at this interval is always in time.
    fn shortest(&self) -> Duration {
        self.head.min(self.idle).min(self.write.period)
    }
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request came, or only a part of its head.
    Head,
    /// Nothing came after the last request.
    Idle,
    /// The client does not read its answers.
    Write,
}

impl Overdue {
    /// Its label in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Write => "write",
        }
    }
}

/// What one connection does.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    given_up: Notify,
    stays: Notify,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::new(Instant::now())), given_up: Notify::new(), stays: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head of a request has come, on a connection that carries one request at a time or `many`.
    pub(super) fn begin(&self, many: bool) {
        self.state().begin(Instant::now(), many);
    }

    /// A request is answered: all of the answer is handed over to be written.
    pub(super) fn end(&self) {
        self.state().end(Instant::now());
    }

    /// More of a request's body is waited for.
    pub(super) fn body_awaited(&self) {
        self.state().bodies += 1;
    }

    /// More of a request's body has arrived, or the server no longer waits for it.
    pub(super) fn body_came(&self) {
        self.state().body_came(Instant::now());
    }

    /// Bytes were read.
    pub(super) fn read(&self) {
        self.state().read(Instant::now());
    }

    /// Bytes were written.
    pub(super) fn wrote(&self, bytes: usize) {
        self.state().wrote(Instant::now(), bytes);
    }

    /// There are bytes to write, and the client takes none now.
    pub(super) fn write_blocked(&self) {
        self.state().write_blocked(Instant::now());
    }

    /// Everything is written.
    pub(super) fn flushed(&self) {
        self.state().flushed(Instant::now());
    }

    /// When to look again whether the client has taken too long.
    pub(super) fn look_at(&self, patience: &Patience) -> Instant {
        self.state().look_at(Instant::now(), patience)
    }

    /// Whether the client has taken too long.
    pub(super) fn overdue(&self, patience: &Patience) -> Option<Overdue> {
        self.state().overdue(Instant::now(), patience)
    }

    /// Since when no request is worked on, if none is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.state().idle_since()
    }

    /// Since when the server waits for the client, if it does.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.state().waits_since()
    }

    /// Asks that the connection be ended, since another needs its place.
    pub(super) fn give_up(&self) {
        self.state().leaving = true;
        self.given_up.notify_one();
    }

    /// Completes when the connection was asked to close.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// When to check whether it leaves, after it was asked: at once, or a moment later if it moved just before. The
    /// runtime reads its clock and its sockets together, so data that had arrived by then has been seen.
    pub(super) fn leaves_at(&self) -> Instant {
        let now = Instant::now();
        if self.state().moved + FRESH > now { now + LAST_LOOK } else { now }
    }

    /// Whether it is still as idle as when it was chosen for closing. If not, it stays, and the caller learns this.
    pub(super) fn leaves(&self) -> bool {
        let mut state = self.state();
        state.leaving = false;
        if state.waits_since().is_some() {
            return true;
        }
        drop(state);
        self.stays.notify_one();
        false
    }

    /// Comes back when the connection stays.
    pub(super) async fn stays(&self) {
        self.stays.notified().await;
    }
}

#[derive(Debug)]
struct State {
    /// Requests that are worked on or being answered.
    requests: usize,
    /// Requests that wait for their body.
    bodies: usize,
    /// Whether one connection carries several requests at once.
    many: bool,
    /// When something moved last.
    moved: Instant,
    /// When the last answer was written. Other data from the client meanwhile does not count as a request.
    ended: Instant,
    /// Since when a head is waited for that has begun, or that is the first.
    head: Option<Instant>,
    /// How fast the client reads pending output, while there is some.
    writing: Option<Pace>,
    /// Whether it was asked to go.
    leaving: bool,
}

impl State {
    fn new(now: Instant) -> Self {
        let (head, writing) = (Some(now), None);
        Self { requests: 0, bodies: 0, many: false, moved: now, ended: now, head, writing, leaving: false }
    }

    fn begin(&mut self, now: Instant, many: bool) {
        self.requests += 1;
        self.many |= many;
        self.head = None;
        self.moved = now;
    }

    fn end(&mut self, now: Instant) {
        self.requests -= 1;
        (self.moved, self.ended) = (now, now);
    }

    fn body_came(&mut self, now: Instant) {
        self.bodies -= 1;
        self.moved = now;
    }

    fn read(&mut self, now: Instant) {
        self.moved = now;
        if self.requests == 0 && !self.many {
            self.head.get_or_insert(now);
        }
    }

    fn wrote(&mut self, now: Instant, bytes: usize) {
        self.moved = now;
        if let Some(pace) = &mut self.writing {
            pace.moved(bytes);
        }
    }

    fn write_blocked(&mut self, now: Instant) {
        self.writing.get_or_insert_with(|| Pace::begin(now));
    }

    fn flushed(&mut self, now: Instant) {
        if self.writing.take().is_some() {
            (self.moved, self.ended) = (now, now);
        }
    }

    fn look_at(&self, now: Instant, patience: &Patience) -> Instant {
        let latest = now + patience.shortest();
        let due = match (&self.writing, self.head) {
            (Some(pace), _) => pace.ends(patience.write),
            (None, _) if self.requests > 0 => latest,
            (None, Some(since)) => since + patience.head,
            (None, None) => self.ended + patience.idle,
        };
        due.min(latest)
    }

    fn overdue(&mut self, now: Instant, patience: &Patience) -> Option<Overdue> {
        if let Some(pace) = &mut self.writing {
            return pace.too_slow(now, patience.write).then_some(Overdue::Write);
        }
        if self.requests > 0 {
            return None;
        }
        match self.head {
            Some(since) => (now >= since + patience.head).then_some(Overdue::Head),
            None => (now >= self.ended + patience.idle).then_some(Overdue::Idle),
        }
    }

    fn idle_since(&self) -> Option<Instant> {
        (self.requests == 0 && !self.leaving).then_some(self.head.unwrap_or(self.ended))
    }

    fn waits_since(&self) -> Option<Instant> {
        let waits = self.writing.is_some() || self.requests == self.bodies;
        (waits && !self.leaving).then_some(self.moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience() -> Patience {
        Patience { head: 2 * SECOND, idle: 10 * SECOND, write: Slowest::new(3 * SECOND, 10) }
    }

    fn begun() -> (Instant, State) {
        let now = Instant::now();
        (now, State::new(now))
    }

    #[test]
    fn a_head_that_does_not_end_is_overdue_however_often_a_byte_comes() {
        let (mut now, mut state) = begun();
        for _ in 0..3 {
            now += SECOND / 2;
            state.read(now);
            assert_eq!(state.overdue(now, &patience()), None);
        }
        now += SECOND / 2;
        state.read(now);
        assert_eq!(state.overdue(now, &patience()), Some(Overdue::Head));
    }

    #[test]
    fn who_kept_the_connection_may_be_silent_for_longer_and_not_for_long_within_a_head() {
        let (mut now, mut state) = begun();
        state.begin(now, false);
        now += 100 * SECOND;
        assert_eq!(state.overdue(now, &patience()), None, "the server is what is waited for");
        state.end(now);
        now += 9 * SECOND;
        assert_eq!(state.overdue(now, &patience()), None);
        state.read(now);
        assert_eq!(state.overdue(now + 2 * SECOND, &patience()), Some(Overdue::Head));
    }

    #[test]
    fn what_else_is_sent_on_a_connection_of_many_does_not_keep_it() {
        let (mut now, mut state) = begun();
        state.begin(now, true);
        state.end(now);
        for _ in 0..9 {
            now += SECOND;
            state.read(now);
            assert_eq!(state.overdue(now, &patience()), None);
        }
        assert_eq!(state.overdue(now + SECOND, &patience()), Some(Overdue::Idle));
    }

    #[test]
    fn who_takes_its_answer_too_slowly_is_overdue_also_once_it_is_all_handed_over() {
        let (mut now, mut state) = begun();
        state.begin(now, false);
        state.write_blocked(now);
        state.end(now);
        for _ in 0..2 {
            now += 2 * SECOND;
            state.wrote(now, 30);
            state.write_blocked(now);
            now += SECOND;
            assert_eq!(state.overdue(now, &patience()), None);
        }
        state.wrote(now, 29);
        now += 3 * SECOND;
        assert_eq!(state.overdue(now, &patience()), Some(Overdue::Write));
        state.flushed(now);
        assert_eq!(state.overdue(now, &patience()), None);
    }

    #[test]
    fn nobody_is_looked_at_too_late() {
        let (now, mut state) = begun();
        assert_eq!(state.look_at(now, &patience()), now + 2 * SECOND);
        state.begin(now, false);
        let later = now + 30 * SECOND;
        assert_eq!(
            state.look_at(later, &patience()),
            later + 2 * SECOND,
            "whatever begins after this look is seen in time"
        );
        state.write_blocked(later);
        assert_eq!(state.look_at(later + 2 * SECOND, &patience()), later + 3 * SECOND);
    }

    #[test]
    fn only_who_is_waited_for_is_given_up() {
        let (now, mut state) = begun();
        assert!(state.idle_since().is_some());
        state.begin(now, true);
        assert!(state.idle_since().is_none() && state.waits_since().is_none());
        state.bodies += 1;
        assert!(state.idle_since().is_none() && state.waits_since().is_some());
        state.begin(now, true);
        assert!(state.waits_since().is_none(), "one of two is being worked on");
        state.body_came(now);
        state.end(now);
        assert!(state.waits_since().is_none());
        state.write_blocked(now);
        assert!(state.waits_since().is_some());
    }
}
