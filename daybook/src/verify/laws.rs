//! Checks the laws over a whole log: every stream is folded, its laws are checked after every event, and the laws
//! across streams after every batch. While a saga is running, one side may know a fact that the other does not; at the
//! end of the log both sides must agree wherever no saga is running. Folds that are not in use wait in a file, so
//! memory grows with the running sagas and never with the log.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use domain::ids::{OrderId, PaymentId, ReservationId};
use domain::laws::crossing::{self, Holdings};
use domain::laws::{Lawful, Violation, Watched};
use domain::order::Order;
use domain::payment::{self, Payment};
use domain::reservation::Reservation;
use domain::saga::PaymentSeen;
use domain::stock::Stock;
use domain::stream::STOCK;
use domain::{Aggregate, Event};
use event_store::record::{Position, Record, StreamId, Version};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::begun::Begun;
use super::holdings;
use super::sagas::Sagas;
use super::spilled::Spilled;
use super::unread::Unread;
use super::{Check, Counts, Proof};

/// The folds of a whole log, and the results of their checks.
pub(super) struct Laws {
    settled: Position,
    unread: Unread,
    batch: Option<Batch>,
    orders: Spilled<OrderId, OrderSeen>,
    payments: Spilled<PaymentId, Watched<Payment>>,
    stocks: Spilled<StockKey, Watched<Stock>>,
    reservations: Spilled<ReservationId, ReservationSeen>,
    sagas: Sagas,
    decoded: Check,
    order_laws: Check,
    payment_laws: Check,
    stock_laws: Check,
    crossing_laws: Check,
    end_laws: Check,
    begun: Begun,
}

/// A stock's tenant and the id of its stream.
type StockKey = (String, String);

fn shown((tenant, id): &StockKey) -> String {
    format!("{tenant}/{STOCK}-{id}")
}

/// The streams that one command's records have touched until now.
struct Batch {
    command_id: Uuid,
    stocks: HashSet<StockKey>,
    orders: BTreeSet<OrderId>,
    payments: BTreeSet<PaymentId>,
    /// Reservations that orders took over, and which orders: either says so.
    baskets: BTreeSet<(ReservationId, OrderId)>,
}

/// An order, with what the laws that cross streams need of others.
#[derive(Default, Serialize, Deserialize)]
struct OrderSeen {
    state: Watched<Order>,
    last: Position,
    /// The payments that were asked for it.
    payments: BTreeSet<PaymentId>,
    #[serde(with = "holdings")]
    held: Holdings,
}

#[derive(Default, Serialize, Deserialize)]
struct ReservationSeen {
    state: Reservation,
    last: Position,
    #[serde(with = "holdings")]
    held: Holdings,
}

