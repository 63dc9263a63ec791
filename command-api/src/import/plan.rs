//! The commands of an import, in order, with their ids. Pure: the same content and options give the same plan, byte for
//! byte, whatever the progress of an earlier run.

mod earlier;
mod matching;
mod stock;
#[cfg(test)]
mod tests;

use domain::ids::{LineId, LocationId, OrderId};
use domain::import::{CreditRecorded, Policy, RowRefusal, RowsRefused, Started};
use domain::money::Rounding;
use domain::order::command::Place;
use domain::order::event::{Capture, PaymentTerms};
use domain::personal::Personal;
use domain::time::Timestamp;
use sha2::{Digest, Sha256};

use super::content::{Content, Credit, Layout, Sale};
use super::keys::{self, Origin};
use super::tally::Tally;

pub use earlier::{EarlierLine, Wanted};
pub use stock::{StockPlan, StockStep};

/// The means of payment of an order whose file names none: the sandbox gateway approves it.
pub const DEFAULT_INSTRUMENT: &str = "sandbox:approve";
/// How long after placing the simulated shipment leaves, in business time.
pub const SHIPS_AFTER_S: u32 = 24 * 60 * 60;
/// Rows in one part of the report of refused rows.
const ROWS_IN_A_PART: usize = 1_000;
/// How long stock stays reserved before confirmation.
const RESERVE_FOR_S: u32 = 15 * 60;

/// What the caller of an import chooses.
#[derive(Clone, Debug)]
pub struct Options {
    /// Under whose name, and from which channel.
    pub origin: Origin,
    /// The caller's name for the content, for example a file name.
    pub source: String,
    /// What to do with bad rows.
    pub policy: Policy,
    /// The location of stock where the content names none.
    pub location: LocationId,
    /// Instruments other than the approving one for some orders, by a seed: gateway faults of a demonstration.
    pub faults: Option<Faults>,
}

/// Which orders are paid by an instrument with which the sandbox gateway misbehaves.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The seed: the same one picks the same orders.
    pub seed: u64,
    /// Instruments, and how many orders of a thousand are paid by each.
    pub mix: Vec<(String, u32)>,
}

/// The whole plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The run.
    pub started: Started,
    /// The counts of the content.
    pub tally: Tally,
    /// Rows that were refused when the content was read.
    pub refused: Vec<RowRefusal>,
    /// What happens to stock, before any order.
    pub stock: Vec<StockPlan>,
    /// What happens to orders, each on its own.
    pub orders: Vec<OrderPlan>,
    /// Credits that match nothing.
    pub credits: Vec<CreditPlan>,
    /// Credits, or the rest of them, that no sale of this content covers: earlier orders may.
    pub wanted: Vec<Wanted>,
}

/// What happens to one order, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderPlan {
    /// The order.
    pub order_id: OrderId,
    /// Its number, for messages.
    pub name: String,
    /// The line of the file that it begins on.
    pub line: u64,
    /// How it is placed; `None` for an order that existed before.
    pub place: Option<Placing>,
    /// The actions after its confirmation, in business-time order.
    pub actions: Vec<Action>,
}

/// How an order is placed.
#[derive(Clone, Debug, PartialEq)]
pub struct Placing {
    /// The command's idempotency key.
    pub key: String,
    /// The fingerprint of its content: the same number with another fingerprint is a different order.
    pub print: [u8; 32],
    /// The command.
    pub command: Box<Place>,
}

/// One thing that happens to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Units are cancelled.
    Cancel(Portion),
    /// All that is left ships (simulated).
    Ship {
        /// The command's idempotency key.
        key: String,
        /// When, in business time.
        at: Timestamp,
    },
    /// Units come back.
    Return(Portion),
}

/// The part of a credit that one line of an order answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Its commands' idempotency key.
    pub key: String,
    /// When, in business time.
    pub at: Timestamp,
    /// The order's line.
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
    /// The event that is recorded if the order does not accept it.
    pub otherwise: CreditRecorded,
}

/// A credit that matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditPlan {
    /// When it was given.
    pub at: Timestamp,
    /// The recorded event.
    pub credit: CreditRecorded,
}

