//! Plans of commands to orders. Some take a name in the same batch: an external reference, the id of a shipment or of a return; and some are
//! checked against stock or against another order, in the same batch too. Every plan of a command to an order is made here; one made
//! elsewhere could take a name twice.

use std::collections::{BTreeMap, BTreeSet};

use domain::Aggregate;
use domain::ids::{LineId, LocationId, OrderId, ReservationId, Sku, Tenant};
use domain::order::command::{Place, ReceivedUnits, Units};
use domain::order::event::{AfterLoss, Disposition};
use domain::order::line::LineQty;
use domain::order::replacement;
use domain::order::state::{Placed, Status};
use domain::order::{Basket, Command, Event, Order};
use domain::reference::{self, Kind, Reference};
use domain::reservation::Reservation;
use domain::stock::event::LineShare;
use domain::stock::{self, Stock};
use domain::stream::{self, StreamName};

use crate::execute::{Error, Executor, Plan};

/// What plans are made of: what is there, and whether an earlier plan turned out to be made of something else.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Reads what is there.
    pub executor: &'a Executor,
    /// Whose.
    pub tenant: &'a Tenant,
    /// Whether an earlier plan was outdated.
    pub again: bool,
}

/// The plan of a command to an order; the order's state comes with the answer.
///
/// # Errors
/// If what it is made of cannot be read.
pub async fn order(known: Known<'_>, order_id: OrderId, command: &Command) -> Result<Plan, Error> {
    if let Some(plan) = known.together(order_id, command).await? {
        return Ok(plan);
    }
    let plan = Plan::new().and::<Order>(stream::order(order_id), command.clone());
    known.complete(plan, order_id, command).await
}

/// The plan of a command to an order whose state the answer need not carry.
///
/// # Errors
/// If what it is made of cannot be read.
pub async fn order_unseen(known: Known<'_>, order_id: OrderId, command: &Command) -> Result<Plan, Error> {
    if let Some(plan) = known.together(order_id, command).await? {
        return Ok(plan);
    }
    let plan = Plan::new().and_unseen::<Order>(stream::order(order_id), command.clone());
    known.complete(plan, order_id, command).await
}

/// The plan of letting units of a SKU that an order holds at a location wait for stock again: order and stock say so in one batch. The
/// stock's state comes with the answer.
///
/// # Errors
/// If what it is made of cannot be read.
pub async fn deferral(known: Known<'_>, order_id: OrderId, of: &Held) -> Result<Plan, Error> {
    let name = stream::order(order_id);
    let (order, version) = known.executor.load::<Order>(known.tenant, &name).await?;
    let lines = order.placed().map_or_else(Vec::new, |order| of.lines(order));
    let reason = of.reason.clone();
    let record = Command::RecordDeferred { lines: lines.clone(), reason: reason.clone() };
    let plan = Plan::new().and_unseen::<Order>(name.clone(), record).made_at::<Order>(name, version);
    let reservation_id = order.placed().and_then(|order| order.reservation_id);
    let asked = match reservation_id.filter(|_| !lines.is_empty()) {
        Some(reservation_id) => {
            let lines = lines.iter().map(|line| LineShare { line_id: line.line_id, qty: line.qty }).collect();
            stock::Command::Defer { reservation_id, order_id, lines, reason }
        }
        // The order says why not. The stock is looked at all the same: the caller may name the version that it knows.
        None => stock::Command::CheckKept { sku: of.sku.clone(), location: of.location.clone() },
    };
    Ok(plan.and::<Stock>(stream::stock(&of.location, &of.sku), asked))
}

/// Units that an order holds.
pub struct Held {
    /// Of what.
    pub sku: Sku,
    /// Where.
    pub location: LocationId,
    /// How many.
    pub qty: u32,
    /// Why they are to wait.
    pub reason: String,
}

impl Held {
    /// The order's lines that hold them, the highest first. What is beyond them is asked of the lowest one, which refuses it.
    fn lines(&self, order: &Placed) -> Vec<LineQty> {
        if self.location != order.location {
            return Vec::new();
        }
        let same = order.lines.iter().filter(|(_, line)| line.line.stocked && line.line.sku == self.sku);
        let mut same = same.rev().peekable();
        let (mut left, mut lines) = (self.qty, Vec::new());
        while let Some((line_id, line)) = same.next() {
            let last = same.peek().is_none();
            let qty = if last { left } else { left.min(line.shippable()) };
            left -= qty;
            if qty > 0 {
                lines.push(LineQty { line_id: *line_id, qty, location: order.location.clone() });
            }
        }
        lines
    }
}

