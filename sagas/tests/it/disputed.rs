//! A provider that says other things than the payment: what comes of it is shown, and nothing is sent again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::Command;
use domain::ids::{OrderId, Tenant};
use domain::order::event::Capture;
use domain::order::state::Status;
use domain::payment::command::{Command as Wish, Outcome, RecordOutcome};
use domain::payment::{self as payments};
use event_store::{EventStore, Filter, StoreTail};
use sagas::gateway::{Answer, Call, Found};
use sagas::{Dispatch, DispatchError, PaymentGateway, PaymentWorker, payment};
use schemas::Metadata;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::faulty::Counting;
use super::services::Services;
use super::shop::{Shop, pays};

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