impl Plan {
    /// Plans what content asks for.
    #[must_use]
    pub fn new(layout: Layout, sha256: [u8; 32], content: Content, options: &Options) -> Self {
        let simulated = layout == Layout::Retail;
        let mut plan = Self {
            started: started(layout, sha256, options),
            stock: stock::plan(&content, &keys::hex(&sha256), options, simulated),
            orders: Vec::with_capacity(content.sales.len()),
            credits: vec![],
            wanted: vec![],
            tally: content.tally,
            refused: content.refused,
        };
        matching::plan(&mut plan, content.sales, content.credits, options, simulated);
        plan
    }

    /// Whether the policy says that nothing is to be done because rows were refused.
    #[must_use]
    pub fn is_called_off(&self) -> bool {
        self.started.policy == Policy::All && !self.refused.is_empty()
    }
}

/// The run that imports content.
#[must_use]
pub fn started(layout: Layout, sha256: [u8; 32], options: &Options) -> Started {
    Started {
        import_id: options.origin.import_id(layout.name(), options.policy, &sha256),
        layout: layout.name().to_owned(),
        sha256: keys::hex(&sha256),
        source: options.source.clone(),
        policy: options.policy,
    }
}

/// Refused rows in the parts in which they are reported.
#[must_use]
pub fn parts(rows: &[RowRefusal], first_part: u32) -> Vec<RowsRefused> {
    (first_part..)
        .zip(rows.chunks(ROWS_IN_A_PART))
        .map(|(part, rows)| RowsRefused { part, rows: rows.to_vec() })
        .collect()
}

/// The fingerprint of a sale's content. Data that the import adds is not part of it.
fn print(sale: &Sale) -> [u8; 32] {
    let mut hash = Sha256::new();
    let said = (&sale.external_ref, sale.at, &sale.customer, sale.currency, &sale.lines, sale.discount);
    let more = (&sale.shipping, &sale.ship_to, &sale.payment, &sale.location, &sale.tags, sale.expected_total);
    hash.update(serde_json::to_vec(&(said, more)).unwrap_or_default());
    hash.finalize().into()
}

/// The command that places a sale.
fn place(sale: Sale, order_id: OrderId, options: &Options, simulated: bool) -> Place {
    let mut tags = sale.tags;
    if simulated {
        tags.push("simulated".to_owned());
    }
    Place {
        order_id,
        payment: sale.payment.unwrap_or_else(|| PaymentTerms {
            capture: Capture::AtShipment,
            instrument: instrument(sale.external_ref.as_str(), options.faults.as_ref()).into(),
            retry_for_s: 0,
        }),
        external_ref: Some(sale.external_ref),
        channel: options.origin.channel.clone(),
        customer: sale.customer,
        currency: sale.currency,
        rounding: Rounding::HalfEven,
        lines: sale.lines,
        discount: sale.discount,
        shipping: sale.shipping,
        ship_to: sale.ship_to.map(Personal::Known),
        location: sale.location.unwrap_or_else(|| options.location.clone()),
        reserve_for_s: RESERVE_FOR_S,
        occurred_at: Some(sale.at),
        tags,
        expected_total: sale.expected_total,
        replaces: None,
        basket: None,
    }
}

fn instrument(name: &str, faults: Option<&Faults>) -> String {
    let Some(faults) = faults else {
        return DEFAULT_INSTRUMENT.to_owned();
    };
    let digest = Sha256::new().chain_update(faults.seed.to_be_bytes()).chain_update(name).finalize();
    let mut drawn = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % 1000;
    for (instrument, weight) in &faults.mix {
        match drawn.checked_sub(*weight) {
            None => return instrument.clone(),
            Some(rest) => drawn = rest,
        }
    }
    DEFAULT_INSTRUMENT.to_owned()
}

/// The event for a part of a credit that no order covers.
fn recorded(credit: &Credit, key: &str, before: u32, qty: u32) -> CreditRecorded {
    CreditRecorded {
        row_key: key.to_owned(),
        invoice: credit.key.invoice.clone(),
        sku: credit.sku.clone(),
        customer: credit.customer.clone(),
        qty,
        amount: super::price::share(credit.amount, before, qty, credit.qty),
    }
}
