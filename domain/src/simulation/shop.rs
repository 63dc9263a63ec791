//! What customers and clerks ask for, as a seed gives it.

use super::wishes::Wishes;
use domain::ids::{CancellationId, EditId, HoldId, LineId, LocationId, OrderId, RefundId, ReturnId, ShipmentId, Sku};
use domain::money::{Currency, Minor, Rounding};
use domain::order::command::{
    Change, Edit, GrantRefund, NewLine, NewShipping, Place, ReceivedUnits, ReturnUnits, Units,
};
use domain::order::event::{Capture, Disposition, PaymentTerms};
use domain::order::line::UnitPrice;
use domain::order::state::Placed;
use domain::{order, stock};

impl Wishes {
    pub(super) fn location() -> LocationId {
        LocationId::try_new("main").unwrap()
    }

    pub(super) fn sku(&mut self) -> Sku {
        let names = ["A", "B", "C"];
        let name = names[self.roll(names.len())];
        Sku::try_new(name).unwrap()
    }

    /// More stock comes, or it is kept on other terms.
    pub(super) fn receive(&mut self, sku: &Sku, qty: u32) -> stock::Command {
        let location = Self::location();
        if self.roll(4) == 0 {
            stock::Command::Register {
                sku: sku.clone(),
                location,
                safety_stock: self.number(0, 2),
                backorder_limit: self.number(0, 20),
            }
        } else {
            stock::Command::Receive { sku: sku.clone(), location, qty, source_ref: None }
        }
    }

    /// More than the book says, or fewer, also than are held for orders.
    pub(super) fn count(&mut self, more: u32, fewer: u32, on_hand: u32) -> stock::Command {
        let accept_shortage = true;
        match self.roll(3) {
            0 => stock::Command::Count { counted: on_hand.saturating_sub(fewer), accept_shortage },
            1 if on_hand > 0 => stock::Command::Adjust {
                delta: -i64::from(fewer.clamp(1, on_hand)),
                reason: "broken".into(),
                expected: on_hand,
                accept_shortage,
                adjustment_id: self.new_id(),
            },
            _ => stock::Command::Count { counted: on_hand + more, accept_shortage: false },
        }
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

    pub(super) fn place(&mut self) -> Place {
        let order_id = OrderId(self.new_id());
        let lines = (1..=self.number(1, 3)).collect::<Vec<_>>();
        let captures = [Capture::AtShipment, Capture::AtShipment, Capture::AtConfirmation, Capture::PayLater];
        let currencies = [Currency::GBP, Currency::GBP, Currency::JPY, Currency::KWD];
        let retry_for_s = if self.roll(3) == 0 { 600 } else { 0 };
        let discount = if self.roll(3) == 0 { Minor::from(self.number(1, 90)) } else { 0 };
        Place {
            order_id,
            external_ref: None,
            channel: "web".parse().unwrap(),
            customer: None,
            currency: currencies[self.roll(currencies.len())],
            rounding: Rounding::HalfEven,
            lines: lines.into_iter().map(|line| self.new_line(line)).collect(),
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
            basket: None,
        }
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

    pub(super) fn shipment(&mut self, order: &Placed) -> Option<order::Command> {
        Some(order::Command::RequestShipment {
            shipment_id: ShipmentId(self.claimed_id(order)),
            lines: self.some_units(order),
            location: None,
            carrier: None,
            tracking: None,
        })
    }

    pub(super) fn cancellation(&mut self, order: &Placed) -> Option<order::Command> {
        Some(order::Command::Cancel {
            cancellation_id: CancellationId(self.named_id(order)),
            lines: self.some_units(order),
            reason: "changed their mind".into(),
        })
    }

    pub(super) fn edit(&mut self, order: &Placed) -> Option<order::Command> {
        let lines: Vec<LineId> = order.lines.keys().copied().collect();
        let line_id = lines[self.roll(lines.len())];
        let unserved = order.lines.iter().find(|(_, line)| line.line.stocked && line.unassigned() > 5);
        let change = match self.roll(6) {
            // They think better of what was more than there is.
            turn if turn > 0
                && let Some((line_id, line)) = unserved =>
            {
                let qty = line.line.qty - line.unassigned() + self.number(0, 2);
                Change::SetQty { line_id: *line_id, qty: qty.max(1) }
            }
            0..=1 => {
                let next = u32::try_from(lines.len()).unwrap() + 1;
                Change::Add(self.new_line(next))
            }
            2 => Change::Reprice { line_id, unit_price: self.price() },
            3 => Change::Discount { line_id, discount: self.number(0, 60).into() },
            // Sometimes more than there is.
            4 => Change::SetQty { line_id, qty: self.number(4, 60) },
            _ => Change::SetQty { line_id, qty: self.number(1, 5) },
        };
        Some(order::Command::Edit(Edit {
            edit_id: EditId(self.named_id(order)),
            changes: vec![change],
            reason: "they called".into(),
        }))
    }

    pub(super) fn announce(&mut self, order: &Placed) -> Option<order::Command> {
        let (line_id, line) = order.lines.iter().find(|(_, line)| line.returnable() > 0)?;
        let line =
            ReturnUnits { line_id: *line_id, qty: self.number(1, line.returnable()), reason: "too small".into() };
        Some(order::Command::RequestReturn { return_id: ReturnId(self.claimed_id(order)), lines: vec![line] })
    }

    pub(super) fn receipt(&mut self, order: &Placed) -> Option<order::Command> {
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

    pub(super) fn gift(&mut self, order: &Placed) -> Option<order::Command> {
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

    pub(super) fn hold(&mut self, order: &Placed) -> Option<order::Command> {
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
