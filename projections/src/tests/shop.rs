//! A small shop on a real store: the domain decides its events, and they are appended as in production. For tests only.

use std::collections::HashMap;
use std::sync::Arc;

use domain::ids::{
    CancellationId, CustomerRef, LineId, LocationId, OrderId, PaymentId, ReservationId, ReturnId, ShipmentId, Sku,
    derived,
};
use domain::money::{Currency, Money};
use domain::order::command::{Confirm, NewLine, Place, ReceivedUnits, ReturnUnits, Units};
use domain::order::event::{Capture, Disposition, PaymentTerms};
use domain::order::line::LineQty;
use domain::payment::command::{Outcome, RecordOutcome};
use domain::payment::event::Verb;
use domain::stock::command::Reserve;
use domain::stock::event::LineShare;
use domain::stream::StreamName;
use domain::time::Timestamp;
use domain::{Aggregate, Event, order, payment, stock, stream};
use event_store::EventStore;
use event_store::append::{Batch, Expectation, NewEvent, Outcome as Appended, StreamWrite};
use event_store::record::{Position, StreamId};
use event_store::sqlite::{Options, Store};
use schemas::{Actor, Metadata, registry};
use uuid::Uuid;

pub(crate) const TENANT: &str = "acme";

/// The folds of the shop's streams, and their store.
pub(crate) struct Shop {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) orders: HashMap<OrderId, order::Order>,
    pub(crate) stocks: HashMap<(String, String), stock::Stock>,
    pub(crate) payments: HashMap<PaymentId, payment::Payment>,
    seed: u64,
}

