//! An order with the most lines and the longest names, through every route that uses all of them. Every accepted
//! request must be carried out: the queue accepts each of its commands, the log accepts each of its events, and no saga
//! is parked.

use std::collections::{BTreeMap, BTreeSet};

use domain::command::StockCommand;
use domain::ids::PaymentId;
use domain::order::Order;
use domain::payment::Payment;
use domain::saga::{self, Batch, Decision, Needs, Origin, PaymentSeen, Recorded, Saga, Trigger};
use domain::time::Timestamp;
use domain::{Aggregate as _, Event, stock};
use event_store::record::Record;
use event_store::{Filter, MAX_EVENT_BYTES};
use schemas::command::Envelope;
use schemas::registry;

use super::*;

/// The largest body of a command on the queue: two megabytes with room for the subject and the headers.
const MAX_BODY: usize = (2 * 1024 - 64) * 1024;
const LINES: u32 = 2_000;

fn long(end: &str) -> String {
    format!("{}{end}", "\u{20000}".repeat(64 - end.len()))
}

fn sku(line: u32) -> String {
    long(&format!("{line:04}"))
}

/// Runs the sagas, without clocks and payments, until nothing is left to do.
struct Runner<'a> {
    server: &'a Server,
    seen: u64,
    running: BTreeMap<Uuid, Saga>,
    sent: Vec<Uuid>,
}

impl<'a> Runner<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, seen: 0, running: BTreeMap::new(), sent: Vec::new() }
    }

    async fn run(&mut self) {
        while self.hear().await | self.act().await {}
        for saga in self.running.values() {
            let state = saga.state();
            assert_eq!(state.parked, None);
            assert!(state.ended.is_some(), "it does not end: {:?}", state.steps);
        }
    }

    async fn hear(&mut self) -> bool {
        let mut records = Vec::new();
        loop {
            let page = self.server.executor.store().read_log(self.seen, &Filter::default(), 1_000).await.unwrap();
            let Some(last) = page.records.last() else { break };
            self.seen = last.position;
            records.extend(page.records);
        }
        for written in records.chunk_by(|one, other| one.command_id == other.command_id) {
            self.tell(written).await;
        }
        !records.is_empty()
    }

    async fn tell(&mut self, written: &[Record]) {
        let mut batch = Batch { command_id: written[0].command_id, ..Batch::default() };
        let mut begun = Vec::new();
        for record in written {
            let event = streams::event(record).unwrap();
            batch.events.push(Recorded { stream: record.stream.id.clone(), version: record.version, event });
        }
        batch.payment = self.payment_of(written).await;
        for record in written {
            let event = streams::event(record).unwrap();
            begun.extend(self.begun_by(record, &event, batch.payment.as_ref()).await);
        }
        let now = Timestamp::from_micros(written[0].recorded_at);
        for saga in self.running.values_mut() {
            if let Some(decision) = saga.react(Trigger::Recorded(&batch), now) {
                fit(&decision);
                saga.evolve(&decision);
            }
        }
        self.running.extend(begun.into_iter().map(|saga| (saga.id(), saga)));
    }

    async fn payment_of(&self, written: &[Record]) -> Option<PaymentSeen> {
        let last = written.iter().rev().find(|record| &*record.stream.category == stream::PAYMENT)?;
        let payment_id = PaymentId(last.stream.id.parse().unwrap());
        let name = stream::payment(payment_id);
        let (payment, version) = self.server.executor.load::<Payment>(&tenant(), &name).await.unwrap();
        Some(PaymentSeen { payment_id, version, payment })
    }

    async fn begun_by(&self, record: &Record, event: &Event, payment: Option<&PaymentSeen>) -> Vec<Saga> {
        let Some(needs) = saga::may_start(&record.stream.id, event) else {
            return Vec::new();
        };
        let mut order = None;
        if let Needs::Order(order_id) = needs {
            let name = stream::order(order_id);
            order = Some(self.server.executor.load::<Order>(&tenant(), &name).await.unwrap().0);
        }
        let recorded_at = Timestamp::from_micros(record.recorded_at);
        let (stream, version, event_id) = (&*record.stream.id, record.version, record.event_id);
        let origin = Origin { stream, version, event_id, recorded_at, event };
        let started = saga::start(&origin, order.as_deref().and_then(Order::placed), payment);
        let begun = started.into_iter().map(|started| {
            let (saga, decision) = Saga::begin(&tenant(), started, record.command_id, recorded_at).unwrap();
            fit(&decision);
            saga
        });
        begun.collect()
    }

    async fn act(&mut self) -> bool {
        let asked: Vec<_> = self.running.values().flat_map(Saga::pending).collect();
        let before = self.sent.len();
        for (id, command) in asked {
            if self.sent.contains(&id) {
                continue;
            }
            self.sent.push(id);
            let metadata = Metadata::new(actor(), id);
            let envelope = Envelope::new(tenant(), id, command.clone(), metadata.clone());
            let bytes = envelope.encode().unwrap();
            assert!(bytes.len() <= MAX_BODY, "a command of {} bytes", bytes.len());
            assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
            self.server.executor.execute_command(&tenant(), id, command, metadata).await.unwrap();
        }
        self.sent.len() > before
    }
}

fn fit(decision: &Decision) {
    let encoded = registry::encode(&Event::Saga(decision.clone())).unwrap();
    let bytes = encoded.data.len();
    assert!(bytes + 4 * 1024 <= MAX_EVENT_BYTES, "{} would have {bytes} bytes", encoded.kind);
}

