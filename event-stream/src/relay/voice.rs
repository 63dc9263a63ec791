//! Publishes the stream's progress to readers.

use std::time::{Duration, Instant};

use super::Relay;
use super::batch::Tail;
use super::generation::Generation;
use crate::envelope::hex;
use crate::names;
use crate::progress::Progress;

/// Progress is said at least this often: a fraction of the time after which readers turn to the store.
const LEAST: Duration = Duration::from_millis(250);
/// And at most this often: every reader is woken by it.
const MOST: Duration = Duration::from_millis(10);

pub(super) struct Voice {
    said: Instant,
    /// Whether there is progress that has not been said.
    news: bool,
}

impl Voice {
    pub(super) fn new() -> Self {
        Self { said: Instant::now(), news: true }
    }

    pub(super) fn has_news(&mut self) {
        self.news = true;
    }

    /// How long an idle relay may wait before there is something to be said.
    pub(super) fn pause(&self) -> Duration {
        if self.news { MOST } else { LEAST }
    }

    /// Publishes the end of the stream, unless it was just published.
    pub(super) async fn say(&mut self, relay: &Relay, generation: &Generation, epoch: u64, tail: &Tail) {
        if self.said.elapsed() < self.pause() {
            return;
        }
        let progress = Progress {
            generation: generation.number,
            base: generation.base,
            incarnation: relay.store.incarnation(),
            epoch,
            position: tail.position,
            hash: hex(&tail.hash),
            since: tail.since,
            streams: tail.streams.to_vec(),
            correlations: tail.correlations.to_vec(),
        };
        let Ok(body) = serde_json::to_vec(&progress) else {
            return;
        };
        if relay.connection.is_connected() {
            let client = relay.connection.client();
            // A lost message is soon followed by the next one.
            drop(client.publish(names::PROGRESS, body.into()).await);
        }
        self.said = Instant::now();
        self.news = false;
    }
}
