//! The laws over a whole log: every stream folded, its laws checked after every event, and the laws that cross streams after every batch.
//! Where a saga is on its way, one side may know what the other has not been told yet; at the end of the log, where none is, both agree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Display;

use domain::ids::{LocationId, OrderId, PaymentId, ReservationId, Sku};
use domain::laws::{Lawful, Violation, Watched, crossing};
use domain::order::Order;
use domain::payment::{self, Payment};
use domain::reservation::Reservation;
use domain::saga;
use domain::stock::Stock;
use domain::stream::STOCK;
use domain::{Aggregate, Event};
use event_store::record::{Position, Record, StreamId, Version};
use uuid::Uuid;

use super::begun::Begun;
use super::{Check, Counts};

/// The folds of a whole log, and what was checked of them.
pub(super) struct Laws {
    settled: Position,
    unread: Unread,
    batch: Option<Batch>,
    orders: HashMap<OrderId, OrderSeen>,
    payments: HashMap<PaymentId, Watched<Payment>>,
    paid: HashMap<OrderId, PaymentId>,
    stocks: HashMap<StreamId, Watched<Stock>>,
    reservations: HashMap<ReservationId, ReservationSeen>,
    sagas: HashMap<StreamId, SagaSeen>,
    open: HashMap<Uuid, BTreeSet<String>>,
    decoded: Check,
    order_laws: Check,
    payment_laws: Check,
    stock_laws: Check,
    crossing_laws: Check,
    end_laws: Check,
    owners: HashMap<crossing::Owner, crossing::Holdings>,
    begun: Begun,
}

/// What is not folded: what was set aside, and what comes in a stream after a record that cannot be read.
#[derive(Default)]
struct Unread {
    asides: HashSet<(StreamId, Version)>,
    streams: HashSet<StreamId>,
    /// What the work of such records belongs to, and whose stock they are.
    concerned: HashSet<Uuid>,
    stocks: HashSet<(LocationId, Sku)>,
}

impl Unread {
    fn clouds<'a>(&self, correlation: Uuid, mut stocks: impl Iterator<Item = &'a (LocationId, Sku)>) -> bool {
        self.concerned.contains(&correlation) || (!self.stocks.is_empty() && stocks.any(|it| self.stocks.contains(it)))
    }
}

/// What the records of one command have touched so far.
struct Batch {
    command_id: Uuid,
    stocks: HashSet<StreamId>,
    orders: BTreeSet<OrderId>,
    payments: BTreeSet<PaymentId>,
}

#[derive(Default)]
struct OrderSeen {
    state: Watched<Order>,
    last: Position,
}

#[derive(Default)]
struct ReservationSeen {
    state: Reservation,
    last: Position,
}

enum SagaSeen {
    Running(Uuid),
    Parked(Uuid),
    Ended(String),
}

impl Laws {
    pub(super) fn new(settled: Position, asides: HashSet<(StreamId, Version)>) -> Self {
        Self {
            settled,
            unread: Unread { asides, ..Unread::default() },
            batch: None,
            orders: HashMap::new(),
            payments: HashMap::new(),
            paid: HashMap::new(),
            stocks: HashMap::new(),
            reservations: HashMap::new(),
            sagas: HashMap::new(),
            open: HashMap::new(),
            decoded: Check::new("every event and its metadata can be read"),
            order_laws: Check::new("laws of orders, after every event and every command"),
            payment_laws: Check::new("laws of payments, after every event and every command"),
            stock_laws: Check::new("laws of stock, after every event and every command"),
            crossing_laws: Check::new("laws that cross streams, after every command"),
            end_laws: Check::new("orders, payments and stock agree where no saga is on its way"),
            owners: HashMap::new(),
            begun: Begun::new(settled),
        }
    }

    /// Takes the next record of the log.
    pub(super) fn see(&mut self, record: &Record) {
        if self.batch.as_ref().is_none_or(|batch| batch.command_id != record.command_id) {
            self.end_batch();
            self.batch = Some(Batch {
                command_id: record.command_id,
                stocks: HashSet::new(),
                orders: BTreeSet::new(),
                payments: BTreeSet::new(),
            });
        }
        self.decoded.checked += 1;
        if self.unread.asides.contains(&(record.stream.clone(), record.version)) {
            return self.cloud(record);
        }
        match streams::decode(record) {
            Ok(_) if self.unread.streams.contains(&record.stream) => self.cloud(record),
            Ok(read) => self.fold(record, read.event),
            Err(unreadable) => {
                self.decoded.violate(|| unreadable.to_string());
                self.unread.streams.insert(record.stream.clone());
                self.cloud(record);
            }
        }
    }

