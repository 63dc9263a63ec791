//! A store that does not answer for a while: it has said nothing, and nothing is concluded from that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event_store::append::Receipt;
use event_store::partition::Door;
use event_store::record::{Position, Record, StreamId, Version};
use event_store::{Direction, Error, EventStore, Filter, Head, Page};
use event_stream::consumer::{self, Bus};
use servers::Nats;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{LIMIT, Log, Reader, Running, connect};

/// The store as a process sees whose database does not answer while it is frozen: its watch does not move, and reads wait.
struct Freezing {
    inner: Arc<dyn EventStore>,
    frozen: watch::Sender<bool>,
    shown: watch::Sender<Head>,
}

impl Freezing {
    fn new(inner: Arc<dyn EventStore>) -> Arc<Self> {
        let shown = watch::Sender::new(*inner.head().borrow());
        let this = Arc::new(Self { inner, frozen: watch::Sender::new(false), shown });
        let (watching, mut head) = (Arc::clone(&this), this.inner.head());
        tokio::spawn(async move {
            while head.changed().await.is_ok() {
                watching.thawed().await;
                watching.shown.send_replace(*head.borrow_and_update());
            }
        });
        this
    }

    async fn thawed(&self) {
        drop(self.frozen.subscribe().wait_for(|frozen| !frozen).await);
    }
}

#[async_trait]
impl event_store::Layer for Freezing {
    fn below(&self) -> &dyn EventStore {
        &*self.inner
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        self.thawed().await;
        self.inner.command(command_id).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        self.thawed().await;
        self.inner.read_stream(stream, from, direction, limit).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        self.thawed().await;
        self.inner.stream_head(stream).await
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        self.thawed().await;
        self.inner.read_log(after, filter, limit).await
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.shown.subscribe()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_has_not_said_that_the_stream_is_foreign() {
    let nats = Nats::start();
    let mut log = Log::new(40);
    log.write(20).await;
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    let store = Freezing::new(log.shared());
    let bus = Bus::new(store.clone() as _, connect(&nats.url()).await, consumer::Options::default());
    let listening = bus.clone();
    tokio::spawn(async move { listening.run(CancellationToken::new()).await });
    let mut reader = Reader::new(&bus, Door::All);
    let began = Instant::now();
    while bus.stats().from_stream == 0 {
        assert!(began.elapsed() < LIMIT, "{:?}", bus.stats());
        log.write(10).await;
        reader.read_to(log.head()).await;
    }
    let before = bus.stats();

    store.frozen.send_replace(true);
    // The relay continues and reports positions that this store does not return; longer than any wait for a watch here.
    let frozen = Instant::now();
    while frozen.elapsed() < Duration::from_secs(4) {
        log.write(5).await;
        drop(tokio::time::timeout(Duration::from_millis(200), reader.step()).await);
    }
    relay.caught_up(&log).await;
    assert_eq!(bus.stats().foreign, before.foreign, "a false alarm");
    store.frozen.send_replace(false);

    reader.read_to(log.head()).await;
    let from_stream = bus.stats().from_stream;
    let began = Instant::now();
    while bus.stats().from_stream == from_stream {
        assert!(began.elapsed() < LIMIT, "the generation is not believed any more: {:?}", bus.stats());
        log.write(10).await;
        reader.read_to(log.head()).await;
    }
    assert_eq!(bus.stats().foreign, before.foreign);
    assert_eq!(relay.now().generation, 1, "a new generation was begun");
    reader.check(&log, &Door::All).await;
    relay.stop().await;
}
