//! Waiting for what becomes of an order (`Prefer: wait`). One task follows the log and wakes who waits; the answer itself is always read
//! from the order's stream, at the version where the verdict fell, so that who asks later gets the same.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use domain::Aggregate;
use domain::ids::{CancellationId, EditId, PaymentId, RefundId, ShipmentId, Tenant};
use domain::order::state::{LineState, Payment, Placed, Refund, RefundProgress, ShipmentStatus, Status};
use domain::order::{Event, Order};
use domain::stream::{self, StreamName};
use event_store::record::{StreamId, Version};
use event_store::{Class, Error as StoreError, EventStore, Filter};
use schemas::StoredEvent as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::execute::{Error, stream_id};

/// How many records are read at a time: enough for a group commit, little enough to wake the first soon.
const PAGE: usize = 1_000;

/// When who waits looks again without being woken: the follower polls sooner, so this helps only where that has stopped.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The first wait after a read that failed; doubled each time.
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(100);

/// The events after which it is worth looking again. The others are on the way to one of these.
const TELLING: [&str; 15] = [
    "OrderConfirmed",
    "OrderRejected",
    "OrderCancelled",
    "CancellationClosed",
    "ShipmentDispatched",
    "ShipmentRefused",
    "PaymentRecorded",
    "RefundDeclined",
    "RefundPaid",
    "LinesReserved",
    "LinesBackordered",
    "LinesCancelled",
    "PaymentAdded",
    "PaymentReleased",
    "OrderCompleted",
];

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Confirmed, rejected or cancelled.
    Placement,
    /// Everything given back.
    Cancellation(CancellationId),
    /// Left, or refused.
    Shipment(ShipmentId),
    /// Given back, or not.
    Refund(RefundId),
    /// Held and paid for, or not.
    Edit(EditId),
    /// Held, or not.
    Payment(PaymentId),
}

/// An order at the version where the verdict fell.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The order.
    pub order: Arc<Order>,
    /// The version.
    pub version: u64,
    /// The position of the event that has it.
    pub position: u64,
}

/// How the log is followed.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long after a missed wake-up the log is looked at anyway.
    pub poll: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { poll: Duration::from_millis(500) }
    }
}

impl Options {
    /// The handle to wait with, and the task that wakes.
    #[must_use]
    pub fn build(self, store: Arc<dyn EventStore>) -> (Verdicts, Follower) {
        let waiting = Arc::new(DashMap::new());
        let verdicts = Verdicts { store: Arc::clone(&store), waiting: Arc::clone(&waiting) };
        let follower = Follower { store, waiting, poll: self.poll };
        (verdicts, follower)
    }
}

struct Waiting {
    seen: watch::Sender<Version>,
    waiters: usize,
}

type Orders = Arc<DashMap<StreamId, Waiting>>;

/// Waits for verdicts. Clones share everything.
#[derive(Clone)]
pub struct Verdicts {
    store: Arc<dyn EventStore>,
    waiting: Orders,
}

/// Wakes who waits. Clones share everything: one of them is run at a time.
#[derive(Clone)]
pub struct Follower {
    store: Arc<dyn EventStore>,
    waiting: Orders,
    poll: Duration,
}

impl Follower {
    /// Follows the log until it is told to stop.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut head = self.store.head();
        let mut position = head.borrow_and_update().position;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = head.changed() => if changed.is_err() {
                    return Ok(());
                },
                () = sleep(self.poll) => {}
            }
            // Read before looking whether anybody waits: who comes after that look reads the store up to here by itself.
            let durable = head.borrow_and_update().position;
            if self.waiting.is_empty() {
                position = durable;
            } else {
                position = self.wake(position, durable).await?;
            }
        }
    }

    async fn wake(&self, mut position: u64, durable: u64) -> Result<u64, StoreError> {
        let orders = Filter { categories: vec![stream::ORDER.to_owned()], ..Filter::default() };
        while position < durable {
            let page = self.store.read_log(position, &orders, PAGE).await?;
            for record in &page.records {
                if TELLING.contains(&&*record.kind)
                    && let Some(waiting) = self.waiting.get(&record.stream)
                {
                    waiting.seen.send_replace(record.version);
                }
            }
            if page.next <= position {
                break;
            }
            position = page.next;
        }
        Ok(position)
    }
}

/// A place among those who wait for an order. Given up when it is dropped.
struct Watching {
    waiting: Orders,
    stream: StreamId,
    seen: watch::Receiver<Version>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.waiting.remove_if_mut(&self.stream, |_, order| {
            order.waiters -= 1;
            order.waiters == 0
        });
    }
}

