//! What customers and clerks ask for, as a seed gives it.

use uuid::Uuid;

use super::world::World;
use crate::command::StockCommand;
use crate::ids::{CancellationId, EditId, HoldId, LineId, LocationId, OrderId, RefundId, ReturnId, ShipmentId, Sku};
use crate::money::{Currency, Minor, Rounding};
use crate::order::command::{
    Change, Edit, GrantRefund, NewLine, NewShipping, Place, ReceivedUnits, ReturnUnits, Units,
};
use crate::order::event::{Capture, Disposition, PaymentTerms};
use crate::order::line::UnitPrice;
use crate::order::state::Placed;
use crate::{Command, order, stock};

impl World {
    /// Somebody asks for something.
    pub(super) fn somebody_asks(&mut self) {
        match self.roll(26) {
            0..=2 => self.place(),
            3..=5 => self.receive(),
            6..=12 => self.ask(Self::shipment),
            13..=14 => self.ask(Self::cancellation),
            15..=16 => self.ask(Self::edit),
            17..=18 => self.ask(Self::announce),
            19..=20 => self.ask(Self::receipt),
            21 => self.ask(Self::gift),
            22 if self.roll(2) == 0 => self.ask(Self::hold),
            22..=23 => self.count(),
            _ => self.basket(),
        }
    }

    pub(super) fn location() -> LocationId {
        LocationId::try_new("main").unwrap()
    }

    pub(super) fn sku(&mut self) -> Sku {
        let names = ["A", "B", "C"];
        let name = names[self.roll(names.len())];
        Sku::try_new(name).unwrap()
    }

    fn ask(&mut self, wish: fn(&mut Self, &Placed) -> Option<order::Command>) {
        let ids: Vec<OrderId> = self.orders.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        // One wish is often made of several orders, under one id.
        self.named = Uuid::from_u128((1 << 100) + self.roll(60) as u128);
        for _ in 0..=self.roll(3) {
            let order_id = ids[self.roll(ids.len())];
            let Some(order) = self.orders[&order_id].state.state().placed().cloned() else {
                continue;
            };
            if let Some(command) = wish(self, &order) {
                let id = self.new_id();
                self.run(id, order_id.0, &Command::Order { order_id, command });
            }
        }
    }

    fn stock_command(&mut self, sku: Sku, command: stock::Command) {
        let id = self.new_id();
        let stock = vec![StockCommand { location: Self::location(), sku, command }];
        let command = Command::Inventory { reservation: None, stock };
        self.run(id, Uuid::nil(), &command);
    }

    fn receive(&mut self) {
        let (sku, qty) = (self.sku(), self.number(5, 30));
        let location = Self::location();
        let command = if self.roll(4) == 0 {
            stock::Command::Register {
                sku: sku.clone(),
                location,
                safety_stock: self.number(0, 2),
                backorder_limit: self.number(0, 20),
            }
        } else {
            stock::Command::Receive { sku: sku.clone(), location, qty, source_ref: None }
        };
        self.stock_command(sku, command);
    }

    /// More than the book says, or fewer, also than are held for orders.
    fn count(&mut self) {
        let (sku, more, fewer) = (self.sku(), self.number(0, 2), self.number(0, 40));
        let here = self.stock.get(&(Self::location(), sku.clone()));
        let on_hand = here.map_or(0, |here| here.state.state().on_hand);
        let accept_shortage = true;
        let command = match self.roll(3) {
            0 => stock::Command::Count { counted: on_hand.saturating_sub(fewer), accept_shortage },
            1 if on_hand > 0 => stock::Command::Adjust {
                delta: -i64::from(fewer.clamp(1, on_hand)),
                reason: "broken".into(),
                expected: on_hand,
                accept_shortage,
                adjustment_id: self.new_id(),
            },
            _ => stock::Command::Count { counted: on_hand + more, accept_shortage: false },
        };
        self.stock_command(sku, command);
    }

