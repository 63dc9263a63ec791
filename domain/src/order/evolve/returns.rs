//! How an order applies the events of its returns.

use std::collections::BTreeMap;

use crate::ids::{LineId, ReturnId};
use crate::order::event::{Disposition, ReturnReceived, ReturnRequested};
use crate::order::state::{Placed, Return, ReturnStage};

impl Placed {
    pub(super) fn announce_return(&mut self, requested: &ReturnRequested) {
        let mut open: BTreeMap<LineId, u32> = BTreeMap::new();
        for announced in &requested.lines {
            if let Some(line) = self.lines.get_mut(&announced.line_id) {
                line.return_requested = line.return_requested.saturating_add(announced.qty);
                let sum = open.entry(announced.line_id).or_default();
                *sum = sum.saturating_add(announced.qty);
            }
        }
        let announced = Return {
            stage: ReturnStage::Requested,
            lines: requested.lines.clone(),
            open,
            receipts: 0,
            refund: 0,
            declined: None,
            asked: BTreeMap::new(),
        };
        self.returns.insert(requested.return_id, announced);
    }

    pub(super) fn decline_return(&mut self, return_id: ReturnId, reason: &str) {
        let Some(declined) = self.returns.get_mut(&return_id) else {
            return;
        };
        for (line_id, qty) in std::mem::take(&mut declined.open) {
            if let Some(line) = self.lines.get_mut(&line_id) {
                line.return_requested = line.return_requested.saturating_sub(qty);
            }
        }
        declined.stage = match declined.stage {
            ReturnStage::PartReceived | ReturnStage::Received => ReturnStage::Received,
            ReturnStage::Requested | ReturnStage::Declined => ReturnStage::Declined,
        };
        declined.declined = Some(reason.to_owned());
    }

    pub(super) fn receive_return(&mut self, received: &ReturnReceived) {
        let Some(announced) = self.returns.get_mut(&received.return_id) else {
            return;
        };
        for part in &received.lines {
            let Some(line) = self.lines.get_mut(&part.line_id) else {
                continue;
            };
            line.return_requested = line.return_requested.saturating_sub(part.qty);
            if let Some(open) = announced.open.get_mut(&part.line_id) {
                *open = open.saturating_sub(part.qty);
            }
            match part.disposition {
                Disposition::Restock => {
                    line.returned = line.returned.saturating_add(part.qty);
                    line.restocked = line.restocked.saturating_add(part.qty);
                }
                Disposition::Damaged => {
                    line.returned = line.returned.saturating_add(part.qty);
                    line.written_off = line.written_off.saturating_add(part.qty);
                }
                Disposition::Missing => {}
            }
        }
        announced.open.retain(|_, qty| *qty > 0);
        announced.receipts = received.receipt;
        announced.asked.extend(received.asked.map(|asked| (received.receipt, asked)));
        announced.stage = if announced.open.is_empty() { ReturnStage::Received } else { ReturnStage::PartReceived };
        for value in &received.refund {
            announced.refund = announced.refund.saturating_add(value.amount);
            if let Some(line) = self.lines.get_mut(&value.line_id) {
                line.returned_value = line.returned_value.saturating_add(value.amount);
            }
        }
    }
}
