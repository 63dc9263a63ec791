//! A shop with a store of its own, whose runner and payment worker can be killed and started again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use domain::command::StockCommand;
use domain::ids::{CancellationId, LineId, OrderId, PaymentId, ShipmentId, Tenant, derived};
use domain::money::{Currency, Rounding};
use domain::order::Order;
use domain::order::command::{NewLine, Place};
use domain::order::event::{Capture, PaymentTerms};
use domain::order::state::{Placed, Status};
use domain::outcome::Verdict;
use domain::payment::Payment;
use domain::saga::cancellation;
use domain::stock::Stock;
use domain::{Command, order, stock, stream};
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::sqlite::{self, Store};
use event_store::{EventStore, Feed, Filter, StoreTail};
use sagas::gateway::Sandbox;
use sagas::gateway::sandbox;
use sagas::{Dispatch, Holds, PaymentWorker, Pool, Runner, payment, runner};
use schemas::{Actor, Metadata};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::services::{self, Services, id_of};

pub(crate) struct Shop {
    pub(crate) store: Arc<Store>,
    pub(crate) services: Arc<Services>,
    pub(crate) sandbox: Arc<Sandbox>,
    dir: tempfile::TempDir,
    made: u64,
}

/// What runs until it is killed.
#[derive(Default)]
pub(crate) struct Life {
    tasks: Vec<JoinHandle<()>>,
    cancel: CancellationToken,
    tracker: TaskTracker,
    /// What its runner holds, where it runs all of the work.
    pub(crate) holds: Holds,
}

/// How long anything may take to come about, on a machine that has much else to do.
pub(crate) const WITHIN: Duration = Duration::from_secs(120);

/// How long those of several processes are waited for that are silent.
pub(crate) const LEASE: Duration = Duration::from_millis(1_500);

/// Quick and cramped.
pub(crate) fn runs(owner: &str) -> runner::Options {
    runner::Options {
        save_every: Duration::from_millis(50),
        resend_after: Duration::from_millis(500),
        page: 64,
        sagas: 20,
        payments: 10,
        ..runner::Options::new(owner)
    }
}

/// Quick.
pub(crate) fn pays(owner: &str) -> payment::Options {
    payment::Options {
        call_timeout: Duration::from_millis(400),
        grace: Duration::from_millis(100),
        ask_first: Duration::from_millis(20),
        ask_cap: Duration::from_millis(100),
        resend_after: Duration::from_millis(500),
        save_every: Duration::from_millis(50),
        ..payment::Options::new(owner)
    }
}

pub(crate) fn tenant() -> Tenant {
    "main".parse().unwrap()
}

pub(crate) fn ship(order_id: OrderId) -> order::Command {
    order::Command::RequestShipment {
        shipment_id: ShipmentId(derived(order_id.0, "shipment")),
        lines: None,
        location: None,
        carrier: None,
        tracking: None,
    }
}

pub(crate) fn cancel(order_id: OrderId) -> order::Command {
    order::Command::Cancel {
        cancellation_id: CancellationId(derived(order_id.0, "cancellation")),
        lines: None,
        reason: "changed mind".into(),
    }
}

pub(crate) fn meta() -> Metadata {
    let actor = Actor { id: "test".into(), via: "test".into(), on_behalf_of: None };
    Metadata::new(actor, Uuid::nil())
}

fn sandbox(path: &Path) -> Arc<Sandbox> {
    let clock = || domain::time::Timestamp::from_micros((sqlite::system_clock())());
    let mut options = sandbox::Options::new(path, Arc::new(clock));
    options.late = Duration::from_millis(200);
    options.busy = Duration::from_millis(20);
    Arc::new(Sandbox::open(options).unwrap())
}

impl Shop {
    pub(crate) async fn open(unreliable: usize) -> Self {
        Self::open_with(unreliable, false).await
    }

    /// The same with a clock that can be advanced.
    pub(crate) async fn open_for_a_test() -> Self {
        Self::open_with(0, true).await
    }

    async fn open_with(unreliable: usize, test_clock: bool) -> Self {
        let mut shop = Self::open_empty(unreliable, test_clock);
        for sku in ["A", "B"] {
            shop.receive(sku, 100_000).await;
        }
        shop
    }

    /// One whose shelves are empty.
    pub(crate) fn open_empty(unreliable: usize, test_clock: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(sqlite::Options::new(dir.path().join("store")).test_clock(test_clock)).unwrap();
        let sandbox = sandbox(&dir.path().join("sandbox.sqlite"));
        let services = Arc::new(Services { store: store.clone(), unreliable, count: AtomicUsize::new(0) });
        Self { store, services, sandbox, dir, made: 0 }
    }

