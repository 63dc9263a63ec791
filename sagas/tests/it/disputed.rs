//! A provider that says other things than the payment: what comes of it is shown, and nothing is sent again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{OrderId, PaymentId, Tenant, derived};
use domain::order::event::Capture;
use domain::order::state::Status;
use domain::payment::command::{Command as Wish, Outcome, RecordOutcome};
use domain::payment::{self as payments};
use domain::{Command, Event, stream};
use event_store::{EventStore, Filter, StoreTail};
use sagas::gateway::{Answer, Call, Found};
use sagas::{Dispatch, DispatchError, PaymentGateway, PaymentWorker, payment};
use schemas::Metadata;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::faulty::Counting;
use super::services::Services;
use super::shop::{Shop, pays, tenant};

/// A provider that speaks of a penny more than was asked for, until it is mended.
struct Generous {
    inner: Arc<dyn PaymentGateway>,
    mended: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl PaymentGateway for Generous {
    async fn authorise(&self, call: &Call) -> Answer {
        match self.inner.authorise(call).await {
            Answer::Done(mut done) => {
                done.amount += i64::from(!self.mended.load(Ordering::SeqCst));
                Answer::Done(done)
            }
            other => other,
        }
    }

    async fn capture(&self, call: &Call) -> Answer {
        self.inner.capture(call).await
    }

    async fn void(&self, call: &Call) -> Answer {
        self.inner.void(call).await
    }

    async fn raise(&self, call: &Call) -> Answer {
        self.inner.raise(call).await
    }

    async fn refund(&self, call: &Call) -> Answer {
        self.inner.refund(call).await
    }

    async fn query(&self, call: &Call) -> Found {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.inner.query(call).await {
            Found::Done(mut done) => {
                done.amount += i64::from(!self.mended.load(Ordering::SeqCst));
                Found::Done(done)
            }
            other => other,
        }
    }
}

/// Somebody else settles a payment right before the worker says what came of it.
struct Overtaken(Arc<Services>);

#[async_trait]
impl Dispatch for Overtaken {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        let (services, tenant) = (self.0.clone(), tenant.clone());
        // A command that was sent is carried out, also if the worker has seen the other outcome meanwhile and waits no more.
        let sent = tokio::spawn(async move {
            if let Command::Payment { payment_id, command: Wish::RecordOutcome(told) } = &command
                && matches!(told.outcome, Outcome::Done { .. })
            {
                let outcome = Outcome::NotDone { code: "by hand".into() };
                let told = RecordOutcome { outcome, ..told.clone() };
                let other = Command::Payment { payment_id: *payment_id, command: Wish::RecordOutcome(told) };
                services.carry_out(&tenant, domain::ids::derived(command_id, "other"), &other, &meta).await.unwrap();
            }
            services.dispatch(&tenant, command_id, command, meta).await
        });
        sent.await.unwrap()
    }
}

/// A provider that does not know at first, and says so at length.
struct Talkative {
    inner: Arc<dyn PaymentGateway>,
    knows: AtomicBool,
}

#[async_trait]
impl PaymentGateway for Talkative {
    async fn authorise(&self, call: &Call) -> Answer {
        if self.knows.swap(true, Ordering::SeqCst) {
            return self.inner.authorise(call).await;
        }
        // More than an event takes, in characters of several bytes.
        Answer::Unknown { detail: "né ".repeat(400_000) }
    }

    async fn capture(&self, call: &Call) -> Answer {
        self.inner.capture(call).await
    }

    async fn void(&self, call: &Call) -> Answer {
        self.inner.void(call).await
    }

    async fn raise(&self, call: &Call) -> Answer {
        self.inner.raise(call).await
    }

    async fn refund(&self, call: &Call) -> Answer {
        self.inner.refund(call).await
    }

    async fn query(&self, call: &Call) -> Found {
        self.inner.query(call).await
    }
}

/// So many times nobody can take that an outcome is unknown.
struct Impossible {
    inner: Arc<dyn Dispatch>,
    left: AtomicUsize,
}

#[async_trait]
impl Dispatch for Impossible {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        if let Command::Payment { command: Wish::RecordOutcome(told), .. } = &command
            && matches!(told.outcome, Outcome::Unknown { .. })
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            return Err(DispatchError::Impossible("it is too large".into()));
        }
        self.inner.dispatch(tenant, command_id, command, meta).await
    }
}