/// The purchase: SKUs and their quantities.
pub(crate) type Wanted<'a> = &'a [(&'a str, u32)];

impl Shop {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(Options::new(folder.path().join("log"))).expect("a new store");
        Self::on(store, folder)
    }

    /// The shop on a new store of any kind, and a folder for its other files.
    pub(crate) fn on(store: Arc<dyn EventStore>, folder: tempfile::TempDir) -> Self {
        Self { folder, store, orders: HashMap::new(), stocks: HashMap::new(), payments: HashMap::new(), seed: 7 }
    }

    /// The store as the read models take it.
    pub(crate) fn log(&self) -> Arc<dyn EventStore> {
        Arc::clone(&self.store)
    }

    pub(crate) fn head(&self) -> Position {
        self.store.head().borrow().position
    }

    /// A number below `bound`, the same one in each run.
    pub(crate) fn pick(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % bound
    }

    /// Appends events to streams as one command.
    pub(crate) async fn append(&self, correlation: Uuid, writes: Vec<(StreamName, Vec<Event>)>) -> Position {
        let metadata =
            Metadata::new(Actor { id: "clerk-7".into(), via: "test".into(), on_behalf_of: None }, correlation);
        let writes = writes.into_iter().map(|(stream, events)| StreamWrite {
            stream: StreamId::new(TENANT, stream.category, stream.id),
            expected: Expectation::Any,
            events: events
                .iter()
                .map(|event| {
                    let stored = registry::encode(event).expect("a stored form");
                    NewEvent {
                        event_id: Uuid::now_v7(),
                        kind: stored.kind,
                        schema_version: stored.schema_version,
                        data: stored.data,
                        metadata: metadata.encode(),
                    }
                })
                .collect(),
        });
        self.raw(writes.collect()).await
    }

    /// Appends any writes as one command.
    pub(crate) async fn raw(&self, writes: Vec<StreamWrite>) -> Position {
        let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes };
        match self.store.append(batch).await {
            Ok(Appended::Appended(receipt)) => receipt.last_position,
            other => panic!("{other:?}"),
        }
    }

    /// Asks an order for something; it has to be accepted.
    pub(crate) async fn order(&mut self, id: OrderId, command: order::Command) -> Position {
        let state = self.orders.entry(id).or_default();
        let events = state.decide(&command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
        events.iter().for_each(|event| state.evolve(event));
        if events.is_empty() {
            return self.head();
        }
        self.append(id.0, vec![(stream::order(id), events.into_iter().map(Event::Order).collect())]).await
    }

    /// Asks several stocks for something, as one command; all have to accept it.
    pub(crate) async fn stock(&mut self, correlation: Uuid, commands: Vec<(&str, stock::Command)>) -> Position {
        let mut writes = Vec::new();
        for (sku, command) in commands {
            let stock = self.stocks.entry((sku.to_owned(), "main".to_owned())).or_default();
            let events = stock.decide(&command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
            events.iter().for_each(|event| stock.evolve(event));
            if !events.is_empty() {
                writes.push((stream::stock(&main(), &self::sku(sku)), events.into_iter().map(Event::Stock).collect()));
            }
        }
        if writes.is_empty() {
            return self.head();
        }
        self.append(correlation, writes).await
    }

    /// Asks a payment for something; it has to be accepted.
    pub(crate) async fn payment(&mut self, id: PaymentId, order: OrderId, command: payment::Command) -> Position {
        let state = self.payments.entry(id).or_default();
        let events = state.decide(&command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
        events.iter().for_each(|event| state.evolve(event));
        if events.is_empty() {
            return self.head();
        }
        self.append(order.0, vec![(stream::payment(id), events.into_iter().map(Event::Payment).collect())]).await
    }

    pub(crate) async fn receive(&mut self, sku: &str, qty: u32) -> Position {
        let command = stock::Command::Receive {
            sku: self::sku(sku),
            location: main(),
            qty,
            source_ref: Some("delivery-1".into()),
        };
        self.stock(Uuid::now_v7(), vec![(sku, command)]).await
    }

    /// Places an order at an instant of business time, in microseconds.
    pub(crate) async fn place(&mut self, customer: &str, wanted: Wanted<'_>, at: i64) -> OrderId {
        let id = OrderId(Uuid::now_v7());
        let lines = (1..).zip(wanted).map(|(line, (sku, qty))| NewLine {
            line_id: LineId(line),
            sku: self::sku(sku),
            title: format!("a {sku}"),
            qty: *qty,
            unit_price: "2.50".to_owned().try_into().expect("a price"),
            discount: 0,
            tax_bp: 0,
            tax_included: true,
            backorder_ok: false,
            stocked: true,
        });
        let place = Place {
            order_id: id,
            external_ref: None,
            channel: "web".parse().expect("a channel"),
            customer: Some(CustomerRef::try_new(customer).expect("a customer")),
            currency: Currency::GBP,
            rounding: domain::money::Rounding::HalfEven,
            lines: lines.collect(),
            discount: 0,
            shipping: vec![],
            ship_to: None,
            payment: PaymentTerms { capture: Capture::PayLater, instrument: "approve".into(), retry_for_s: 0 },
            location: main(),
            reserve_for_s: 900,
            occurred_at: Some(Timestamp::from_micros(at)),
            tags: vec!["simulated".into()],
            expected_total: None,
            replaces: None,
            basket: None,
        };
        self.order(id, order::Command::Place(Box::new(place))).await;
        id
    }

    /// Reserves an order's stock and confirms it.
    pub(crate) async fn confirm(&mut self, id: OrderId) -> Position {
        let lines = self.lines(id);
        let reservation_id = ReservationId(derived(id.0, "reservation"));
        let commands = lines.iter().map(|(line_id, sku, qty)| {
            let reserve = Reserve {
                reservation_id,
                sku: self::sku(sku),
                location: main(),
                order_id: Some(id),
                lines: vec![LineShare { line_id: *line_id, qty: *qty }],
                backorder_ok: vec![],
                allow_partial: false,
                expires_at: None,
                now: Timestamp::from_micros(0),
                basket: None,
            };
            (sku.as_str(), stock::Command::Reserve(reserve))
        });
        self.stock(id.0, commands.collect()).await;
        let reserved =
            lines.iter().map(|(line_id, _, qty)| LineQty { line_id: *line_id, qty: *qty, location: main() }).collect();
        self.order(id, order::Command::RecordReserved { reservation_id, reserved, backordered: vec![] }).await;
        let confirm = Confirm {
            payment_id: None,
            reservation_id: Some(reservation_id),
            authorised: 0,
            payment_version: 0,
            capture_before: None,
            abilities: None,
        };
        self.order(id, order::Command::Confirm(confirm)).await
    }

    /// Asks for a payment of an order, and has it authorised.
    pub(crate) async fn authorise(&mut self, id: OrderId) -> PaymentId {
        let payment_id = PaymentId(derived(id.0, "payment"));
        let ask = payment::Command::RequestAuthorisation {
            payment_id,
            order_id: id,
            amount: Money { amount: 500, currency: Currency::GBP },
            instrument: "approve".into(),
            attempt: 1,
        };
        self.payment(payment_id, id, ask).await;
        let outcome =
            Outcome::Done { provider_ref: "p-1".into(), amount: 500, capture_before: None, fee: None, abilities: None };
        let done = RecordOutcome { verb: Verb::Authorise, attempt: 1, outcome, evidence: None };
        self.payment(payment_id, id, payment::Command::RecordOutcome(done)).await;
        payment_id
    }

    /// Ships all of a confirmed order.
    pub(crate) async fn ship(&mut self, id: OrderId) -> Position {
        let shipment_id = ShipmentId(derived(id.0, "shipment"));
        let request =
            order::Command::RequestShipment { shipment_id, lines: None, location: None, carrier: None, tracking: None };
        self.order(id, request).await;
        let reservation_id = ReservationId(derived(id.0, "reservation"));
        let lines = self.lines(id);
        let commands = lines.iter().map(|(line_id, sku, qty)| {
            let lines = vec![LineShare { line_id: *line_id, qty: *qty }];
            (sku.as_str(), stock::Command::Ship { shipment_id, reservation_id, order_id: Some(id), lines })
        });
        self.stock(id.0, commands.collect()).await;
        self.order(id, order::Command::Dispatch { shipment_id }).await
    }

    /// Takes units of the first line back, onto the shelf.
    pub(crate) async fn take_back(&mut self, id: OrderId, qty: u32) -> Position {
        let return_id = ReturnId(Uuid::now_v7());
        let (line_id, sku, _) = self.lines(id).remove(0);
        let lines = vec![ReturnUnits { line_id, qty, reason: "too small".into() }];
        self.order(id, order::Command::RequestReturn { return_id, lines }).await;
        let lines = vec![ReceivedUnits { line_id, qty, disposition: Disposition::Restock, location: None }];
        self.order(id, order::Command::ReceiveReturn { return_id, receipt: None, lines }).await;
        let back = stock::Command::Return {
            sku: self::sku(&sku),
            location: main(),
            return_id,
            receipt: 1,
            order_id: Some(id),
            restock: qty,
            damaged: 0,
        };
        self.stock(return_id.0, vec![(&sku, back)]).await
    }

    /// Calls units of the first line off, or the whole order.
    pub(crate) async fn cancel(&mut self, id: OrderId, qty: Option<u32>) -> Position {
        let cancellation_id = CancellationId(Uuid::now_v7());
        let lines = qty.map(|qty| vec![Units { line_id: LineId(1), qty }]);
        let cancel = order::Command::Cancel { cancellation_id, lines, reason: "customer_request".into() };
        self.order(id, cancel).await;
        self.order(id, order::Command::CloseCancellation { cancellation_id, payment: None }).await
    }

    /// Some hundred events of all kinds, the same in each run but for the ids.
    pub(crate) async fn trade(&mut self, orders: u64) {
        let skus = ["MUG", "LAMP", "CUP", "TRAY"];
        for sku in skus {
            self.receive(sku, 1_000_000).await;
        }
        for n in 0..orders {
            let first = skus[usize::try_from(self.pick(4)).unwrap_or(0)];
            let second = skus.iter().find(|sku| **sku != first).copied().unwrap_or("MUG");
            let qty = 1 + u32::try_from(self.pick(5)).unwrap_or(0);
            let customer = format!("c-{}", self.pick(3));
            let id = self
                .place(&customer, &[(first, qty + 1), (second, qty)], 1_000_000 * i64::try_from(n).unwrap_or(0))
                .await;
            match self.pick(5) {
                0 => {}
                1 => drop(self.cancel(id, None).await),
                2 => {
                    self.confirm(id).await;
                    self.cancel(id, Some(1)).await;
                }
                3 => {
                    self.authorise(id).await;
                    self.confirm(id).await;
                    self.ship(id).await;
                }
                _ => {
                    self.confirm(id).await;
                    self.ship(id).await;
                    self.take_back(id, 1).await;
                }
            }
        }
        let adjust = stock::Command::Adjust {
            delta: -3,
            reason: "broken".into(),
            expected: self.stocks[&("CUP".to_owned(), "main".to_owned())].on_hand,
            accept_shortage: false,
            adjustment_id: Uuid::now_v7(),
        };
        self.stock(Uuid::now_v7(), vec![("CUP", adjust)]).await;
        self.stock(Uuid::now_v7(), vec![("TRAY", stock::Command::Count { counted: 999, accept_shortage: true })]).await;
    }

    /// Writes any bytes as an event of a stream.
    pub(crate) async fn write(
        &self,
        stream: StreamId,
        (kind, schema_version): (&str, u32),
        data: &str,
        metadata: &str,
    ) -> Position {
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            kind: kind.into(),
            schema_version,
            data: data.to_owned().into(),
            metadata: metadata.to_owned().into(),
        };
        self.raw(vec![StreamWrite { stream, expected: Expectation::Any, events: vec![event] }]).await
    }

    /// Sets the record at a position aside.
    pub(crate) async fn set_aside(&self, position: Position) -> Position {
        let page = self.store.read_log(position - 1, &event_store::Filter::default(), 1).await.expect("a page");
        let record = &page.records[0];
        let it = domain::record::SetAside {
            position,
            version: record.version,
            kind: record.kind.to_string(),
            unreadable: "not known".into(),
            reason: "a test".into(),
        };
        let stored = registry::encode(&Event::Record(domain::record::Event::SetAside(it))).expect("a stored form");
        let actor = Actor { id: "operator".into(), via: "test".into(), on_behalf_of: None };
        let metadata = Metadata::new(actor, Uuid::nil()).encode();
        let (data, metadata) = (String::from_utf8_lossy(&stored.data), String::from_utf8_lossy(&metadata));
        self.write(record.stream.clone(), (&stored.kind, stored.schema_version), &data, &metadata).await
    }

    fn lines(&self, id: OrderId) -> Vec<(LineId, String, u32)> {
        let order::Order::Placed(placed) = &self.orders[&id] else {
            return vec![];
        };
        placed.lines.values().map(|line| (line.line.line_id, line.line.sku.to_string(), line.line.qty)).collect()
    }
}

pub(crate) fn sku(text: &str) -> Sku {
    Sku::try_new(text).expect("a SKU")
}

pub(crate) fn main() -> LocationId {
    LocationId::try_new("main").expect("a location")
}