impl Laws {
    /// `scratch` is an empty folder that is thrown away later.
    pub(super) fn new(settled: Position, asides: HashSet<(StreamId, Version)>, scratch: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            settled,
            unread: Unread { asides, ..Unread::default() },
            batch: None,
            orders: Spilled::new(scratch, "orders")?,
            payments: Spilled::new(scratch, "payments")?,
            stocks: Spilled::new(scratch, "stocks")?,
            reservations: Spilled::new(scratch, "reservations")?,
            sagas: Sagas::default(),
            decoded: Check::new("every event and its metadata can be read"),
            order_laws: Check::new("laws of orders, after every event and every command"),
            payment_laws: Check::new("laws of payments, after every event and every command"),
            stock_laws: Check::new("laws of stock, after every event and every command"),
            crossing_laws: Check::new("laws that cross streams, after every command"),
            end_laws: Check::new("orders, payments and stock agree where no saga is running"),
            begun: Begun::new(settled),
        })
    }

    /// Takes the next record of the log.
    pub(super) fn see(&mut self, record: &Record) -> anyhow::Result<()> {
        if self.batch.as_ref().is_none_or(|batch| batch.command_id != record.command_id) {
            self.end_batch()?;
            self.batch = Some(Batch {
                command_id: record.command_id,
                stocks: HashSet::new(),
                orders: BTreeSet::new(),
                payments: BTreeSet::new(),
                baskets: BTreeSet::new(),
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
                self.cloud(record)
            }
        }
    }

    /// Laws across streams can no longer be checked for anything that an unfolded record concerns.
    fn cloud(&mut self, record: &Record) -> anyhow::Result<()> {
        let stream = &record.stream;
        let correlation = schemas::metadata::correlation(&stream.category, &stream.id, &record.metadata);
        self.unread.concerned.insert(correlation);
        if let Some(stock) = domain::stream::parse_stock(&stream.id).filter(|_| *stream.category == *STOCK) {
            self.unread.stocks.insert(stock);
        }
        let Ok(id) = stream.id.parse::<Uuid>() else {
            return Ok(());
        };
        self.unread.concerned.insert(id);
        let payment = self.payments.get(&PaymentId(id))?.and_then(|seen| seen.state().requested());
        self.unread.concerned.extend(payment.map(|payment| payment.order_id.0));
        Ok(())
    }

    fn fold(&mut self, record: &Record, event: Event) -> anyhow::Result<()> {
        if !matches!(event, Event::Order(_)) {
            self.begun.see(record, &event, None, None);
        }
        match event {
            Event::Order(event) => self.order(record, event),
            Event::Payment(event) => self.payment(record, event),
            Event::Stock(event) => self.stock(record, event),
            Event::Reservation(event) => {
                let Some(id) = self.id(record).map(ReservationId) else {
                    return Ok(());
                };
                let seen = self.reservations.change(&id, record.data.len())?;
                seen.state.evolve(&event);
                seen.last = record.position;
                let order = seen.state.ordered_by();
                self.taken_over(Some(id), order);
                Ok(())
            }
            Event::Saga(event) => {
                self.sagas.see(record, &event);
                Ok(())
            }
            Event::Reference(_) | Event::Outcome(_) | Event::Import(_) | Event::Record(_) => Ok(()),
        }
    }

    /// The id that a stream is called by.
    fn id(&mut self, record: &Record) -> Option<Uuid> {
        let id = record.stream.id.parse().ok();
        if id.is_none() {
            self.decoded.violate(|| format!("position {}: {} is not an id", record.position, record.stream));
        }
        id
    }

    fn order(&mut self, record: &Record, event: domain::order::Event) -> anyhow::Result<()> {
        let Some(id) = self.id(record).map(OrderId) else {
            return Ok(());
        };
        if let domain::order::Event::Placed(placed) = &event {
            self.taken_over(placed.basket.as_ref().map(|basket| basket.reservation_id), Some(id));
        }
        let seen = self.orders.change(&id, record.data.len())?;
        seen.last = record.position;
        tell(&mut self.order_laws, record, seen.state.fold(event.clone()));
        self.begun.see(record, &Event::Order(event), seen.state.state().placed(), None);
        self.touch(id);
        Ok(())
    }

    fn payment(&mut self, record: &Record, event: payment::Event) -> anyhow::Result<()> {
        let Some(id) = self.id(record).map(PaymentId) else {
            return Ok(());
        };
        if let payment::Event::AuthorisationRequested(requested) = &event {
            self.orders.change(&requested.order_id, 0)?.payments.insert(requested.payment_id);
        }
        let seen = self.payments.change(&id, record.data.len())?;
        tell(&mut self.payment_laws, record, seen.fold(event.clone()));
        let payment = PaymentSeen { payment_id: id, version: record.version, payment: Arc::new(seen.state().clone()) };
        let order = payment.payment.requested().map(|requested| requested.order_id);
        self.begun.see(record, &Event::Payment(event), None, Some(&payment));
        if let Some(batch) = &mut self.batch {
            batch.payments.insert(id);
        }
        order.into_iter().for_each(|order| self.touch(order));
        Ok(())
    }

    fn stock(&mut self, record: &Record, event: domain::stock::Event) -> anyhow::Result<()> {
        let key = (record.stream.tenant.to_string(), record.stream.id.to_string());
        let seen = self.stocks.change(&key, record.data.len())?;
        tell(&mut self.stock_laws, record, seen.fold(event.clone()));
        if let Some(batch) = &mut self.batch {
            batch.stocks.insert(key);
        }
        let mut moved = crossing::moved(&event).peekable();
        if moved.peek().is_none() {
            return Ok(());
        }
        let Some(place) = domain::stream::parse_stock(&record.stream.id) else {
            self.decoded
                .violate(|| format!("position {}: {} is not the id of a stock", record.position, record.stream));
            return Ok(());
        };
        let bytes = record.stream.id.len();
        for (owner, units) in moved {
            let held = match owner {
                crossing::Owner::Order(order) => {
                    self.touch(order);
                    &mut self.orders.change(&order, bytes)?.held
                }
                crossing::Owner::Reservation(id) => &mut self.reservations.change(&id, bytes)?.held,
            };
            *held.entry(place.clone()).or_default() += units;
        }
        Ok(())
    }

    fn taken_over(&mut self, basket: Option<ReservationId>, order: Option<OrderId>) {
        if let (Some(batch), Some(basket)) = (&mut self.batch, basket.zip(order)) {
            batch.baskets.insert(basket);
        }
    }

    fn touch(&mut self, order: OrderId) {
        if let Some(batch) = &mut self.batch {
            batch.orders.insert(order);
        }
    }

    fn end_batch(&mut self) -> anyhow::Result<()> {
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        let command = batch.command_id;
        for key in &batch.stocks {
            end(&mut self.stock_laws, &shown(key), command, self.stocks.change(key, 0)?);
        }
        for payment in &batch.payments {
            end(&mut self.payment_laws, payment, command, self.payments.change(payment, 0)?);
        }
        for order in &batch.orders {
            let seen = self.orders.change(order, 0)?;
            end(&mut self.order_laws, order, command, &mut seen.state);
            let payments = states(&mut self.payments, &seen.payments)?;
            if self.unread.clouds_order(*order, seen.state.state(), &seen.held) {
                continue;
            }
            self.crossing_laws.checked += 1;
            if let Err(violation) = seen.cross(&payments, true) {
                self.crossing_laws.violate(|| format!("command {command}: {}", said(&violation)));
            }
        }
        for (basket, order) in &batch.baskets {
            if [basket.0, order.0].iter().any(|id| self.unread.clouds(*id, std::iter::empty())) {
                continue;
            }
            let reservation = self.reservations.change(basket, 0)?.state.clone();
            let order = self.orders.change(order, 0)?.state.state();
            self.crossing_laws.checked += 1;
            if let Err(violation) = crossing::check_taken_over(&reservation, order) {
                self.crossing_laws.violate(|| format!("command {command}: {}", said(&violation)));
            }
        }
        self.orders.make_room()?;
        self.payments.make_room()?;
        self.stocks.make_room()?;
        self.reservations.make_room()
    }

    /// Checks the end of the log: streams without a running saga must agree. Counts orders by status and sagas by
    /// state.
    pub(super) fn finish(mut self, proof: &mut Proof) -> anyhow::Result<()> {
        self.end_batch()?;
        let mut orders = Counts::new();
        let (settled, about) = (self.settled, &self.sagas.about);
        // An answer about it may still be pending: a saga of it is open, or the runner has not seen its last event.
        let on_its_way = |id: Uuid, last: Position| last > settled || about.contains_key(&id);
        self.stocks.each(|key, seen| {
            if let Err(violation) = seen.end() {
                self.stock_laws.violate(|| format!("{}, at the end: {}", shown(&key), said(&violation)));
            }
            Ok(())
        })?;
        self.orders.each(|id, seen| {
            // One that only others speak of: its own records cannot be read.
            if seen.last > 0 {
                let status = seen.state.state().placed().map_or("absent", |placed| placed.status.name());
                *orders.entry(status.to_owned()).or_default() += 1;
            }
            if on_its_way(id.0, seen.last) || self.unread.clouds_order(id, seen.state.state(), &seen.held) {
                return Ok(());
            }
            self.payments.make_room()?;
            let payments = states(&mut self.payments, &seen.payments)?;
            self.end_laws.checked += 1;
            if let Err(violation) = seen.cross(&payments, false) {
                self.end_laws.violate(|| said(&violation));
            }
            Ok(())
        })?;
        self.reservations.each(|id, seen| {
            if self.unread.clouds(id.0, seen.held.keys()) {
                return Ok(());
            }
            self.end_laws.checked += 1;
            // What an order took over is moved or released by the order's checkout.
            let order = seen.state.ordered_by();
            let on_its_way = on_its_way(id.0, seen.last) || order.is_some_and(|order| on_its_way(order.0, seen.last));
            if let Err(violation) = crossing::check_reservation(&seen.state, &seen.held, on_its_way) {
                self.end_laws.violate(|| said(&violation));
            }
            Ok(())
        })?;
        let begun = self.begun.finish(proof);
        proof.checks.extend([
            self.decoded,
            self.order_laws,
            self.payment_laws,
            self.stock_laws,
            self.crossing_laws,
            self.end_laws,
            begun,
        ]);
        (proof.orders, proof.sagas) = (orders, self.sagas.counts());
        Ok(())
    }
}