    /// What crosses streams cannot be told any more of what a record concerns that is not folded.
    fn cloud(&mut self, record: &Record) {
        let stream = &record.stream;
        let correlation = schemas::metadata::correlation(&stream.category, &stream.id, &record.metadata);
        self.unread.concerned.insert(correlation);
        if let Some(stock) = domain::stream::parse_stock(&stream.id).filter(|_| *stream.category == *STOCK) {
            self.unread.stocks.insert(stock);
        }
        self.unread.concerned.extend(stream.id.parse::<Uuid>());
        let payment =
            stream.id.parse().ok().and_then(|id| self.payments.get(&id)).and_then(|seen| seen.state().requested());
        self.unread.concerned.extend(payment.map(|payment| payment.order_id.0));
    }

    fn fold(&mut self, record: &Record, event: Event) {
        if !matches!(event, Event::Order(_)) {
            self.begun.see(record, &event, None);
        }
        match event {
            Event::Order(event) => self.order(record, event),
            Event::Payment(event) => self.payment(record, event),
            Event::Stock(event) => {
                let verdict = self.stocks.entry(record.stream.clone()).or_default().fold(event.clone());
                tell(&mut self.stock_laws, record, verdict);
                if let Some(batch) = &mut self.batch {
                    batch.stocks.insert(record.stream.clone());
                }
                self.moved(record, &event);
            }
            Event::Reservation(event) => {
                let Ok(id) = record.stream.id.parse() else {
                    return;
                };
                let seen = self.reservations.entry(id).or_default();
                seen.state.evolve(&event);
                seen.last = record.position;
            }
            Event::Saga(event) => self.saga(record, event),
            Event::Reference(_) | Event::Outcome(_) | Event::Import(_) | Event::Record(_) => {}
        }
    }

    fn order(&mut self, record: &Record, event: domain::order::Event) {
        let Ok(id) = record.stream.id.parse() else {
            return self
                .decoded
                .violate(|| format!("position {}: {} is no order's id", record.position, record.stream));
        };
        let seen = self.orders.entry(id).or_default();
        seen.last = record.position;
        tell(&mut self.order_laws, record, seen.state.fold(event.clone()));
        self.begun.see(record, &Event::Order(event), seen.state.state().placed());
        self.touch(id);
    }

    fn payment(&mut self, record: &Record, event: payment::Event) {
        let Ok(id) = record.stream.id.parse() else {
            return self
                .decoded
                .violate(|| format!("position {}: {} is no payment's id", record.position, record.stream));
        };
        if let payment::Event::AuthorisationRequested(requested) = &event {
            self.paid.insert(requested.order_id, requested.payment_id);
        }
        let seen = self.payments.entry(id).or_default();
        tell(&mut self.payment_laws, record, seen.fold(event));
        let order = seen.state().requested().map(|requested| requested.order_id);
        if let Some(batch) = &mut self.batch {
            batch.payments.insert(id);
        }
        order.into_iter().for_each(|order| self.touch(order));
    }

    fn moved(&mut self, record: &Record, event: &domain::stock::Event) {
        let Some((owner, units)) = crossing::moved(event) else {
            return;
        };
        let Some((location, sku)) = domain::stream::parse_stock(&record.stream.id) else {
            return self
                .decoded
                .violate(|| format!("position {}: {} is no stock's id", record.position, record.stream));
        };
        *self.owners.entry(owner).or_default().entry((location, sku)).or_default() += units;
        if let crossing::Owner::Order(order) = owner {
            self.touch(order);
        }
    }

    fn saga(&mut self, record: &Record, event: saga::Event) {
        let stream = record.stream.clone();
        let name = record.stream.id.to_string();
        match event {
            saga::Event::Started(started) => {
                self.open.entry(started.correlation).or_default().insert(name);
                self.sagas.insert(stream, SagaSeen::Running(started.correlation));
            }
            saga::Event::Parked(_) => {
                if let Some(SagaSeen::Running(of)) = self.sagas.get(&stream) {
                    let of = *of;
                    self.sagas.insert(stream, SagaSeen::Parked(of));
                }
            }
            saga::Event::Resumed(_) => {
                if let Some(SagaSeen::Parked(of)) = self.sagas.get(&stream) {
                    let of = *of;
                    self.sagas.insert(stream, SagaSeen::Running(of));
                }
            }
            saga::Event::Ended(ended) => {
                if let Some(SagaSeen::Running(of) | SagaSeen::Parked(of)) = self.sagas.get(&stream)
                    && let Some(open) = self.open.get_mut(of)
                {
                    open.remove(&name);
                }
                let kind = name.split('-').next().unwrap_or_default().to_owned();
                let how = if ended.undone { format!("undone ({})", ended.outcome) } else { "done".to_owned() };
                self.sagas.insert(stream, SagaSeen::Ended(format!("{kind} {how}")));
            }
            _ => {}
        }
    }

    fn touch(&mut self, order: OrderId) {
        if let Some(batch) = &mut self.batch {
            batch.orders.insert(order);
        }
    }