impl Known<'_> {
    /// The plan with the names that the command takes, and what it is checked against.
    async fn complete(self, plan: Plan, order_id: OrderId, command: &Command) -> Result<Plan, Error> {
        match command {
            Command::Place(place) => self.placed(plan, order_id, place).await,
            Command::RequestShipment { shipment_id, lines, .. } => {
                let plan = claim(plan, stream::shipment(*shipment_id), order_id, Kind::Shipment);
                self.of_order(plan, order_id, |plan, order| {
                    // What was requested before has its units, or has lost them: the order knows.
                    let new = !order.shipments.contains_key(shipment_id);
                    let leaving = if new { leaving(order, lines.as_deref()) } else { BTreeMap::new() };
                    leaving.into_iter().fold(plan, |plan, (sku, qty)| {
                        let name = stream::stock(&order.location, sku);
                        plan.and_unseen::<Stock>(name, stock::Command::CheckShippable { qty })
                    })
                })
                .await
            }
            Command::RequestReturn { return_id, .. } => {
                Ok(claim(plan, stream::returned(*return_id), order_id, Kind::Return))
            }
            Command::Edit(_) => self.of_order(plan, order_id, |plan, order| available(plan, order, command)).await,
            Command::ReceiveReturn { lines, .. } => {
                self.of_order(plan, order_id, |plan, order| kept(plan, order, lines)).await
            }
            _ => Ok(plan),
        }
    }

    /// The plan of a command that another aggregate has to take part in: lost units sent again with a new order, an order placed on a
    /// reservation. `None` for every other command.
    async fn together(self, order_id: OrderId, command: &Command) -> Result<Option<Plan>, Error> {
        Ok(match command {
            Command::ReportLost { then: AfterLoss::Resend, .. }
            | Command::DecideLoss { then: AfterLoss::Resend, .. } => Some(self.resent(order_id, command).await?),
            Command::Place(place) => match &place.basket {
                Some(basket) => Some(self.placed_on(order_id, place, basket.reservation_id).await?),
                None => None,
            },
            _ => None,
        })
    }

    /// The plan of sending lost units again: the order that sends them is placed in the same batch as the decision.
    async fn resent(self, order_id: OrderId, command: &Command) -> Result<Plan, Error> {
        let name = stream::order(order_id);
        let (order, version) = self.executor.load::<Order>(self.tenant, &name).await?;
        let (shipment_id, lost_now) = match command {
            Command::ReportLost { shipment_id, lines, .. } => {
                let all = || order.placed().map_or_else(Vec::new, |order| replacement::under_way(order, *shipment_id));
                (*shipment_id, lines.clone().unwrap_or_else(all))
            }
            Command::DecideLoss { shipment_id, .. } => (*shipment_id, Vec::new()),
            _ => return Ok(Plan::new().and::<Order>(name, command.clone())),
        };
        // A report of nothing decides nothing, of earlier losses neither.
        let nothing = matches!(command, Command::ReportLost { .. }) && lost_now.is_empty();
        let sent = match order.placed() {
            Some(order) if !nothing => replacement::undecided(order, shipment_id, &lost_now),
            _ => Vec::new(),
        };
        let mut command = command.clone();
        if let Command::ReportLost { sent: told, .. } | Command::DecideLoss { sent: told, .. } = &mut command {
            *told = Some(sent.clone());
        }
        let plan = Plan::new().and::<Order>(name.clone(), command).made_at::<Order>(name, version);
        // Where nothing is to be sent the order says why not.
        let (Some(order), false) = (order.placed(), sent.is_empty()) else {
            return Ok(plan);
        };
        let decisions = order.shipments.get(&shipment_id).map_or(0, |shipment| shipment.decisions);
        let resent = replacement::replacement_of(order_id, shipment_id, decisions.saturating_add(1));
        let place = replacement::place(order, resent, &sent);
        Ok(plan.and_unseen::<Order>(stream::order(resent), Command::Place(Box::new(place))))
    }

    /// The plan with what follows from the order as it is. Where there is none, the decision says so.
    async fn of_order(
        self,
        plan: Plan,
        order_id: OrderId,
        more: impl FnOnce(Plan, &Placed) -> Plan,
    ) -> Result<Plan, Error> {
        let name = stream::order(order_id);
        let (order, version) = self.executor.load::<Order>(self.tenant, &name).await?;
        let plan = plan.made_at::<Order>(name, version);
        Ok(match &*order {
            Order::Placed(order) => more(plan, order),
            Order::Absent => plan,
        })
    }

    /// The plan of a placing on a reservation: what that asked for is read here, and it ends in the same batch. It never changes what it asked
    /// for, but may end, or be opened, before the batch is written.
    async fn placed_on(self, order_id: OrderId, place: &Place, id: ReservationId) -> Result<Plan, Error> {
        let name = stream::reservation(id);
        let (reservation, version) = self.executor.load::<Reservation>(self.tenant, &name).await?;
        let items = match &*reservation {
            Reservation::Open(opened) => opened.items.clone(),
            // The reservation says why not.
            Reservation::Absent | Reservation::Ended { .. } => Vec::new(),
        };
        let basket = Basket { reservation_id: id, items };
        let close = Basket::close(order_id);
        let place = Place { basket: Some(basket), ..place.clone() };
        let command = Command::Place(Box::new(place.clone()));
        let plan = Plan::new().and::<Order>(stream::order(order_id), command);
        let plan = plan.and_unseen::<Reservation>(name.clone(), close).made_at::<Reservation>(name, version);
        self.placed(plan, order_id, &place).await
    }

    /// The plan of a placing with its external reference, which nothing is taken to have until it turns out otherwise: then it can still be
    /// had if the order that has it was rejected, and is so when the batch is written.
    async fn placed(self, plan: Plan, order_id: OrderId, place: &Place) -> Result<Plan, Error> {
        let Some(external_ref) = &place.external_ref else {
            return Ok(plan);
        };
        let name = stream::reference(&place.channel, external_ref);
        let plain = |plan| claim(plan, name.clone(), order_id, Kind::ExternalRef);
        if !self.again {
            return Ok(plain(plan).made_at::<Reference>(name, 0));
        }
        let (reference, version) = self.executor.load::<Reference>(self.tenant, &name).await?;
        let Reference(Some(before)) = *reference else {
            return Ok(plain(plan).made_at::<Reference>(name, version));
        };
        let before_name = stream::order(before);
        let (order, before_version) = self.executor.load::<Order>(self.tenant, &before_name).await?;
        let rejected = matches!(&*order, Order::Placed(order) if order.status == Status::Rejected);
        if !rejected || before == order_id {
            return Ok(plain(plan).made_at::<Reference>(name, version));
        }
        let succeed = reference::Command::Succeed { order_id, rejected: before };
        let plan = plan.and_unseen::<Reference>(name.clone(), succeed).made_at::<Reference>(name, version);
        Ok(plan.made_at::<Order>(before_name, before_version))
    }
}