    pub(super) fn number(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.roll((most - least + 1) as usize)).unwrap()
    }

    fn price(&mut self) -> UnitPrice {
        UnitPrice::try_from(format!("{}.333", self.number(0, 9))).unwrap()
    }

    pub(super) fn new_line(&mut self, line: u32) -> NewLine {
        NewLine {
            line_id: LineId(line),
            sku: self.sku(),
            title: "thing".into(),
            qty: self.number(1, 4),
            unit_price: self.price(),
            discount: Minor::from(self.number(0, 1)) * 10,
            tax_bp: 2_000,
            tax_included: false,
            backorder_ok: self.roll(2) == 0,
            stocked: self.roll(6) > 0,
        }
    }

    fn place(&mut self) {
        let order_id = OrderId(self.new_id());
        let (basket, lines) = match self.some_basket() {
            Some((basket, lines)) => (Some(basket), lines),
            None => (None, (1..=self.number(1, 3)).map(|line| self.new_line(line)).collect()),
        };
        let captures = [Capture::AtShipment, Capture::AtShipment, Capture::AtConfirmation, Capture::PayLater];
        let currencies = [Currency::GBP, Currency::GBP, Currency::JPY, Currency::KWD];
        let retry_for_s = if self.roll(3) == 0 { 600 } else { 0 };
        let discount = if self.roll(3) == 0 { Minor::from(self.number(1, 90)) } else { 0 };
        let place = Place {
            order_id,
            external_ref: None,
            channel: "web".parse().unwrap(),
            customer: None,
            currency: currencies[self.roll(currencies.len())],
            rounding: Rounding::HalfEven,
            lines,
            discount,
            shipping: vec![NewShipping { title: "parcel".into(), price: 300, tax_bp: 0, tax_included: true }],
            ship_to: None,
            payment: PaymentTerms {
                capture: captures[self.roll(captures.len())],
                instrument: self.instrument(),
                retry_for_s,
            },
            location: Self::location(),
            reserve_for_s: 900,
            occurred_at: None,
            tags: vec![],
            expected_total: None,
            replaces: None,
            basket,
        };
        let id = self.new_id();
        let command = order::Command::Place(Box::new(place));
        self.run(id, order_id.0, &Command::Order { order_id, command });
    }

    fn some_units(&mut self, order: &Placed) -> Option<Vec<Units>> {
        if self.roll(2) == 0 {
            return None;
        }
        let lines: Vec<LineId> = order.lines.keys().copied().collect();
        let line_id = lines[self.roll(lines.len())];
        let qty = self.number(1, 2);
        Some(vec![Units { line_id, qty }])
    }

    /// An id as callers name them within an order: shared by orders and kinds, and sometimes the order's own.
    fn named_id(&mut self, order: &Placed) -> Uuid {
        match self.roll(10) {
            0..=1 => self.new_id(),
            2 => order.order_id.0,
            _ => self.named,
        }
    }

    /// An id that leads to its order, and so is taken once: sometimes the order's own.
    fn claimed_id(&mut self, order: &Placed) -> Uuid {
        if self.roll(3) == 0 && self.claimed.insert(order.order_id.0) { order.order_id.0 } else { self.new_id() }
    }

    fn shipment(&mut self, order: &Placed) -> Option<order::Command> {
        Some(order::Command::RequestShipment {
            shipment_id: ShipmentId(self.claimed_id(order)),
            lines: self.some_units(order),
            location: None,
            carrier: None,
            tracking: None,
        })
    }

    fn cancellation(&mut self, order: &Placed) -> Option<order::Command> {
        Some(order::Command::Cancel {
            cancellation_id: CancellationId(self.named_id(order)),
            lines: self.some_units(order),
            reason: "changed their mind".into(),
        })
    }

    fn edit(&mut self, order: &Placed) -> Option<order::Command> {
        let lines: Vec<LineId> = order.lines.keys().copied().collect();
        let line_id = lines[self.roll(lines.len())];
        let change = match self.roll(6) {
            0..=1 => {
                let next = u32::try_from(lines.len()).unwrap() + 1;
                Change::Add(self.new_line(next))
            }
            2 => Change::Reprice { line_id, unit_price: self.price() },
            3 => Change::Discount { line_id, discount: self.number(0, 60).into() },
            _ => Change::SetQty { line_id, qty: self.number(1, 5) },
        };
        Some(order::Command::Edit(Edit {
            edit_id: EditId(self.named_id(order)),
            changes: vec![change],
            reason: "they called".into(),
        }))
    }

    fn announce(&mut self, order: &Placed) -> Option<order::Command> {
        let (line_id, line) = order.lines.iter().find(|(_, line)| line.returnable() > 0)?;
        let line =
            ReturnUnits { line_id: *line_id, qty: self.number(1, line.returnable()), reason: "too small".into() };
        Some(order::Command::RequestReturn { return_id: ReturnId(self.claimed_id(order)), lines: vec![line] })
    }

    fn receipt(&mut self, order: &Placed) -> Option<order::Command> {
        let open = order.returns.iter();
        let mut open = open.filter(|(_, announced)| announced.open.values().any(|qty| *qty > 0));
        let (return_id, announced) = open.next()?;
        let (line_id, qty) = announced.open.iter().find(|(_, qty)| **qty > 0)?;
        let kinds = [Disposition::Restock, Disposition::Restock, Disposition::Damaged, Disposition::Missing];
        Some(order::Command::ReceiveReturn {
            return_id: *return_id,
            receipt: None,
            lines: vec![ReceivedUnits {
                line_id: *line_id,
                qty: self.number(1, *qty),
                disposition: kinds[self.roll(kinds.len())],
                location: None,
            }],
        })
    }

    fn gift(&mut self, order: &Placed) -> Option<order::Command> {
        let most = u32::try_from(order.refundable()).unwrap();
        if most == 0 {
            return None;
        }
        Some(order::Command::GrantRefund(GrantRefund {
            refund_id: RefundId(self.named_id(order)),
            amount: Some(self.number(1, most.min(50)).into()),
            lines: vec![],
            shipping: 0,
            reason: "sorry".into(),
        }))
    }

    fn hold(&mut self, order: &Placed) -> Option<order::Command> {
        Some(match order.holds.keys().next() {
            Some(hold_id) => order::Command::ReleaseHold { hold_id: *hold_id, resolution: "fine".into() },
            None => order::Command::PlaceHold {
                hold_id: HoldId(self.named_id(order)),
                reason: "address".into(),
                note: None,
                until: None,
            },
        })
    }
}