impl Awaited {
    /// Whether nothing more is to come, as the order itself says.
    #[must_use]
    pub fn is_over(self, order: &Order) -> bool {
        let Order::Placed(order) = order else {
            return true;
        };
        match self {
            Self::Placement => order.status != Status::Pending,
            Self::Cancellation(id) => cancellation_is_over(order, id),
            Self::Shipment(id) => order.shipments.get(&id).is_none_or(|shipment| {
                !matches!(shipment.status, ShipmentStatus::Requested | ShipmentStatus::Withdrawn)
            }),
            Self::Refund(id) => order.refunds.get(&id).is_none_or(|refund| is_given_back(order, refund)),
            Self::Edit(id) => {
                let unassigned = |line: &LineState| line.line.stocked && line.unassigned() > 0;
                !order.lines.values().any(unassigned)
                    && order.ledger().awaited == 0
                    && given_back(order, |refund| refund.edit_id == Some(id))
            }
            Self::Payment(id) => order.payment_of(id).is_none_or(|payment| payment.awaited() == 0),
        }
    }
}

/// Whether everything that a cancellation had to give back is given back, goods and money.
#[must_use]
pub fn cancellation_is_over(order: &Placed, id: CancellationId) -> bool {
    order.cancellations.get(&id).is_none_or(|cancellation| {
        let whole = cancellation.whole && order.shipped_units() == 0;
        let given_back = given_back(order, |refund| refund.cancellation_id == Some(id));
        cancellation.closed && given_back && (!whole || order.status.is_terminal())
    })
}

fn given_back(order: &Placed, which: impl Fn(&Refund) -> bool) -> bool {
    order.refunds.values().filter(|refund| which(refund)).all(|refund| is_given_back(order, refund))
}

/// Whether nothing of a refund is on its way: what is owed by hand may take days.
fn is_given_back(order: &Placed, refund: &Refund) -> bool {
    let by_hand = |payment_id| order.payment_of(payment_id).is_some_and(Payment::is_external);
    refund.parts.iter().all(|part| part.progress != RefundProgress::Pending || by_hand(part.payment_id))
}

impl Verdicts {
    /// The order at the first commit at or after `version` by which the verdict has fallen; `None` if it has not within `patience`.
    /// `order` is the order at `version`, whose event has `position`.
    ///
    /// # Errors
    /// If the store cannot be read, or what is stored cannot be understood.
    pub async fn wait(
        &self,
        tenant: &Tenant,
        name: &StreamName,
        from: Verdict,
        awaited: Awaited,
        patience: Duration,
    ) -> Result<Option<Verdict>, Error> {
        let until = Instant::now() + patience;
        let stream = stream_id(tenant, name);
        let mut watching = self.watch(stream.clone());
        let mut here = from;
        let mut pause = LOOK_AGAIN_SOON;
        loop {
            match self.follow(&stream, here.clone(), awaited).await {
                Ok((next, true)) => return Ok(Some(next)),
                Ok((next, false)) => here = next,
                // What cannot be read now is looked at again: who waits has an answer already, and wants a better one.
                Err(error) if error.class() == Class::NotNow && Instant::now() + pause < until => {
                    tracing::debug!(%error, "an order that is waited for cannot be read now");
                    sleep(pause).await;
                    pause = (pause * 2).min(LOOK_AGAIN);
                    continue;
                }
                Err(error) if error.class() == Class::NotNow => return Ok(None),
                Err(error) => return Err(error),
            }
            let again = until.min(Instant::now() + LOOK_AGAIN);
            // A closed channel cannot be: this place keeps it open. A missed wake-up is made good by looking again.
            let woken = timeout_at(again, watching.seen.changed()).await;
            if woken.is_err() && Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    fn watch(&self, stream: StreamId) -> Watching {
        let mut order =
            self.waiting.entry(stream.clone()).or_insert_with(|| Waiting { seen: watch::Sender::new(0), waiters: 0 });
        order.waiters += 1;
        let seen = order.seen.subscribe();
        drop(order);
        Watching { waiting: Arc::clone(&self.waiting), stream, seen }
    }

    /// Moves on commit by commit, to the first by which the verdict has fallen or to the end of the stream.
    async fn follow(&self, stream: &StreamId, mut here: Verdict, awaited: Awaited) -> Result<(Verdict, bool), Error> {
        if awaited.is_over(&here.order) {
            return Ok((here, true));
        }
        loop {
            let entries = streams::after(&*self.store, stream, here.version).await?;
            if entries.is_empty() {
                return Ok((here, false));
            }
            for (i, entry) in entries.iter().enumerate() {
                if let Some(event) = entry.event.as_ref().and_then(Event::of) {
                    Arc::make_mut(&mut here.order).evolve(event);
                }
                here.version = entry.record.version;
                here.position = entry.record.position;
                let ends = entries.get(i + 1).is_none_or(|next| next.record.command_id != entry.record.command_id);
                if ends && awaited.is_over(&here.order) {
                    return Ok((here, true));
                }
            }
        }
    }
}
