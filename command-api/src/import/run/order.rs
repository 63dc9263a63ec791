//! What happens to one order: placed, then cancelled in part, shipped, sent back in part, in business-time order. Each step waits until
//! the process that it started has answered.

use std::collections::BTreeMap;

use domain::ids::{CancellationId, ReturnId, ShipmentId, derived};
use domain::import::RowRefusal;
use domain::order::Order;
use domain::order::command::{Command as Ask, ReceivedUnits, ReturnUnits, Units};
use domain::order::event::{Disposition, PaymentStatus};
use domain::order::state::{Placed, ShipmentStatus, Status};
use domain::time::Timestamp;

use super::send::{Command, Sender};
use super::{Error, credits, wait};
use crate::execute::{Done, Refused};
use crate::import::content::refusal;
use crate::import::plan::{Action, OrderPlan, Placing, Portion};
use crate::verdict::cancellation_is_over;

/// How often a shipment is requested at most: each time but the last was refused for an unknown outcome.
const MOST_REQUESTS: u32 = 20;

/// The result of an order.
#[derive(Default)]
pub(super) struct Outcome {
    /// How many of what.
    pub(super) counted: BTreeMap<String, i64>,
    /// What of it was refused.
    pub(super) refused: Vec<RowRefusal>,
}

impl Outcome {
    fn count(&mut self, name: impl Into<String>, count: impl Into<i64>) {
        *self.counted.entry(name.into()).or_default() += count.into();
    }
}

pub(super) async fn run(plan: OrderPlan, sender: &Sender, skip: bool) -> Result<Outcome, Error> {
    let of = Of { plan: &plan, sender };
    let mut outcome = Outcome::default();
    let mut stands = true;
    if let Some(placing) = &plan.place {
        stands = of.place(placing, skip, &mut outcome).await?;
    }
    for action in &plan.actions {
        let taken = match action {
            _ if !stands => false,
            Action::Cancel(portion) => of.cancel(portion).await?,
            Action::Ship { key, at } => of.ship(key, *at, &mut outcome).await?,
            Action::Return(portion) => of.take_back(portion).await?,
        };
        match action {
            Action::Ship { .. } => outcome.count("orders.shipped", i64::from(taken)),
            Action::Cancel(portion) if taken => outcome.count("credits.cancelled_units", portion.qty),
            Action::Return(portion) if taken => outcome.count("credits.returned_units", portion.qty),
            Action::Cancel(portion) | Action::Return(portion) => {
                credits::one(&portion.otherwise, portion.at, sender).await?;
                credits::count(&portion.otherwise, &mut outcome.counted);
            }
        }
    }
    if plan.place.is_some() && stands {
        let (_, status) = of.status().await?;
        outcome.count("orders.placed", 1);
        outcome.count(format!("orders.{status}"), 1);
    }
    Ok(outcome)
}

struct Of<'a> {
    plan: &'a OrderPlan,
    sender: &'a Sender,
}

