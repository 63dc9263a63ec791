//! Faults: a store that fails for a while, queues that lose, repeat and reorder, and places where a whole process can be paused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::ids::Tenant;
use domain::saga::Decision;
use domain::saga::event::{Fact, Noted};
use domain::time::Timestamp;
use domain::{Command, Event};
use event_store::append::{Batch, Expectation, NewEvent, Pending, Receipt, StreamWrite};
use event_store::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use event_store::record::{Micros, Position, Record, StreamId, Version};
use event_store::{Direction, Error, EventStore, Feed, Filter, Page};
use sagas::gateway::{Answer, Call, Found};
use sagas::{Dispatch, DispatchError, PaymentGateway};
use schemas::Metadata;
use uuid::Uuid;

use super::shop::WITHIN;

/// Where a process is paused once: whoever comes there stands still with its whole thread, so that nothing else of it runs either.
#[derive(Default)]
pub(crate) struct Gate(Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>);

/// The other side of a gate.
pub(crate) struct Keeper {
    paused: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

impl Gate {
    /// Closes it for the next one who comes.
    pub(crate) fn close(&self) -> Keeper {
        let (here, paused) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        *self.0.lock().unwrap() = Some((here, goes_on));
        Keeper { paused, go_on }
    }

    pub(crate) fn pass(&self) {
        let closed = self.0.lock().unwrap().take();
        if let Some((here, goes_on)) = closed {
            here.send(()).unwrap();
            // The test is over if nobody opens it.
            let _over = goes_on.recv();
        }
    }
}

impl Keeper {
    pub(crate) async fn paused(&mut self) {
        let since = Instant::now();
        while since.elapsed() < WITHIN {
            if self.paused.try_recv().is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody came to where it should have been paused");
    }

    pub(crate) fn open(self) {
        let _over = self.go_on.send(());
    }
}

/// A store whose service can be interrupted, and before whose appends to sagas a process can be paused.
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn EventStore>,
    pub(crate) down: AtomicBool,
    pub(crate) refused: AtomicUsize,
    /// So many of the next appends to sagas are refused: not now.
    pub(crate) appends: AtomicUsize,
    /// So many of the next checkpoints are refused: not now.
    pub(crate) saves: AtomicUsize,
    /// Appends to the saga whose stream has this in its id, with events of more than so many bytes, are never taken.
    pub(crate) never: Mutex<Option<(String, usize)>>,
    /// Appends by which a timer fires of the saga whose stream has this in its id are never taken.
    pub(crate) never_fires: Mutex<Option<String>>,
    /// The next append that goes on with the saga whose stream has this in its id finds that its own id has written something else.
    pub(crate) forestalled: Mutex<Option<String>>,
    /// Whether records of this type are of a schema version that nobody knows yet.
    pub(crate) newer: Mutex<Option<&'static str>>,
    pub(crate) before_append: Gate,
}

/// Whether a saga decides this after one of its timers.
fn fires(event: &NewEvent) -> bool {
    event.data.windows(11).any(|window| window == b"timer_fired")
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn EventStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            down: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            appends: AtomicUsize::new(0),
            saves: AtomicUsize::new(0),
            never: Mutex::default(),
            never_fires: Mutex::default(),
            forestalled: Mutex::default(),
            newer: Mutex::default(),
            before_append: Gate::default(),
        })
    }

    /// Uses up one of those that are still to be refused.
    fn refuses(&self, left: &AtomicUsize) -> Result<(), Error> {
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::NotNow("the disk is full".into()));
        }
        Ok(())
    }

    fn takes(&self, batch: &Batch) -> Result<(), Error> {
        let sagas = || batch.writes.iter().filter(|it| &*it.stream.category == "saga");
        if let Some((id, most)) = &*self.never.lock().unwrap()
            && sagas().filter(|it| it.stream.id.contains(id)).flat_map(|it| &it.events).any(|it| it.data.len() > *most)
        {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Never("an event is too large".into()));
        }
        if let Some(id) = &*self.never_fires.lock().unwrap()
            && sagas().any(|it| it.stream.id.contains(id) && it.events.iter().any(fires))
        {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Never("the batch is too large".into()));
        }
        if sagas().next().is_some() { self.refuses(&self.appends) } else { Ok(()) }
    }

    /// Writes something else under the id of an append, if that is to be forestalled.
    fn forestall(&self, batch: &Batch) {
        let mut forestalled = self.forestalled.lock().unwrap();
        let Some(id) = &*forestalled else { return };
        let goes_on = |it: &&StreamWrite| it.stream.id.contains(id) && it.expected != Expectation::NoStream;
        let Some(write) = batch.writes.iter().find(goes_on) else { return };
        let noted = Noted { note: "forestalled".into(), value: serde_json::Value::Null };
        let encoded =
            schemas::registry::encode(&Event::Saga(Decision::intervention(Timestamp::default(), Fact::Noted(noted))))
                .unwrap();
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            kind: encoded.kind,
            schema_version: encoded.schema_version,
            data: encoded.data,
            ..write.events[0].clone()
        };
        // The queue of the store keeps the order, so nobody waits for this.
        drop(
            self.inner
                .append(Batch { writes: vec![StreamWrite { events: vec![event], ..write.clone() }], ..batch.clone() }),
        );
        *forestalled = None;
    }

    /// Records as a version of the program sees them that is older than those who wrote them.
    fn seen(&self, mut records: Vec<Record>) -> Vec<Record> {
        if let Some(kind) = *self.newer.lock().unwrap() {
            let newer = records.iter_mut().filter(|record| &*record.kind == kind);
            newer.for_each(|record| record.schema_version = 99);
        }
        records
    }

    fn up(&self) -> Result<(), Error> {
        if self.down.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Read("the connection is lost".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl event_store::Layer for Faulty {
    fn below(&self) -> &dyn EventStore {
        &*self.inner
    }

    fn append(&self, batch: Batch) -> Pending {
        if batch.writes.iter().any(|it| &*it.stream.category == "saga") {
            self.before_append.pass();
        }
        if let Err(error) = self.takes(&batch) {
            return Pending::ready(Err(error));
        }
        self.forestall(&batch);
        self.inner.append(batch)
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        self.up()?;
        self.inner.command(command_id).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        self.up()?;
        Ok(self.seen(self.inner.read_stream(stream, from, direction, limit).await?))
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        self.up()?;
        self.inner.stream_head(stream).await
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        self.up()?;
        let page = self.inner.read_log(after, filter, limit).await?;
        Ok(Page { records: self.seen(page.records), ..page })
    }

    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        self.up()?;
        self.inner.position_at(instant).await
    }

    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        self.up()?;
        self.inner.acquire(key, owner, lease_us).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.up()?;
        self.inner.release(lease).await
    }

    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        self.up()?;
        self.refuses(&self.saves)?;
        self.inner.save(lease, checkpoint).await
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        self.up()?;
        self.inner.consumer(key).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        self.up()?;
        self.inner.consumers(name).await
    }
}

