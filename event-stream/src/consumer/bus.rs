//! State that the feeds of a process share: the connection, the relay's progress, and recently read pages of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_store::partition::Door;
use event_store::{EventStore, Feed};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::door::DoorFeed;
use crate::connection::Connection;
use crate::envelope::unhex;
use crate::names;
use crate::pages::Pages;
use crate::progress::Progress;
use crate::relay::hash_at;

/// Progress is compared with the store at most this often.
const CHECK: Duration = Duration::from_secs(1);
/// After this long without a word from a relay, one with a lower epoch is listened to: the store may have been put back.
const FORGET: Duration = Duration::from_secs(10);

/// How feeds read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the store's head may be beyond the last message of the bus before the store is read instead.
    pub silence: Duration,
    /// How long a call with nothing to say waits.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { silence: Duration::from_secs(1), idle: Duration::from_millis(500) }
    }
}

/// Counters of the feeds of a bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that came over the bus.
    pub from_stream: u64,
    /// Records that were read from the store.
    pub from_store: u64,
    /// Messages that showed that something before them was missing.
    pub holes: u64,
    /// Times that a feed turned to the store because the bus was silent.
    pub silences: u64,
    /// Messages that had been seen before.
    pub repeated: u64,
    /// Subscriptions begun.
    pub subscriptions: u64,
    /// Messages and words of progress that were not this store's.
    pub foreign: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) from_stream: AtomicU64,
    pub(super) from_store: AtomicU64,
    pub(super) holes: AtomicU64,
    pub(super) silences: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) subscriptions: AtomicU64,
    pub(super) foreign: AtomicU64,
}

/// The relay's last word.
#[derive(Clone)]
pub(super) struct Heard {
    pub(super) progress: Arc<Progress>,
    pub(super) at: Instant,
}

pub(super) struct Shared {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) connection: Connection,
    pub(super) options: Options,
    pub(super) pages: Pages,
    pub(super) counts: Counts,
    pub(super) heard: watch::Sender<Option<Heard>>,
    /// The newest generation that is not believed.
    foreign: AtomicU64,
}

/// The bus as its readers see it; clones are cheap and share everything.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

impl Bus {
    /// A bus that carries this store's log. Feeds read the store until [`Bus::run`] runs.
    pub fn new(store: Arc<dyn EventStore>, connection: Connection, options: Options) -> Self {
        Self {
            shared: Arc::new(Shared {
                pages: Pages::new(Arc::clone(&store)),
                store,
                connection,
                options,
                counts: Counts::default(),
                heard: watch::Sender::new(None),
                foreign: AtomicU64::new(0),
            }),
        }
    }

    /// The records of a partition, from the beginning or from a position set with `seek`. For correlation partitions,
    /// the bus must use the relay's correlation function.
    #[must_use]
    pub fn feed(&self, door: Door) -> Box<dyn Feed> {
        Box::new(DoorFeed::new(Arc::clone(&self.shared), door, 0))
    }

    /// Whether a relay of this store has reported progress recently; without one, feeds read the store.
    #[must_use]
    pub fn hears(&self) -> bool {
        self.shared.current().is_some()
    }

    /// The counters of the feeds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = &self.shared.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            from_stream: of(&counts.from_stream),
            from_store: of(&counts.from_store),
            holes: of(&counts.holes),
            silences: of(&counts.silences),
            repeated: of(&counts.repeated),
            subscriptions: of(&counts.subscriptions),
            foreign: of(&counts.foreign),
        }
    }

    /// Listens to the relay until it is cancelled; one task for all feeds.
    pub async fn run(&self, cancel: CancellationToken) {
        let shared = &self.shared;
        while shared.connection.wait(&cancel).await {
            let subscribed = shared.connection.client().subscribe(names::PROGRESS).await;
            let Ok(mut words) = subscribed else {
                tokio::time::sleep(Duration::from_millis(250)).await;
                continue;
            };
            let mut checked = None;
            loop {
                let word = tokio::select! {
                    () = cancel.cancelled() => return,
                    word = words.next() => word,
                };
                let Some(word) = word else { break };
                shared.hear(&word.payload, &mut checked).await;
            }
        }
    }
}

impl Shared {
    /// Accepts a progress message if it comes from this store's newest relay.
    async fn hear(&self, word: &[u8], checked: &mut Option<Instant>) {
        let now = Instant::now();
        let progress = serde_json::from_slice::<Progress>(word).ok();
        let progress = progress.filter(|word| word.fits());
        let Some(progress) = progress.filter(|word| word.incarnation == self.store.incarnation()) else {
            self.foreign_word();
            return;
        };
        let known = self.heard.borrow().clone();
        let known = known.filter(|known| now.duration_since(known.at) < FORGET);
        if let Some(known) = &known
            && known.progress.epoch > progress.epoch
        {
            return;
        }
        let same = known.is_some_and(|known| {
            known.progress.epoch == progress.epoch && known.progress.generation == progress.generation
        });
        let due = checked.is_none_or(|at| now.duration_since(at) >= CHECK);
        if !same || due {
            match hash_at(&*self.store, progress.position).await {
                Ok(Some(hash)) if unhex(&progress.hash) == Some(hash) => {
                    *checked = Some(now);
                }
                Ok(_) => {
                    self.foreign_word();
                    return;
                }
                // If the store cannot be read now, a relay that was trusted before stays trusted.
                Err(_) if same => {}
                Err(_) => return,
            }
        }
        self.heard.send_replace(Some(Heard { progress: Arc::new(progress), at: now }));
    }

    fn foreign_word(&self) {
        self.counts.foreign.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("daybook_feed_foreign_total").increment(1);
    }

    /// The relay's last word, if it is not too old and its stream can be believed.
    pub(super) fn current(&self) -> Option<Arc<Progress>> {
        let heard = self.heard.borrow();
        let heard = heard.as_ref()?;
        let fresh = heard.at.elapsed() < self.options.silence;
        let believed = heard.progress.generation > self.foreign.load(Ordering::Relaxed);
        (fresh && believed).then(|| Arc::clone(&heard.progress))
    }

    /// Stops trusting a generation.
    pub(super) fn distrust(&self, generation: u64, reason: &str) {
        self.foreign_word();
        if self.foreign.fetch_max(generation, Ordering::Relaxed) < generation {
            tracing::error!(
                generation,
                reason,
                "the event stream belongs to another store; the log is read instead, see docs/operations.md, 'NATS is \
                 away'"
            );
        }
    }
}
