//! Batches that are about to be appended because of those on the queue: the writer lets them come, so that one sync carries all
//! of them. It waits for a moment only, and only while it has little to do; nothing depends on it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The longest that a group gathers: a few times what it takes to decide a command.
const LONGEST: Duration = Duration::from_millis(1);
/// A group of so many jobs is worth a sync by itself.
const ENOUGH: usize = 16;

/// What a writer and those that announce share.
#[derive(Debug, Default)]
pub(crate) struct Gathering(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    announced: Mutex<usize>,
    none: Condvar,
    none_for_tasks: Notify,
}

/// An append that is about to come. Dropped when it is on the queue, or will not come.
#[derive(Debug)]
pub struct Announcement(Arc<Shared>);

impl Drop for Announcement {
    fn drop(&mut self) {
        let mut announced = self.0.announced();
        *announced -= 1;
        if *announced == 0 {
            drop(announced);
            self.0.none.notify_all();
            self.0.none_for_tasks.notify_waiters();
        }
    }
}

impl Shared {
    fn announced(&self) -> MutexGuard<'_, usize> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathering {
    /// Notes an append that is about to come.
    pub(crate) fn announce(&self) -> Announcement {
        *self.0.announced() += 1;
        Announcement(Arc::clone(&self.0))
    }

    /// Blocks while a group of so many jobs gathers.
    pub(crate) fn wait(&self, jobs: usize) {
        let announced = self.0.announced();
        if *announced > 0 && jobs < ENOUGH {
            let waited = self.0.none.wait_timeout_while(announced, LONGEST, |announced| *announced > 0);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The same for a task.
    pub(crate) async fn gathered(&self, jobs: usize) {
        if jobs >= ENOUGH {
            return;
        }
        let until = Instant::now() + LONGEST;
        loop {
            let none = self.0.none_for_tasks.notified();
            tokio::pin!(none);
            none.as_mut().enable();
            if *self.0.announced() == 0 || tokio::time::timeout_at(until.into(), none).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_group_gathers_until_what_was_announced_has_come_and_no_longer_than_a_moment() {
        let gathering = Gathering::default();
        gathering.wait(1);
        gathering.gathered(1).await;
        let (one, other) = (gathering.announce(), gathering.announce());
        let begun = Instant::now();
        gathering.wait(1);
        gathering.gathered(1).await;
        assert!(begun.elapsed() >= 2 * LONGEST, "two are to come");
        gathering.wait(ENOUGH);
        gathering.gathered(ENOUGH).await;
        drop(one);
        let (waits, comes) = tokio::join!(
            async {
                gathering.gathered(1).await;
                Instant::now()
            },
            async {
                drop(other);
                Instant::now()
            }
        );
        assert!(waits >= comes);
        assert_eq!(*gathering.0.announced(), 0);
    }
}