struct Worker {
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn worker(shop: &Shop, gateway: Arc<dyn PaymentGateway>, dispatch: Arc<dyn Dispatch>) -> Worker {
    let store: Arc<dyn EventStore> = shop.store.clone();
    let options = payment::Options { resend_after: Duration::from_millis(50), ..pays("disputed") };
    let feed = Box::new(StoreTail::new(store.clone(), payment::filter()));
    let worker = PaymentWorker::new(store, feed, gateway, dispatch, TaskTracker::new(), options);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    Worker { cancel, task: tokio::spawn(async move { worker.run(stop).await.unwrap() }) }
}

impl Worker {
    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

/// The worker sends nothing for a while, many times longer than it waits before it sends something again.
async fn sends_nothing(counting: &Counting) {
    let before = counting.sent();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(counting.sent(), before, "the same is sent again and again");
}

async fn noted(shop: &Shop, order_id: OrderId, what: &str) {
    let order = shop.until(order_id, |order| !order.notes.is_empty()).await;
    let notes: Vec<_> = order.notes.values().filter_map(|note| note.text.known().cloned()).collect();
    assert!(notes.iter().any(|note| note.contains(what)), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_of_another_amount_leaves_the_payment_unknown_and_is_not_sent_again() {
    let mut shop = Shop::open(0).await;
    let runs = shop.join_sagas("a");
    let gateway =
        Arc::new(Generous { inner: shop.sandbox.clone(), mended: AtomicBool::new(false), asked: AtomicUsize::new(0) });
    let counting = Counting::new(shop.services.clone());
    let worker = worker(&shop, gateway.clone(), counting.clone());
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    noted(&shop, order_id, "the provider speaks of").await;
    let payment = shop.payment(order_id).await;
    assert!(matches!(&payment, payments::Payment::Requested(it) if it.unknown()), "{payment:?}");
    sends_nothing(&counting).await;
    // It is asked on, so that what the provider mends is heard.
    let asked = gateway.asked.load(Ordering::SeqCst);
    gateway.mended.store(true, Ordering::SeqCst);
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    assert!(gateway.asked.load(Ordering::SeqCst) > asked);
    worker.stop().await;
    runs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_payment_refuses_is_noted_on_the_order_and_not_sent_again() {
    let mut shop = Shop::open(0).await;
    let runs = shop.join_sagas("a");
    let counting = Counting::new(Arc::new(Overtaken(shop.services.clone())));
    let worker = worker(&shop, shop.sandbox.clone(), counting.clone());
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    noted(&shop, order_id, "outcome-settled").await;
    sends_nothing(&counting).await;
    let log = shop.store.read_log(0, &Filter { kinds: vec!["NoteAdded".into()], ..Filter::default() }, 100).await;
    assert_eq!(log.unwrap().records.len(), 1);
    worker.stop().await;
    runs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_asked_on_where_that_it_does_not_know_cannot_be_recorded() {
    let mut shop = Shop::open(0).await;
    let runs = shop.join_sagas("a");
    let dispatch = Arc::new(Impossible { inner: shop.services.clone(), left: AtomicUsize::new(usize::MAX) });
    let worker = worker(&shop, shop.sandbox.clone(), dispatch);
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:dark-5").await;
    noted(&shop, order_id, "it is too large").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    worker.stop().await;
    runs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_says_is_cut_to_what_is_stored() {
    let mut shop = Shop::open(0).await;
    let runs = shop.join_sagas("a");
    let gateway = Talkative { inner: shop.sandbox.clone(), knows: AtomicBool::new(false) };
    let worker = worker(&shop, Arc::new(gateway), shop.services.clone());
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let name = stream::payment(PaymentId(derived(order_id.0, "payment")));
    let events = shop.services.events(&tenant(), &name).await;
    let details = events.iter().filter_map(|event| match event {
        Event::Payment(payments::Event::OutcomeUnknown(unknown)) => unknown.detail.as_deref(),
        _ => None,
    });
    let lengths: Vec<_> = details.map(|detail| detail.chars().count()).collect();
    assert_eq!(lengths, [300]);
    worker.stop().await;
    runs.stop().await;
}