/// Stock of everything, in one batch.
async fn stocked(server: &Server) {
    let location = LocationId::try_new(long("here")).unwrap();
    let receive = |line| {
        let sku = Sku::try_new(sku(line)).unwrap();
        let command =
            stock::Command::Receive { sku: sku.clone(), location: location.clone(), qty: 100, source_ref: None };
        StockCommand { location: location.clone(), sku, command }
    };
    let command = Command::Inventory { reservation: None, stock: (1..=LINES).map(receive).collect() };
    let id = uuid::Uuid::now_v7();
    let done = server.executor.execute_command(&tenant(), id, command, Metadata::new(actor(), id)).await.unwrap();
    assert_eq!(done.refused(), None);
}

async fn placed(server: &Server) -> OrderId {
    let line = |line| json!({"sku": sku(line), "title": "t", "qty": 2, "unit_price": "1.00", "backorder_ok": true});
    let body = json!({
        "currency": "GBP",
        "payment": {"capture": "pay_later"},
        "location": long("here"),
        "lines": (1..=LINES).map(line).collect::<Vec<_>>(),
    });
    let told = server.send(post("/v1/orders", body)).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&told.body));
    order_id(&told)
}

fn all(qty: u32, more: &Value) -> Value {
    let line = |line: u32| {
        let mut said = json!({"line_id": line, "qty": qty});
        for (name, value) in more.as_object().into_iter().flatten() {
            said[name] = value.clone();
        }
        said
    };
    (1..=LINES).map(line).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_of_the_largest_order_is_carried_out() {
    let server = Server::new();
    stocked(&server).await;
    let mut runner = Runner::new(&server);
    let id = placed(&server).await;
    runner.run().await;
    let path = |rest: &str| format!("/v1/orders/{id}/{rest}");
    let reason = "\u{20000}".repeat(500);

    let changes: Vec<_> = (1..=500).map(|line| json!({"set_qty": {"line_id": line, "qty": 3}})).collect();
    let edit = json!({"changes": changes, "reason": reason});
    let told = server.send(ask(Method::PATCH, &path("lines")).if_match("*").body(edit)).await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{}", told.json()["detail"]);
    runner.run().await;

    let some = json!({"lines": all(1, &Value::Null), "reason": reason});
    let told = server.send(post(&path("cancellations"), some)).await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{}", told.json()["detail"]);
    runner.run().await;

    let told = server.send(ask(Method::POST, &path("shipments"))).await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{}", told.json()["detail"]);
    assert_eq!(told.json()["shipments"][0]["lines"].as_array().map(Vec::len), Some(LINES as usize));
    runner.run().await;

    let back = json!({"lines": all(1, &json!({"reason": "too small"}))});
    let told = server.send(post(&path("returns"), back)).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.json()["detail"]);
    let returned = told.json()["returns"][0]["return_id"].as_str().unwrap().to_owned();
    let came = json!({"lines": all(1, &json!({"disposition": "damaged"}))});
    let told = server.send(post(&format!("/v1/returns/{returned}/receipts"), came)).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.json()["detail"]);
    runner.run().await;

    let id = placed(&server).await;
    runner.run().await;
    let told = server.send(post(&format!("/v1/orders/{id}/cancellations"), json!({"reason": reason}))).await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{}", told.json()["detail"]);
    runner.run().await;
    let (order, _) = server.executor.load::<Order>(&tenant(), &stream::order(id)).await.unwrap();
    assert_eq!(order.placed().map(|order| order.status), Some(domain::order::state::Status::Cancelled));
    let begun = starts_are_what_their_events_say(&server).await;
    assert!(
        begun.is_superset(&["amendment", "cancellation", "checkout", "fulfilment", "return"].map(str::to_owned).into())
    );
}

/// Each saga that began with an event begins as a runner would begin it, which knows the order right after that event and nothing of what
/// the same batch decided after it. The kinds that began.
async fn starts_are_what_their_events_say(server: &Server) -> BTreeSet<String> {
    let (mut kinds, mut orders, mut events) = (BTreeSet::new(), BTreeMap::<_, Order>::new(), BTreeMap::new());
    let store = server.executor.store();
    let mut seen = 0;
    loop {
        let page = store.read_log(seen, &Filter::default(), 1_000).await.unwrap();
        let Some(last) = page.records.last() else { return kinds };
        seen = last.position;
        for record in page.records {
            let event = streams::event(&record).unwrap();
            if let Event::Order(event) = &event {
                orders.entry(record.stream.clone()).or_default().evolve(event);
            }
            if let Event::Saga(decision) = &event
                && let Some(started) = decision.started()
            {
                let cause = Metadata::decode(&record.metadata).unwrap().causation.unwrap();
                let (begins, event, order): &(Record, Event, Option<Order>) = &events[&cause];
                let origin = Origin {
                    stream: &begins.stream.id,
                    version: begins.version,
                    event_id: cause,
                    recorded_at: decision.at,
                    event,
                };
                let expected = saga::start(&origin, order.as_ref().and_then(Order::placed), None);
                assert!(expected.contains(started), "{}: {started:?}, and not {expected:?}", record.stream);
                kinds.insert(started.kind.clone());
            }
            if saga::may_start(&record.stream.id, &event).is_some() {
                let order = orders.get(&record.stream).cloned();
                events.insert(record.event_id, (record, event, order));
            }
        }
    }
}