impl OrderSeen {
    fn cross(&self, payments: &[Payment], on_its_way: bool) -> Result<(), Violation> {
        let payments: Vec<&Payment> = payments.iter().collect();
        crossing::check(self.state.state(), &payments, &self.held, on_its_way)
    }
}

/// Where payments stand.
fn states(
    payments: &mut Spilled<PaymentId, Watched<Payment>>,
    ids: &BTreeSet<PaymentId>,
) -> anyhow::Result<Vec<Payment>> {
    let mut states = Vec::with_capacity(ids.len());
    for id in ids {
        states.extend(payments.get(id)?.map(|seen| seen.state().clone()));
    }
    Ok(states)
}

fn tell(check: &mut Check, record: &Record, verdict: Result<(), Violation>) {
    check.checked += 1;
    if let Err(violation) = verdict {
        check.violate(|| format!("position {}, {}: {}", record.position, record.stream, said(&violation)));
    }
}

/// Ends a batch of a stream.
fn end<A: Lawful>(check: &mut Check, stream: &dyn std::fmt::Display, command: Uuid, watched: &mut Watched<A>) {
    if let Err(violation) = watched.end_batch() {
        check.violate(|| format!("{stream}, command {command}: {}", said(&violation)));
    }
}

fn said(violation: &Violation) -> String {
    format!("{}: {}", violation.law, violation.detail)
}
