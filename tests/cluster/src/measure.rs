//! How fast the scaled system is on this machine: orders against the embedded system in the same run, the time from an answer to the
//! read model that shows it, and how many events a second several processes post to the read models. Every figure is measured anew.

mod http;
mod orders;
mod posting;
mod slow;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Cluster, Options};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seconds of each run of orders.
    pub seconds: u64,
    /// Connections at once, one run for each number.
    pub connections: Vec<usize>,
    /// Projection processes, one run for each number.
    pub workers: Vec<usize>,
    /// An embedded store (`sqlite:FOLDER`) whose log is copied and posted; then no orders are placed, and the read models are held
    /// against its own at the end.
    pub log: Option<String>,
}

/// Measures in a cluster of its own and tells what came of it.
///
/// # Errors
/// If the cluster cannot be started, or does not do what it is asked.
pub fn run(options: &Options, plan: &Plan) -> anyhow::Result<Value> {
    let mut cluster = Cluster::up(options.clone())?;
    let mut told = json!({});
    if let Some(log) = &plan.log {
        told["copy"] = posting::copy(&mut cluster, options, log)?;
    } else {
        let orders = orders::orders(&cluster, options, plan)?;
        let rates = orders.iter();
        let peak = rates.filter_map(|run| run["scaled"]["per_second"].as_f64()).fold(1.0, f64::max);
        told["orders"] = json!(orders);
        told["lag"] = orders::lag(&cluster, peak / 2.0, plan.seconds)?;
        posting::await_models(&cluster, Duration::from_secs(300))?;
    }
    told["posting"] = json!(posting::post_all(&mut cluster, options, plan)?);
    if let Some(log) = &plan.log {
        told["compared"] = posting::compare(&cluster, options, log)?;
    }
    cluster.down()?;
    Ok(told)
}
