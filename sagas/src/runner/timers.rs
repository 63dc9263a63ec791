//! Due timers fire in order of their due times, a limited number at a time. Until the log is read to its end, only
//! timers fire that were due before the last read record: the answer that cancels others may be further on.

use std::time::{Duration, Instant};

use domain::time::Timestamp;
use futures_util::stream::{self, StreamExt};

use super::append::{Cause, Work};
use super::index::Key;
use super::session::{LOADING, Session};
use crate::log::evidence;
use crate::{Stopped, meters};

/// When to try a timer again whose evidence cannot be read, or whose result could not be written.
const POSTPONED: Duration = Duration::from_secs(30);

impl Session {
    pub(super) async fn fire_timers(&mut self) -> Result<(), Stopped> {
        let soon = Instant::now();
        for (_, due_at, key, timer) in self.postponed.extract_if(.., |(at, ..)| *at <= soon) {
            self.index.put_timer(due_at, &key, &timer);
        }
        let now = if self.caught_up { self.now() } else { self.seen_at };
        let due = self.index.due(now, self.options.timers_at_once);
        if due.is_empty() {
            return Ok(());
        }
        let mut works = Vec::with_capacity(due.len());
        for (due_at, key, timer) in due {
            match self.look(&key, &timer, due_at).await? {
                Some(wanted) => works.push((due_at, key, timer, wanted)),
                None => self.index.drop_timer(due_at, &key, &timer),
            }
        }
        let store = self.store.clone();
        // All of it is read before the first timer fires: a pending read that is not polled would block the store's
        // readers.
        let ready: Vec<_> = stream::iter(works)
            .map(|(due_at, key, timer, wanted)| {
                let store = store.clone();
                async move {
                    let found = match (wanted, key.tenant()) {
                        (Some(name), Some(tenant)) => {
                            evidence(store.as_ref(), &tenant, &name).await.map(Box::new).map(Some)
                        }
                        _ => Ok(None),
                    };
                    (due_at, key, timer, found)
                }
            })
            .buffered(LOADING)
            .collect()
            .await;
        let mut flights = Vec::new();
        for (due_at, key, timer, evidence) in ready {
            let evidence = match evidence {
                Ok(evidence) => evidence,
                Err(streams::Error::Store(error)) => return Err(error.into()),
                Err(streams::Error::Unreadable(unreadable)) => {
                    // No decision without the available evidence: it is read again later.
                    crate::log::unreadable(&unreadable, "sagas");
                    self.put_off(due_at, &key, &timer);
                    continue;
                }
            };
            meters::timer_fired(super::between(due_at, now));
            let work = Work {
                append_id: format!("timer/{timer}/{}", due_at.micros()),
                causation: Self::saga_id(&key).unwrap_or_default(),
                at: now.max(due_at),
                cause: Cause::Due { timer: timer.clone(), due_at, evidence },
                key: key.clone(),
            };
            match self.attempt(work).await? {
                Some(flight) => flights.push(flight),
                None => self.index.drop_timer(due_at, &key, &timer),
            }
        }
        self.settle(flights).await
    }

    /// What a timer leads to cannot be written, or is written already: at once it would be the same again.
    pub(super) fn postpone(&mut self, work: &Work) {
        if let Cause::Due { timer, due_at, .. } = &work.cause {
            self.put_off(*due_at, &work.key, timer);
        }
    }

    fn put_off(&mut self, due_at: Timestamp, key: &Key, timer: &str) {
        self.index.drop_timer(due_at, key, timer);
        self.postponed.push((Instant::now() + POSTPONED, due_at, key.clone(), timer.to_owned()));
    }

    /// The position of the answer that a timer waits for; `None` if the saga no longer has the timer.
    async fn look(
        &mut self,
        key: &Key,
        timer: &str,
        due_at: Timestamp,
    ) -> Result<Option<Option<domain::stream::StreamName>>, Stopped> {
        let Some(loaded) = self.find(key).await? else {
            return Ok(None);
        };
        let known = loaded.saga.state().timers.get(timer) == Some(&due_at);
        Ok(known.then(|| loaded.saga.evidence(timer)))
    }
}
