//! What customers and clerks ask for, as a seed gives it.

use uuid::Uuid;

use super::world::World;
use crate::command::StockCommand;
use crate::ids::{CancellationId, EditId, HoldId, LineId, LocationId, OrderId, RefundId, ReturnId, ShipmentId, Sku};
use crate::money::{Currency, Rounding};
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
        match self.roll(24) {
            0..=3 => self.place(),
            4..=6 => self.receive(),
            7..=12 => self.ask(Self::shipment),
            13..=14 => self.ask(Self::cancellation),
            15..=16 => self.ask(Self::edit),
            17..=18 => self.ask(Self::announce),
            19..=20 => self.ask(Self::receipt),
            21 => self.ask(Self::gift),
            22 => self.ask(Self::hold),
            _ => self.count(),
        }
    }

    fn location() -> LocationId {
        LocationId::try_new("main").unwrap()
    }

    fn sku(&mut self) -> Sku {
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

    /// Only more than the book says: what a shortage asks of people is told elsewhere.
    fn count(&mut self) {
        let (sku, more) = (self.sku(), self.number(0, 2));
        let here = self.stock.get(&(Self::location(), sku.clone()));
        let counted = here.map_or(0, |here| here.state.state().on_hand) + more;
        let accept_shortage = false;
        self.stock_command(sku, stock::Command::Count { counted, accept_shortage });
    }

    fn number(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.roll((most - least + 1) as usize)).unwrap()
    }

    fn new_line(&mut self, line: u32) -> NewLine {
        NewLine {
            line_id: LineId(line),
            sku: self.sku(),
            title: "thing".into(),
            qty: self.number(1, 4),
            unit_price: UnitPrice::try_from(format!("{}.333", self.number(0, 9))).unwrap(),
            discount: 0,
            tax_bp: 2_000,
            tax_included: false,
            backorder_ok: self.roll(2) == 0,
            stocked: self.roll(6) > 0,
        }
    }

    fn place(&mut self) {
        let order_id = OrderId(self.new_id());
        let lines = (1..=self.number(1, 3)).collect::<Vec<_>>();
        let captures = [Capture::AtShipment, Capture::AtShipment, Capture::AtConfirmation, Capture::PayLater];
        let place = Place {
            order_id,
            external_ref: None,
            channel: "web".parse().unwrap(),
            customer: None,
            currency: Currency::GBP,
            rounding: Rounding::HalfEven,
            lines: lines.into_iter().map(|line| self.new_line(line)).collect(),
            discount: 0,
            shipping: vec![NewShipping { title: "parcel".into(), price: 300, tax_bp: 0, tax_included: true }],
            ship_to: None,
            payment: PaymentTerms {
                capture: captures[self.roll(captures.len())],
                instrument: "tok".into(),
                retry_for_s: 0,
            },
            location: Self::location(),
            reserve_for_s: 900,
            occurred_at: None,
            tags: vec![],
            expected_total: None,
            replaces: None,
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
        let change = if self.roll(3) == 0 {
            let next = u32::try_from(lines.len()).unwrap() + 1;
            Change::Add(self.new_line(next))
        } else {
            let qty = self.number(1, 5);
            Change::SetQty { line_id, qty }
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