    /// Up to so many units of a SKU may be promised beyond what there is.
    pub(crate) async fn promise(&mut self, sku: &str, backorder_limit: u32) {
        let register = stock::Command::Register {
            sku: sku.parse().unwrap(),
            location: "main".parse().unwrap(),
            safety_stock: 0,
            backorder_limit,
        };
        self.stock(sku, register).await;
    }

    /// Stock comes.
    pub(crate) async fn receive(&mut self, sku: &str, qty: u32) {
        let receive = stock::Command::Receive {
            sku: sku.parse().unwrap(),
            location: "main".parse().unwrap(),
            qty,
            source_ref: None,
        };
        self.stock(sku, receive).await;
    }

    /// The provider dies and comes back with its book.
    pub(crate) fn reopen_sandbox(&mut self) {
        self.sandbox = sandbox(&self.dir.path().join("sandbox.sqlite"));
    }

    async fn stock(&mut self, sku: &str, command: stock::Command) {
        let stock = vec![StockCommand { location: "main".parse().unwrap(), sku: sku.parse().unwrap(), command }];
        let reservation = None;
        self.send(Command::Inventory { reservation, stock }).await;
    }

    /// Writes to a stream past every rule, as a later version of the program would. Its version.
    pub(crate) async fn write(&self, name: &stream::StreamName, event: NewEvent) -> u64 {
        let write = StreamWrite { stream: id_of(&tenant(), name), expected: Expectation::Any, events: vec![event] };
        let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes: vec![write] };
        match self.store.append(batch).await.unwrap() {
            Outcome::Appended(receipt) => receipt.streams[0].last_version,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, command: Command) -> Option<Verdict> {
        self.made += 1;
        let id = derived(Uuid::nil(), &format!("test/{}", self.made));
        let (tenant, meta) = (tenant(), meta());
        let sent = self.services.carry_out(&tenant, id, &command, &meta);
        sent.await.unwrap()
    }

    pub(crate) async fn order(&mut self, order_id: OrderId, command: order::Command) -> Option<Verdict> {
        self.send(Command::Order { order_id, command }).await
    }

    pub(crate) async fn place(&mut self, number: u128, capture: Capture, instrument: &str) -> OrderId {
        let lines = [("A", 3, false), ("B", 2, false)];
        self.place_lines(number, capture, instrument, &lines).await
    }

    /// An order of these SKUs, so many each, and whether they may wait for stock.
    pub(crate) async fn place_lines(
        &mut self,
        number: u128,
        capture: Capture,
        instrument: &str,
        lines: &[(&str, u32, bool)],
    ) -> OrderId {
        let order_id = OrderId(Uuid::from_u128(number));
        let line = |(at, (sku, qty, backorder_ok)): (u32, &(&str, u32, bool))| NewLine {
            line_id: LineId(at),
            sku: sku.parse().unwrap(),
            title: (*sku).to_owned(),
            qty: *qty,
            unit_price: "10.00".to_owned().try_into().unwrap(),
            discount: 0,
            tax_bp: 0,
            tax_included: true,
            backorder_ok: *backorder_ok,
            stocked: true,
        };
        let place = Place {
            order_id,
            external_ref: None,
            channel: "web".parse().unwrap(),
            customer: None,
            currency: Currency::GBP,
            rounding: Rounding::HalfEven,
            lines: (1..).zip(lines).map(line).collect(),
            discount: 0,
            shipping: Vec::new(),
            ship_to: None,
            payment: PaymentTerms { capture, instrument: instrument.into(), retry_for_s: 0 },
            location: "main".parse().unwrap(),
            reserve_for_s: 900,
            occurred_at: None,
            tags: Vec::new(),
            expected_total: None,
            replaces: None,
            basket: None,
        };
        self.order(order_id, order::Command::Place(Box::new(place))).await;
        order_id
    }

    pub(crate) fn live(&self) -> Life {
        self.live_on(self.store.clone())
    }

    /// The same, on a store of its own.
    pub(crate) fn live_on(&self, store: Arc<dyn EventStore>) -> Life {
        let (cancel, tracker, holds) = (CancellationToken::new(), TaskTracker::new(), Holds::default());
        let runner = Runner::new(
            store.clone(),
            Box::new(StoreTail::new(store.clone(), Filter::default())),
            self.services.clone(),
            tracker.clone(),
            runs("shop"),
        )
        .shown_in(holds.clone());
        let worker = PaymentWorker::new(
            store.clone(),
            Box::new(StoreTail::new(store, payment::filter())),
            self.sandbox.clone(),
            self.services.clone(),
            tracker.clone(),
            pays("shop"),
        );
        let (a, b) = (cancel.clone(), cancel.clone());
        let tasks = vec![
            tokio::spawn(async move { runner.run(a).await.unwrap() }),
            tokio::spawn(async move { worker.run(b).await.unwrap() }),
        ];
        Life { tasks, cancel, tracker, holds }
    }