    fn end_batch(&mut self) {
        let Some(batch) = self.batch.take() else {
            return;
        };
        let command = batch.command_id;
        for stream in &batch.stocks {
            end(&mut self.stock_laws, stream, command, self.stocks.get_mut(stream));
        }
        for payment in &batch.payments {
            end(&mut self.payment_laws, payment, command, self.payments.get_mut(payment));
        }
        for order in batch.orders {
            let seen = self.orders.get_mut(&order).map(|seen| &mut seen.state);
            end(&mut self.order_laws, &order, command, seen);
            if self.is_clouded(order) {
                continue;
            }
            self.crossing_laws.checked += 1;
            if let Err(violation) = self.cross(order, true) {
                self.crossing_laws.violate(|| format!("command {}: {}", batch.command_id, said(&violation)));
            }
        }
    }

    fn cross(&self, order: OrderId, on_its_way: bool) -> Result<(), Violation> {
        let (no_order, no_payment, no_stock) = (Order::default(), Payment::default(), crossing::Holdings::default());
        let state = self.orders.get(&order).map_or(&no_order, |seen| seen.state.state());
        let payment = self.paid.get(&order).and_then(|id| self.payments.get(id)).map_or(&no_payment, Watched::state);
        let stock = self.owners.get(&crossing::Owner::Order(order)).unwrap_or(&no_stock);
        crossing::check(state, payment, stock, on_its_way)
    }

    /// Whether a record that is not folded may have changed what the order and its payment and stock agree on.
    fn is_clouded(&self, order: OrderId) -> bool {
        if self.unread.concerned.is_empty() {
            return false;
        }
        let held = self.owners.get(&crossing::Owner::Order(order)).into_iter().flat_map(BTreeMap::keys);
        let placed = self.orders.get(&order).and_then(|seen| seen.state.state().placed());
        let payment = placed.and_then(|placed| placed.payment.payment_id);
        if payment.is_some_and(|payment| self.unread.concerned.contains(&payment.0)) {
            return true;
        }
        let ordered: Vec<_> = placed
            .into_iter()
            .flat_map(|placed| placed.lines.values().map(|line| (placed.location.clone(), line.line.sku.clone())))
            .collect();
        self.unread.clouds(order.0, held.chain(&ordered))
    }

    /// Whether something about it may still be answered: a saga of it is open, or the runner has not seen its last event.
    fn on_its_way(&self, correlation: Uuid, last: Position) -> bool {
        last > self.settled || self.open.get(&correlation).is_some_and(|open| !open.is_empty())
    }

    /// Ends the log: what nothing is on its way for has to agree. Tells orders by status and sagas by how they are.
    pub(super) fn finish(mut self, checks: &mut Vec<Check>) -> (Counts, Counts) {
        self.end_batch();
        let mut orders = Counts::new();
        for (id, seen) in &self.orders {
            let status = seen.state.state().placed().map_or("absent", |placed| placed.status.name());
            *orders.entry(status.to_owned()).or_default() += 1;
            if !self.on_its_way(id.0, seen.last) && !self.is_clouded(*id) {
                self.end_laws.checked += 1;
                if let Err(violation) = self.cross(*id, false) {
                    self.end_laws.violate(|| said(&violation));
                }
            }
        }
        for (id, seen) in &self.reservations {
            let nothing = crossing::Holdings::default();
            let stock = self.owners.get(&crossing::Owner::Reservation(*id)).unwrap_or(&nothing);
            let on_its_way = self.on_its_way(id.0, seen.last);
            if self.unread.clouds(id.0, stock.keys()) {
                continue;
            }
            self.end_laws.checked += 1;
            if let Err(violation) = crossing::check_reservation(&seen.state, stock, on_its_way) {
                self.end_laws.violate(|| said(&violation));
            }
        }
        let mut sagas: BTreeMap<String, u64> = BTreeMap::new();
        for saga in self.sagas.values() {
            let how = match saga {
                SagaSeen::Running(_) => "running".to_owned(),
                SagaSeen::Parked(_) => "parked".to_owned(),
                SagaSeen::Ended(how) => how.clone(),
            };
            *sagas.entry(how).or_default() += 1;
        }
        checks.extend([
            self.decoded,
            self.order_laws,
            self.payment_laws,
            self.stock_laws,
            self.crossing_laws,
            self.end_laws,
            self.begun.finish(),
        ]);
        (orders, sagas)
    }
}

fn tell(check: &mut Check, record: &Record, verdict: Result<(), Violation>) {
    check.checked += 1;
    if let Err(violation) = verdict {
        check.violate(|| format!("position {}, {}: {}", record.position, record.stream, said(&violation)));
    }
}

/// Ends a batch of a stream.
fn end<A: Lawful>(check: &mut Check, stream: &dyn Display, command: Uuid, watched: Option<&mut Watched<A>>) {
    if let Some(Err(violation)) = watched.map(Watched::end_batch) {
        check.violate(|| format!("{stream}, command {command}: {}", said(&violation)));
    }
}

fn said(violation: &Violation) -> String {
    format!("{}: {}", violation.law, violation.detail)
}
