//! The open connections, and the choice of the one to close when there is no room for another. There is always room for
//! the health routes: some places are reserved for connections that may use nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::activity::Activity;

/// How long a client may keep a request waiting before its connection may be closed in favour of another.
const STALLED: Duration = Duration::from_secs(1);
/// How many connections are asked to close for a new one.
const ASKED: usize = 8;
/// How long a connection that was asked to close may take.
const GOING: Duration = Duration::from_millis(500);

/// What a connection may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Everything.
    Full,
    /// How the process is, and nothing else: there are too many.
    Spare,
}

/// Some of the connections: those of one kind.
#[derive(Debug)]
struct Shelf {
    free: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Arc<Activity>>>,
}

impl Shelf {
    fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))), taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection without a request for the longest time; if there is none, the one whose client has kept the
    /// server waiting for the longest time.
    fn least_useful(&self) -> Option<Arc<Activity>> {
        let taken = self.taken();
        let oldest = |since: fn(&Activity) -> Option<Instant>, before: Instant| {
            let waiting = taken.iter().filter_map(|(id, activity)| Some((since(activity)?, *id)));
            let oldest = waiting.filter(|(since, _)| *since <= before).min();
            oldest.and_then(|(_, id)| taken.get(&id).cloned())
        };
        let now = Instant::now();
        oldest(Activity::idle_since, now)
            .or_else(|| oldest(Activity::waits_since, now.checked_sub(STALLED).unwrap_or(now)))
    }

    /// A free place, or that of the least useful connection.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        for _ in 0..ASKED {
            let activity = self.least_useful()?;
            activity.give_up();
            tokio::select! {
                biased;
                place = Arc::clone(&self.free).acquire_owned() => {
                    metrics::counter!("daybook_http_connections_ended_total", "reason" => "displaced").increment(1);
                    return place.ok();
                }
                // It was asked for something in this moment.
                () = activity.stays() => {}
                () = tokio::time::sleep(GOING) => return None,
            }
        }
        None
    }
}

/// The connections.
#[derive(Debug)]
pub(super) struct Table {
    full: Shelf,
    spare: Shelf,
    next: Mutex<u64>,
}

/// A connection's entry. Removed when it is dropped.
pub(super) struct Entry {
    table: Arc<Table>,
    pub(super) kind: Kind,
    id: u64,
    _place: OwnedSemaphorePermit,
}

impl Table {
    /// Room for so many connections of each kind.
    pub(super) fn new(full: usize, spare: usize) -> Arc<Self> {
        Arc::new(Self { full: Shelf::new(full), spare: Shelf::new(spare), next: Mutex::new(0) })
    }

    fn shelf(&self, kind: Kind) -> &Shelf {
        match kind {
            Kind::Full => &self.full,
            Kind::Spare => &self.spare,
        }
    }

    /// Enters a connection; `None` if there is no room, not even for the health routes.
    pub(super) async fn enter(self: &Arc<Self>, activity: &Arc<Activity>) -> Option<Entry> {
        let (kind, place) = match self.full.place().await {
            Some(place) => (Kind::Full, place),
            None => (Kind::Spare, self.spare.place().await?),
        };
        let id = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            *next
        };
        self.shelf(kind).taken().insert(id, Arc::clone(activity));
        Some(Entry { table: Arc::clone(self), kind, id, _place: place })
    }

    /// Closes the least useful connection, of any kind: the process needs its file handle.
    pub(super) fn shrink(&self) {
        for shelf in [&self.full, &self.spare] {
            if let Some(activity) = shelf.least_useful() {
                activity.give_up();
                return;
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.table.shelf(self.kind).taken().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enters a connection, and leaves when it is asked to close.
    async fn enter(table: &Arc<Table>, activity: &Arc<Activity>) -> Option<Kind> {
        let entry = table.enter(activity).await?;
        let (kind, activity) = (entry.kind, Arc::clone(activity));
        tokio::spawn(async move {
            activity.given_up().await;
            while !activity.leaves() {
                activity.given_up().await;
            }
            drop(entry);
        });
        Some(kind)
    }

    #[tokio::test]
    async fn the_one_that_was_silent_for_longest_goes_first_and_one_that_is_answered_never() {
        let table = Table::new(2, 1);
        let (silent, busy, new) = (Arc::new(Activity::new()), Arc::new(Activity::new()), Arc::new(Activity::new()));
        assert_eq!(enter(&table, &silent).await, Some(Kind::Full));
        assert_eq!(enter(&table, &busy).await, Some(Kind::Full));
        busy.begin(false);
        assert_eq!(enter(&table, &new).await, Some(Kind::Full), "instead of the silent one");
        new.begin(false);
        let more = Arc::new(Activity::new());
        assert_eq!(enter(&table, &more).await, Some(Kind::Spare), "all others are being answered");
        let most = Arc::new(Activity::new());
        assert_eq!(enter(&table, &most).await, Some(Kind::Spare), "instead of the other spare one");
        most.begin(false);
        assert_eq!(enter(&table, &Arc::new(Activity::new())).await, None);
        new.body_awaited();
        tokio::time::sleep(STALLED + STALLED / 10).await;
        assert_eq!(enter(&table, &Arc::new(Activity::new())).await, Some(Kind::Full), "instead of the stalled one");
        table.full.taken().clear();
        assert!(table.full.least_useful().is_none());
    }
}
