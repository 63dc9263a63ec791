//! The rounds: all sides of a block run, each is measured in turn in every round, and what they acknowledged is proved at the end.
//!
//! There are two blocks, because the system of compose.yaml uses the processors while nobody asks it for anything: it runs only beside
//! the opponent of its own block, and its ratios are to that one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use uuid::Uuid;

use crate::checkout::SKUS;
use crate::load::{Load, Request, Sample};
use crate::proof::{self, AT_HEAD_WITHIN, Rest};
use crate::report::{Cell, Figures, Report};
use crate::sides::{self, Name, Places, Side};

/// How long a side is warmed up.
const WARM_UP: Duration = Duration::from_secs(2);
/// Connections of the warm-up.
const WARM_CONNECTIONS: usize = 16;
/// How long the ceiling's answers are where no other side has answered.
const ANSWER_BYTES: usize = 2_000;

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) request: Request,
    pub(crate) sides: Vec<Name>,
    pub(crate) connections: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) length: Duration,
}

/// A side of a block, with what it has acknowledged.
struct Running {
    side: Box<dyn Side>,
    orders: Vec<Uuid>,
}

/// Measures everything.
///
/// # Errors
/// If a side cannot be started, refuses anything or does not answer.
pub(crate) async fn run(plan: &Plan, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::new(plan);
    let base = base(plan.request);
    let (cluster, alone): (Vec<Name>, Vec<Name>) = plan.sides.iter().copied().partition(|name| *name == Name::Cluster);
    // A block of the base alone says nothing where another block has it as well.
    if cluster.is_empty() || alone.iter().any(|name| *name != base) {
        block(plan, places, &alone, &mut report).await?;
    }
    if !cluster.is_empty() {
        let base = alone.into_iter().filter(|name| *name == base);
        block(plan, places, &base.chain(cluster).collect::<Vec<_>>(), &mut report).await?;
    }
    Ok(report)
}

/// The side that ratios are to.
pub(crate) fn base(request: Request) -> Name {
    match request {
        Request::CheckOut | Request::Page => Name::Crud,
        Request::Place => Name::Ceiling,
    }
}

async fn block(plan: &Plan, places: &Places, names: &[Name], report: &mut Report) -> anyhow::Result<()> {
    let mut running = Vec::new();
    let mut bytes = ANSWER_BYTES;
    // The ceiling comes last: its answers are as long as those of Daybook.
    let (last, first): (Vec<Name>, Vec<Name>) = names.iter().partition(|name| **name == Name::Ceiling);
    for name in first.into_iter().chain(last) {
        eprintln!("{}: starting", name.text());
        let side = sides::start(name, places, bytes)?;
        if name.is_daybook() {
            let begun = Instant::now();
            proof::fill(&*side, 0..SKUS).await.context("stock cannot be received")?;
            let seconds = begun.elapsed().as_secs_f64();
            eprintln!("{}: stock of {SKUS} SKUs received in {seconds:.1} s", name.text());
            proof::rest(&*side).await?;
        }
        let warm = Load { request: Request::CheckOut, connections: WARM_CONNECTIONS, length: WARM_UP, seed: 0 };
        let sample = measure(&*side, &warm).await?.0;
        if name.is_daybook() {
            bytes = usize::try_from(sample.bytes / sample.orders.len().max(1) as u64)?;
        }
        report.describe(&*side);
        running.push(Running { side, orders: sample.orders });
    }
    let first = report.cells.len();
    for connections in &plan.connections {
        report.cells.extend(running.iter().map(|of| Cell::new(names, of.side.name(), *connections)));
    }
    for round in 0..plan.rounds {
        for (place, connections) in plan.connections.iter().enumerate() {
            let seed = 1 + (round * plan.connections.len() + place) as u64;
            let load = Load { request: plan.request, connections: *connections, length: plan.length, seed };
            for (number, of) in running.iter_mut().enumerate() {
                let name = of.side.name();
                let (mut sample, rest) = measure(&*of.side, &load).await.with_context(|| name.text())?;
                of.orders.append(&mut sample.orders);
                let figures = Figures::of(&sample, rest);
                eprintln!(
                    "round {} of {}, {connections:>3} connections, {}: {figures}",
                    round + 1,
                    plan.rounds,
                    name.text()
                );
                // After a burst of placings the sagas are still at work; only a checkout is done when it is answered.
                if let Some(rest) = rest.filter(|_| plan.request == Request::CheckOut)
                    && rest.at_head_after > AT_HEAD_WITHIN
                {
                    let ms = rest.at_head_after.as_millis();
                    report.fail(format!(
                        "{}, {connections} connections: the read models took {ms} ms to the head",
                        name.text()
                    ));
                }
                report.cells[first + place * names.len() + number].samples.push(figures);
            }
        }
    }
    for of in running {
        prove(of, report).await?;
    }
    Ok(())
}

/// One run, and the rest after it.
async fn measure(side: &dyn Side, load: &Load) -> anyhow::Result<(Sample, Option<Rest>)> {
    let sample = load.run(&side.asked(load.request), &side.pids()).await?;
    if sample.times.is_empty() {
        bail!("nothing was answered in {:?}", load.length);
    }
    let rest = if side.name().is_daybook() { Some(proof::rest(side).await?) } else { None };
    Ok((sample, rest))
}

/// Nothing that was acknowledged is missing, and the side's own proof is green.
async fn prove(of: Running, report: &mut Report) -> anyhow::Result<()> {
    let name = of.side.name();
    if name != Name::Ceiling {
        let read = proof::nothing_is_missing(&*of.side, &of.orders).await;
        read.with_context(|| format!("{}, {} orders", name.text(), of.orders.len()))?;
        eprintln!("{}: {} acknowledged orders are there and confirmed", name.text(), of.orders.len());
        report.proved(name, of.orders.len());
    }
    let proof = of.side.end().await?;
    if let Some(proof) = proof {
        if proof["holds"] != true {
            report.fail(format!("{}: verify: {proof:#}", name.text()));
        }
        eprintln!("{}: verify holds: {}", name.text(), proof["holds"]);
    }
    Ok(())
}