fn claim(plan: Plan, name: StreamName, order_id: OrderId, kind: Kind) -> Plan {
    plan.and_unseen::<Reference>(name, reference::Command::Claim { order_id, kind })
}

/// How many units of which SKU a shipment takes from the order's location: those named, or all that are reserved.
fn leaving<'a>(order: &'a Placed, lines: Option<&[Units]>) -> BTreeMap<&'a Sku, u32> {
    let mut leaving: BTreeMap<&Sku, u32> = BTreeMap::new();
    let mut leaves = |line_id, qty: u32| {
        if let Some(line) = order.lines.get(line_id).filter(|line| line.line.stocked && qty > 0) {
            let sum = leaving.entry(&line.line.sku).or_default();
            *sum = sum.saturating_add(qty);
        }
    };
    match lines {
        Some(lines) => lines.iter().for_each(|units| leaves(&units.line_id, units.qty)),
        None => order.lines.iter().for_each(|(line_id, line)| leaves(line_id, line.shippable())),
    }
    leaving
}

/// The plan of a receipt, with a look at each stock that takes units back: a place where the SKU was never kept is a mistake.
fn kept(plan: Plan, order: &Placed, lines: &[ReceivedUnits]) -> Plan {
    let back = lines.iter().filter(|line| line.disposition != Disposition::Missing);
    let places: BTreeSet<_> = back
        .filter_map(|units| {
            let line = order.lines.get(&units.line_id).filter(|line| line.line.stocked)?;
            let location = units.location.as_ref().unwrap_or(&order.location);
            Some((location, &line.line.sku))
        })
        .collect();
    places.into_iter().fold(plan, |plan, (location, sku)| {
        let check = stock::Command::CheckKept { sku: sku.clone(), location: location.clone() };
        plan.and_unseen::<Stock>(stream::stock(location, sku), check)
    })
}

/// The plan with a check for each SKU that an edit wants more of: what inventory has not got is refused before anything is written.
fn available(plan: Plan, order: &Placed, command: &Command) -> Plan {
    let events = Order::Placed(order.clone()).decide(command).unwrap_or_default();
    let edited = events.iter().find_map(|event| match event {
        Event::Edited(edited) => Some(edited),
        _ => None,
    });
    let Some(edited) = edited else {
        return plan;
    };
    let mut after = Order::Placed(order.clone());
    for event in &events {
        after.evolve(event);
    }
    let lines = after.placed().map(|after| &after.lines);
    let mut wanted: BTreeMap<(LocationId, Sku), (Vec<LineShare>, Vec<LineId>)> = BTreeMap::new();
    for units in &edited.reserve {
        let Some(line) = lines.and_then(|lines| lines.get(&units.line_id)).map(|state| &state.line) else {
            continue;
        };
        let (shares, backorder_ok) = wanted.entry((units.location.clone(), line.sku.clone())).or_default();
        shares.push(LineShare { line_id: units.line_id, qty: units.qty });
        backorder_ok.extend(line.backorder_ok.then_some(units.line_id));
    }
    wanted.into_iter().fold(plan, |plan, ((location, sku), (lines, backorder_ok))| {
        let name = stream::stock(&location, &sku);
        plan.and_unseen::<Stock>(name, stock::Command::CheckAvailable { sku, location, lines, backorder_ok })
    })
}
