//! Credits that no order takes: recorded on the run's own stream, without stock.

use std::collections::BTreeMap;

use domain::import::{CreditRecorded, Import};
use domain::stream;
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream as futures};

use super::Error;
use super::send::{Command, Sender};
use crate::execute::Plan;
use crate::import::plan::CreditPlan;

/// They all go to one stream, so more at once only wait for each other.
const AT_ONCE: usize = 64;

pub(super) async fn record(
    credits: &[CreditPlan],
    sender: &Sender,
    counts: &mut BTreeMap<String, i64>,
) -> Result<(), Error> {
    // Owned, for a stream of borrowing futures cannot be sent to another thread.
    let work = futures::iter(credits.to_vec()).map(|plan| async move { one(&plan.credit, plan.at, sender).await });
    work.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    for plan in credits {
        count(&plan.credit, counts);
    }
    Ok(())
}

/// Records one.
pub(super) async fn one(credit: &CreditRecorded, at: Timestamp, sender: &Sender) -> Result<(), Error> {
    let command = Command {
        key: format!("{}/credit", credit.row_key),
        print: serde_json::to_vec(credit).unwrap_or_default(),
        correlation: sender.import_id.0,
        at: Some(at),
    };
    let name = stream::import(sender.import_id);
    let plan = || {
        let command = domain::import::Command::RecordCredit(credit.clone());
        Plan::new().and_unseen::<Import>(name.clone(), command)
    };
    let done = sender.send(&command, plan).await?;
    match done.as_ref().and_then(|done| done.refused()) {
        Some(refused) => Err(Error::Refused(refused.message.clone())),
        None => Ok(()),
    }
}

/// Counts one.
pub(super) fn count(credit: &CreditRecorded, counts: &mut BTreeMap<String, i64>) {
    *counts.entry("credits.recorded".into()).or_default() += 1;
    *counts.entry("credits.recorded_units".into()).or_default() += i64::from(credit.qty);
    *counts.entry("credits.recorded_amount".into()).or_default() += credit.amount;
}