/// A feed after whose pages a process can be paused, once one has a record of this type.
pub(crate) struct Gated {
    pub(crate) inner: Box<dyn Feed>,
    pub(crate) kind: &'static str,
    pub(crate) gate: Arc<Gate>,
}

#[async_trait]
impl Feed for Gated {
    fn seek(&mut self, after: Position) {
        self.inner.seek(after);
    }

    async fn next(&mut self, limit: usize) -> Result<Page, Error> {
        let page = self.inner.next(limit).await?;
        if page.records.iter().any(|it| &*it.kind == self.kind) {
            self.gate.pass();
        }
        Ok(page)
    }
}

/// A way of sending that counts, and where a process can be paused before it sends.
pub(crate) struct Counting {
    pub(crate) inner: Arc<dyn Dispatch>,
    pub(crate) sent: AtomicUsize,
    pub(crate) gate: Gate,
}

impl Counting {
    pub(crate) fn new(inner: Arc<dyn Dispatch>) -> Arc<Self> {
        Arc::new(Self { inner, sent: AtomicUsize::new(0), gate: Gate::default() })
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Dispatch for Counting {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        self.gate.pass();
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.inner.dispatch(tenant, command_id, command, meta).await
    }
}

/// A queue that takes every command and delivers some of them late, twice and in another order, and some never.
pub(crate) struct Queue {
    pub(crate) inner: Arc<dyn Dispatch>,
    /// So many of the first are lost.
    pub(crate) lost_first: usize,
    /// Every so many one is lost later; 0: none.
    pub(crate) lost_every: usize,
    /// Whether the others come twice, each after another while.
    pub(crate) jumbled: bool,
    pub(crate) count: AtomicUsize,
    pub(crate) lost: AtomicUsize,
    pub(crate) repeated: AtomicUsize,
}

impl Queue {
    pub(crate) fn new(inner: Arc<dyn Dispatch>) -> Self {
        Self {
            inner,
            lost_first: 0,
            lost_every: 0,
            jumbled: false,
            count: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Dispatch for Queue {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        let lost_later = self.lost_every > 0 && count % self.lost_every == self.lost_every - 1;
        if count < self.lost_first || lost_later {
            self.lost.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        let copies = if self.jumbled { 2 } else { 1 };
        self.repeated.fetch_add(copies - 1, Ordering::SeqCst);
        for copy in 0..copies {
            let (inner, tenant) = (self.inner.clone(), tenant.clone());
            let (command, meta) = (command.clone(), meta.clone());
            let jumbled = self.jumbled;
            tokio::spawn(async move {
                if jumbled {
                    // Anything between 0 and 90 ms, other for each copy.
                    let late = (count * 37 + copy * 53) % 10 * 10;
                    tokio::time::sleep(Duration::from_millis(late as u64)).await;
                }
                // At least once: a queue delivers again what was not carried out.
                while inner.dispatch(&tenant, command_id, command.clone(), meta.clone()).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
        Ok(())
    }
}

/// A queue whose service cannot run what it is sent and puts it aside, until it is mended.
pub(crate) struct Broken {
    pub(crate) inner: Arc<dyn Dispatch>,
    pub(crate) aside: Mutex<HashMap<Uuid, Instant>>,
    pub(crate) mended: AtomicBool,
}

#[async_trait]
impl Dispatch for Broken {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        if self.mended.load(Ordering::SeqCst) {
            return self.inner.dispatch(tenant, command_id, command, meta).await;
        }
        let mut aside = self.aside.lock().unwrap();
        aside.insert(command_id, Instant::now());
        Ok(())
    }

    async fn put_aside(
        &self,
        _: &Command,
        command_id: Uuid,
        within: Duration,
    ) -> Result<Option<String>, DispatchError> {
        let aside = self.aside.lock().unwrap();
        let found = aside.get(&command_id).filter(|at| at.elapsed() <= within);
        Ok(found.map(|_| "a shelf is gone".to_owned()))
    }
}

/// A gateway that counts its calls, and where a process can be paused while it calls.
pub(crate) struct Watched {
    pub(crate) inner: Arc<dyn PaymentGateway>,
    pub(crate) calls: AtomicUsize,
    pub(crate) gate: Gate,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn PaymentGateway>) -> Arc<Self> {
        Arc::new(Self { inner, calls: AtomicUsize::new(0), gate: Gate::default() })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn called(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.gate.pass();
    }
}

#[async_trait]
impl PaymentGateway for Watched {
    async fn authorise(&self, call: &Call) -> Answer {
        self.called();
        self.inner.authorise(call).await
    }

    async fn capture(&self, call: &Call) -> Answer {
        self.called();
        self.inner.capture(call).await
    }

    async fn void(&self, call: &Call) -> Answer {
        self.called();
        self.inner.void(call).await
    }

    async fn raise(&self, call: &Call) -> Answer {
        self.called();
        self.inner.raise(call).await
    }

    async fn refund(&self, call: &Call) -> Answer {
        self.called();
        self.inner.refund(call).await
    }

    async fn query(&self, call: &Call) -> Found {
        self.inner.query(call).await
    }
}
