//! What happens to the stock of a SKU: receipts first, then corrections in business-time order.

use domain::ids::derived;
use domain::import::RowRefusal;
use domain::stock::{self, Stock};
use domain::stream::{self, StreamName};
use domain::time::Timestamp;

use super::Error;
use super::send::{Command, Sender};
use crate::execute::{Done, Plan};
use crate::import::content::refusal;
use crate::import::plan::{StockPlan, StockStep};

/// How often a correction is repeated if another writer has changed the stock.
const TRIES: u32 = 16;

/// The result.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) received: i64,
    pub(super) corrections: i64,
    pub(super) refused: Vec<RowRefusal>,
}

/// The code and the words of a refusal.
type Why = (String, String);

/// The key stands for another command than this one.
fn differs(what: &str) -> Why {
    ("differs-from-stored".to_owned(), format!("there is {what} of that delivery and SKU, and it is another"))
}

struct Of<'a> {
    plan: &'a StockPlan,
    name: StreamName,
    sender: &'a Sender,
}

pub(super) async fn run(plan: &StockPlan, sender: &Sender) -> Result<Settled, Error> {
    let of = Of { plan, name: stream::stock(&plan.location, &plan.sku), sender };
    let mut done = Settled::default();
    for step in &plan.steps {
        match step {
            StockStep::Receive { key, line, at, qty, source_ref } => {
                match of.receive(key, *at, *qty, source_ref).await? {
                    None => done.received += i64::from(*qty),
                    Some((code, message)) => done.refused.push(refusal(*line, &code, message)),
                }
            }
            StockStep::Adjust { key, line, at, delta, reason } => match of.adjust(key, *at, *delta, reason).await? {
                None => done.corrections += 1,
                Some((code, message)) => done.refused.push(refusal(*line, &code, message)),
            },
        }
    }
    Ok(done)
}

impl Of<'_> {
    async fn send(
        &self,
        key: String,
        at: Option<Timestamp>,
        print: Vec<u8>,
        command: stock::Command,
    ) -> Result<Option<Done>, Error> {
        let sent = Command { key, print, correlation: self.sender.import_id.0, at };
        self.sender.send(&sent, || Plan::new().and_unseen::<Stock>(self.name.clone(), command.clone())).await
    }

    /// Books units in; why they were not, if they were not.
    async fn receive(
        &self,
        key: &str,
        at: Option<Timestamp>,
        qty: u32,
        source_ref: &Option<String>,
    ) -> Result<Option<Why>, Error> {
        let StockPlan { sku, location, .. } = self.plan;
        let command = stock::Command::Receive {
            sku: sku.clone(),
            location: location.clone(),
            qty,
            source_ref: source_ref.clone(),
        };
        // The key is one text; the fingerprint also covers the command's units.
        let print = serde_json::to_vec(&command).unwrap_or_default();
        let Some(done) = self.send(key.to_owned(), at, print, command).await? else {
            return Ok(Some(differs("a receipt")));
        };
        Ok(done.refused().map(|refused| (refused.code.clone(), refused.message.clone())))
    }

    /// Corrects the stock. A refusal is stored permanently under the command's id, so after a refusal because of
    /// changed stock the next attempt has another command id; the id of the adjustment stays the same and takes effect
    /// once.
    async fn adjust(&self, key: &str, at: Timestamp, delta: i64, reason: &str) -> Result<Option<Why>, Error> {
        let adjustment_id = derived(self.sender.command_id(key), "adjustment");
        let print: Vec<u8> = delta.to_be_bytes().iter().chain(reason.as_bytes()).copied().collect();
        let mut last = None;
        for attempt in 1..=TRIES {
            let key = if attempt == 1 { key.to_owned() } else { format!("{key}/{attempt}") };
            let (state, _) = self.sender.executor.load::<Stock>(self.sender.tenant(), &self.name).await?;
            if state.of.is_none() {
                self.register(&key, at).await?;
            }
            let command = stock::Command::Adjust {
                delta,
                reason: reason.to_owned(),
                expected: state.on_hand,
                accept_shortage: false,
                adjustment_id,
            };
            let Some(done) = self.send(key, Some(at), print.clone(), command).await? else {
                return Ok(Some(differs("a correction")));
            };
            let Some(refused) = done.refused() else {
                return Ok(None);
            };
            let again = refused.code == "stock-changed";
            last = Some((refused.code.clone(), refused.message.clone()));
            if !again {
                break;
            }
        }
        Ok(last)
    }

    async fn register(&self, key: &str, at: Timestamp) -> Result<(), Error> {
        let command = stock::Command::Register {
            sku: self.plan.sku.clone(),
            location: self.plan.location.clone(),
            safety_stock: 0,
            backorder_limit: 0,
        };
        self.send(format!("{key}/register"), Some(at), vec![], command).await.map(drop)
    }
}
