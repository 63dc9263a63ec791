//! A shop with a store of its own, whose runner and payment worker can be killed and started again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use domain::command::StockCommand;
use domain::ids::{LineId, OrderId, PaymentId, Tenant, derived};
use domain::money::{Currency, Rounding};
use domain::order::Order;
use domain::order::command::{NewLine, Place};
use domain::order::event::{Capture, PaymentTerms};
use domain::order::state::{Placed, Status};
use domain::outcome::Verdict;
use domain::payment::Payment;
use domain::stock::Stock;
use domain::{Command, order, stock, stream};
use event_store::sqlite::{self, Store};
use event_store::{EventStore, Filter, StoreTail};
use sagas::gateway::Sandbox;
use sagas::gateway::sandbox;
use sagas::{PaymentWorker, Runner, payment, runner};
use schemas::{Actor, Metadata};
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
pub(crate) struct Life {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

pub(crate) fn tenant() -> Tenant {
    "main".parse().unwrap()
}

fn meta() -> Metadata {
    let actor = Actor {
        id: "test".into(),
        via: "test".into(),
        on_behalf_of: None,
    };
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
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(sqlite::Options::new(dir.path().join("store")));
        let store = store.unwrap();
        let sandbox = sandbox(&dir.path().join("sandbox.sqlite"));
        let services = Arc::new(Services {
            store: store.clone(),
            unreliable,
            count: AtomicUsize::new(0),
        });
        let mut shop = Self {
            store,
            services,
            sandbox,
            dir,
            made: 0,
        };
        for sku in ["A", "B"] {
            let receive = stock::Command::Receive {
                sku: sku.parse().unwrap(),
                location: "main".parse().unwrap(),
                qty: 100_000,
                source_ref: None,
            };
            shop.stock(sku, receive).await;
        }
        shop
    }

    /// The provider dies and comes back with its book.
    pub(crate) fn reopen_sandbox(&mut self) {
        self.sandbox = sandbox(&self.dir.path().join("sandbox.sqlite"));
    }

    async fn stock(&mut self, sku: &str, command: stock::Command) {
        let stock = vec![StockCommand {
            location: "main".parse().unwrap(),
            sku: sku.parse().unwrap(),
            command,
        }];
        let reservation = None;
        self.send(Command::Inventory { reservation, stock }).await;
    }

    pub(crate) async fn send(&mut self, command: Command) -> Option<Verdict> {
        self.made += 1;
        let id = derived(Uuid::nil(), &format!("test/{}", self.made));
        let (tenant, meta) = (tenant(), meta());
        let sent = self.services.carry_out(&tenant, id, &command, &meta);
        sent.await.unwrap()
    }

    pub(crate) async fn order(
        &mut self,
        order_id: OrderId,
        command: order::Command,
    ) -> Option<Verdict> {
        self.send(Command::Order { order_id, command }).await
    }

    pub(crate) async fn place(
        &mut self,
        number: u128,
        capture: Capture,
        instrument: &str,
    ) -> OrderId {
        let order_id = OrderId(Uuid::from_u128(number));
        let line = |number: u32, sku: &str, qty| NewLine {
            line_id: LineId(number),
            sku: sku.parse().unwrap(),
            title: sku.to_owned(),
            qty,
            unit_price: "10.00".to_owned().try_into().unwrap(),
            discount: 0,
            tax_bp: 0,
            tax_included: true,
            backorder_ok: false,
            stocked: true,
        };
        let place = Place {
            order_id,
            external_ref: None,
            channel: "web".parse().unwrap(),
            customer: None,
            currency: Currency::GBP,
            rounding: Rounding::HalfEven,
            lines: vec![line(1, "A", 3), line(2, "B", 2)],
            discount: 0,
            shipping: Vec::new(),
            ship_to: None,
            payment: PaymentTerms {
                capture,
                instrument: instrument.to_owned(),
            },
            location: "main".parse().unwrap(),
            reserve_for_s: 900,
            occurred_at: None,
            tags: Vec::new(),
            expected_total: None,
        };
        self.order(order_id, order::Command::Place(Box::new(place)))
            .await;
        order_id
    }

    pub(crate) fn live(&self) -> Life {
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let store: Arc<dyn EventStore> = self.store.clone();
        let runner = Runner::new(
            store.clone(),
            Box::new(StoreTail::new(store.clone(), Filter::default())),
            self.services.clone(),
            tracker.clone(),
            runner::Options {
                save_every: Duration::from_millis(50),
                resend_after: Duration::from_millis(500),
                page: 64,
                sagas: 20,
                payments: 10,
                ..runner::Options::default()
            },
        );
        let worker = PaymentWorker::new(
            store,
            self.sandbox.clone(),
            self.services.clone(),
            tracker.clone(),
            payment::Options {
                call_timeout: Duration::from_millis(400),
                grace: Duration::from_millis(100),
                ask_first: Duration::from_millis(20),
                ask_cap: Duration::from_millis(100),
                save_every: Duration::from_millis(50),
                ..payment::Options::default()
            },
        );
        let (a, b) = (cancel.clone(), cancel.clone());
        let tasks = vec![
            tokio::spawn(async move { runner.run(a).await.unwrap() }),
            tokio::spawn(async move { worker.run(b).await.unwrap() }),
        ];
        Life {
            tasks,
            cancel,
            tracker,
        }
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
        self.until(order_id, |order| order.status != Status::Pending)
            .await
            .status
    }

    pub(crate) async fn until(
        &self,
        order_id: OrderId,
        enough: impl Fn(&Placed) -> bool,
    ) -> Placed {
        let began = Instant::now();
        loop {
            let order = self.placed(order_id).await;
            if enough(&order) {
                return order;
            }
            if began.elapsed() > Duration::from_secs(30) {
                let mut story = format!("{order:#?}");
                for (kind, subject) in [
                    ("checkout", order_id.0),
                    ("fulfilment", derived(order_id.0, "shipment")),
                    ("cancellation", derived(order_id.0, "cancellation")),
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
    /// As if the process was killed: nothing is finished and nothing saved.
    pub(crate) async fn kill(self) {
        for task in &self.tasks {
            task.abort();
        }
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        for task in self.tasks {
            assert!(task.await.is_ok_and(|()| true) || self.cancel.is_cancelled());
        }
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