    /// One of several processes on the same store: a pool of runners and a payment worker that stands by or is active.
    pub(crate) fn join(&self, owner: &str) -> Life {
        self.join_with(owner, self.store.clone(), self.services.clone())
    }

    /// The same, with a store and a way of sending of its own.
    pub(crate) fn join_with(&self, owner: &str, store: Arc<dyn EventStore>, dispatch: Arc<dyn Dispatch>) -> Life {
        let mut life = self.pool(owner, store.clone(), dispatch.clone());
        let pays = self.worker(owner, store, dispatch, &life);
        life.tasks.push(pays);
        life
    }

    /// One that runs sagas alone.
    pub(crate) fn join_sagas(&self, owner: &str) -> Life {
        self.pool(owner, self.store.clone(), self.services.clone())
    }

    /// One that follows payments alone.
    pub(crate) fn join_payments(&self, owner: &str) -> Life {
        let mut life = Life::default();
        let worker = self.worker(owner, self.store.clone(), self.services.clone(), &life);
        life.tasks.push(worker);
        life
    }

    fn pool(&self, owner: &str, store: Arc<dyn EventStore>, dispatch: Arc<dyn Dispatch>) -> Life {
        let mut life = Life::default();
        let options = runner::Options { lease: LEASE, ..runs(owner) };
        let tails = store.clone();
        let feeds: sagas::pool::Feeds = Arc::new(move |door| -> Box<dyn Feed> {
            Box::new(StoreTail::through(tails.clone(), Filter::default(), door))
        });
        let pool = Pool::new(store, feeds, dispatch, life.tracker.clone(), options);
        let cancel = life.cancel.clone();
        life.tasks.push(tokio::spawn(async move { pool.run(cancel).await.unwrap() }));
        life
    }

    fn worker(
        &self,
        owner: &str,
        store: Arc<dyn EventStore>,
        dispatch: Arc<dyn Dispatch>,
        life: &Life,
    ) -> JoinHandle<()> {
        let options = payment::Options { lease: LEASE, ..pays(owner) };
        let worker = PaymentWorker::new(
            store.clone(),
            Box::new(StoreTail::new(store, payment::filter())),
            self.sandbox.clone(),
            dispatch,
            life.tracker.clone(),
            options,
        );
        let cancel = life.cancel.clone();
        tokio::spawn(async move { worker.run(cancel).await.unwrap() })
    }

    pub(crate) async fn placed(&self, order_id: OrderId) -> Placed {
        let stream = id_of(&tenant(), &stream::order(order_id));
        let load = self.services.load::<Order>(&stream, services::order);
        load.await.unwrap().0.placed().unwrap().clone()
    }

    pub(crate) async fn payment(&self, order_id: OrderId) -> Payment {
        let payment_id = PaymentId(derived(order_id.0, "payment"));
        let stream = id_of(&tenant(), &stream::payment(payment_id));
        let load = self.services.load::<Payment>(&stream, services::payment);
        load.await.unwrap().0
    }

    pub(crate) async fn reserved(&self) -> u32 {
        let mut sum = 0;
        for sku in ["A", "B"] {
            let name = stream::stock(&"main".parse().unwrap(), &sku.parse().unwrap());
            let stream = id_of(&tenant(), &name);
            let load = self.services.load::<Stock>(&stream, services::stocked);
            sum += load.await.unwrap().0.reserved;
        }
        sum
    }

    /// Waits until the order is no longer pending.
    pub(crate) async fn verdict(&self, order_id: OrderId) -> Status {
        self.until(order_id, |order| order.status != Status::Pending).await.status
    }

    pub(crate) async fn until(&self, order_id: OrderId, enough: impl Fn(&Placed) -> bool) -> Placed {
        let began = Instant::now();
        loop {
            let order = self.placed(order_id).await;
            if enough(&order) {
                return order;
            }
            if began.elapsed() > WITHIN {
                let mut story = format!("{order:#?}");
                for (kind, subject) in [
                    ("checkout", order_id.0),
                    ("fulfilment", derived(order_id.0, "shipment")),
                    (
                        "cancellation",
                        cancellation::subject(order_id, CancellationId(derived(order_id.0, "cancellation"))),
                    ),
                ] {
                    let name = stream::saga(kind, subject);
                    for event in self.services.events(&tenant(), &name).await {
                        story.push_str(&format!("\n{kind} {event:?}"));
                    }
                }
                panic!("it takes too long: {story}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Life {
    /// Whether all of it still runs.
    pub(crate) fn lives(&self) -> bool {
        self.tasks.iter().all(|task| !task.is_finished())
    }

    /// As if the process was killed: nothing is finished and nothing saved.
    pub(crate) async fn kill(self) {
        for task in &self.tasks {
            task.abort();
        }
        // They are gone before they could hear that they shall stop.
        for task in self.tasks {
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
        }
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// As it is told to stop.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.tracker.close();
        self.tracker.wait().await;
    }
}