impl Of<'_> {
    /// Places the order and waits for the result of the checkout. True if there is an order to continue with.
    async fn place(&self, placing: &Placing, skip: bool, outcome: &mut Outcome) -> Result<bool, Error> {
        let place = &placing.command;
        let command = self.command(&placing.key, placing.print.to_vec(), place.occurred_at);
        let done = self.sender.send_order(&command, self.plan.order_id, &Ask::Place(place.clone())).await?;
        let there = matches!(&*wait::order(self.sender, self.plan.order_id).await?, Order::Placed(_));
        match &done {
            None if !skip => {
                let reason = format!("order {} is there already, and is another", self.plan.name);
                outcome.refused.push(refusal(self.plan.line, "differs-from-stored", reason));
            }
            None => {}
            Some(done) => match done.refused() {
                Some(refused) if !(skip && refused.code == "duplicate-external-ref") => {
                    outcome.refused.push(self.refused(refused));
                }
                _ => {}
            },
        }
        if there {
            self.until("checkout", |order| (order.status != Status::Pending).then_some(())).await?;
        }
        Ok(there)
    }

    async fn status(&self) -> Result<(bool, String), Error> {
        let Order::Placed(placed) = &*wait::order(self.sender, self.plan.order_id).await? else {
            return Ok((false, "absent".into()));
        };
        // Requests of a cancelled order that were sent before its cancellation have their answers already, and are
        // repeated to get them.
        let goes_on = placed.status != Status::Rejected;
        Ok((goes_on, format!("{:?}", placed.status).to_lowercase()))
    }

    async fn cancel(&self, portion: &Portion) -> Result<bool, Error> {
        if !self.status().await?.0 {
            return Ok(false);
        }
        let cancellation_id = CancellationId(derived(self.sender.command_id(&portion.key), "cancellation"));
        let ask = Ask::Cancel {
            cancellation_id,
            lines: Some(vec![Units { line_id: portion.line_id, qty: portion.qty }]),
            reason: reason(portion),
        };
        if self.ask(&portion.key, portion.at, ask).await?.is_some() {
            return Ok(false);
        }
        self.until("the cancellation", |order| cancellation_is_over(order, cancellation_id).then_some(())).await?;
        Ok(true)
    }

    /// Requests the shipment once the outcome of every payment is known. The order may learn between the look and the request that one is
    /// unknown: the saga asks the provider again, and the shipment is requested again, as another command, since the refusal stays the
    /// answer of the first one.
    async fn request_shipment(&self, key: &str, at: Timestamp, id: ShipmentId) -> Result<Option<Refused>, Error> {
        let mut attempt = 1;
        loop {
            self.until("the payment", |order| (order.payment().status != PaymentStatus::Unknown).then_some(())).await?;
            let ask = Ask::RequestShipment {
                shipment_id: id,
                lines: None,
                location: None,
                carrier: Some("simulated".into()),
                tracking: None,
            };
            let key = if attempt == 1 { key.to_owned() } else { format!("{key}/{attempt}") };
            match self.ask(&key, at, ask).await? {
                Some(refused) if refused.code == "payment-unknown" && attempt < MOST_REQUESTS => attempt += 1,
                answer => return Ok(answer),
            }
        }
    }

    async fn ship(&self, key: &str, at: Timestamp, outcome: &mut Outcome) -> Result<bool, Error> {
        if !self.status().await?.0 {
            return Ok(false);
        }
        let shipment_id = ShipmentId(derived(self.sender.command_id(key), "shipment"));
        if let Some(refused) = self.request_shipment(key, at, shipment_id).await? {
            let reason = format!("the simulated shipment of order {} was refused: {}", self.plan.name, refused.message);
            outcome.refused.push(refusal(self.plan.line, "not-shipped", reason));
            return Ok(false);
        }
        let left = self.until("the shipment", |order| {
            let shipment = order.shipments.get(&shipment_id)?;
            match shipment.status {
                ShipmentStatus::Requested | ShipmentStatus::Withdrawn => None,
                ShipmentStatus::Refused => Some(false),
                _ => (order.status == Status::Completed).then_some(true),
            }
        });
        let left = left.await?;
        if !left {
            let reason = format!("the simulated shipment of order {} could not be paid for", self.plan.name);
            outcome.refused.push(refusal(self.plan.line, "not-shipped", reason));
        }
        Ok(left)
    }

    async fn take_back(&self, portion: &Portion) -> Result<bool, Error> {
        if !self.status().await?.0 {
            return Ok(false);
        }
        let return_id = ReturnId(derived(self.sender.command_id(&portion.key), "return"));
        let (line_id, qty) = (portion.line_id, portion.qty);
        let request =
            Ask::RequestReturn { return_id, lines: vec![ReturnUnits { line_id, qty, reason: reason(portion) }] };
        if self.ask(&portion.key, portion.at, request).await?.is_some() {
            return Ok(false);
        }
        let receive = Ask::ReceiveReturn {
            return_id,
            receipt: Some(1),
            lines: vec![ReceivedUnits { line_id, qty, disposition: Disposition::Restock, location: None }],
        };
        if self.ask(&format!("{}/received", portion.key), portion.at, receive).await?.is_some() {
            return Ok(false);
        }
        self.until("the refund", |order| refunded(order, return_id)).await?;
        Ok(true)
    }

    /// Sends a command to the order. Returns the reason if the order refused it.
    async fn ask(&self, key: &str, at: Timestamp, ask: Ask) -> Result<Option<Refused>, Error> {
        let print = serde_json::to_vec(&ask).unwrap_or_default();
        let command = self.command(key, print, Some(at));
        let done = self.sender.send_order(&command, self.plan.order_id, &ask).await?;
        Ok(done.as_ref().and_then(Done::refused).cloned())
    }

    async fn until<T>(&self, what: &'static str, found: impl Fn(&Placed) -> Option<T>) -> Result<T, Error> {
        wait::until(self.sender, (self.plan.order_id, &self.plan.name), what, found).await
    }

    fn command(&self, key: &str, print: Vec<u8>, at: Option<Timestamp>) -> Command {
        Command { key: key.to_owned(), print, correlation: self.plan.order_id.0, at }
    }

    fn refused(&self, refused: &Refused) -> RowRefusal {
        refusal(self.plan.line, &refused.code, format!("order {}: {}", self.plan.name, refused.message))
    }
}

fn reason(portion: &Portion) -> String {
    format!("credit note {}", portion.otherwise.invoice)
}

/// `Some` once the refund of a return is paid.
fn refunded(order: &Placed, return_id: ReturnId) -> Option<()> {
    order.returns.get(&return_id).filter(|announced| announced.receipts > 0)?;
    (order.ledger().refund_pending() == 0).then_some(())
}
