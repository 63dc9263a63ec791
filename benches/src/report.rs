//! The figures of all rounds, as a table and as JSON. Ratios are formed round by round between sides that ran in turn, and their median
//! is what counts.

use std::fmt;

use serde::Serialize;

use crate::load::Sample;
use crate::proof::Rest;
use crate::rounds::{self, Plan};
use crate::sides::{Name, Side};

/// What one round of one side came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    per_second: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    /// Processor time of the whole machine for each answer.
    machine_cpu_ms: f64,
    /// Processor time of the side's processes for each answer.
    side_cpu_ms: f64,
    answers: u64,
    answer_bytes: f64,
    /// How long the read models took to the head after the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_head_after_ms: Option<f64>,
}

impl Figures {
    pub(crate) fn of(sample: &Sample, rest: Option<Rest>) -> Self {
        let answers = sample.times.len();
        let each = 1.0 / answers.max(1) as f64;
        let quantile = |of| sample.times.value_at_quantile(of) as f64 / 1e3;
        Self {
            per_second: answers as f64 / sample.seconds,
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            machine_cpu_ms: sample.cpu.machine.as_secs_f64() * 1e3 * each,
            side_cpu_ms: sample.cpu.side.as_secs_f64() * 1e3 * each,
            answers,
            answer_bytes: sample.bytes as f64 * each,
            at_head_after_ms: rest.map(|rest| rest.at_head_after.as_secs_f64() * 1e3),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, p50_ms, p99_ms, machine_cpu_ms, .. } = self;
        write!(
            f,
            "{per_second:.1}/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, {machine_cpu_ms:.2} ms of the processors each"
        )
    }
}

/// The rounds of one side with one number of connections.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The sides that ran in turn with it.
    block: Vec<Name>,
    side: Name,
    connections: usize,
    pub(crate) samples: Vec<Figures>,
}

impl Cell {
    pub(crate) fn new(block: &[Name], side: Name, connections: usize) -> Self {
        Self { block: block.to_owned(), side, connections, samples: Vec::new() }
    }
}

/// What a run came to.
pub(crate) struct Report {
    plan: Plan,
    abouts: Vec<(Name, String)>,
    pub(crate) cells: Vec<Cell>,
    proved: Vec<Proved>,
    failures: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Proved {
    side: Name,
    acknowledged: usize,
    missing: usize,
}

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    side: Name,
    /// The sides that ran in turn with it.
    beside: Vec<Name>,
    connections: usize,
    #[serde(flatten)]
    medians: Figures,
    /// How many times as many a second as the base of the same round.
    ratio: f64,
    /// How many times the base's median time of the same round.
    p50_ratio: f64,
    /// The side that ratios are to.
    base: Name,
    ratios: Vec<f64>,
    rounds: Vec<Figures>,
}

#[derive(Serialize)]
struct Json<'a> {
    request: &'static str,
    seconds: f64,
    rounds: usize,
    sides: Vec<About<'a>>,
    rows: Vec<Row>,
    proved: &'a [Proved],
    failures: &'a [String],
}

#[derive(Serialize)]
struct About<'a> {
    side: Name,
    about: &'a str,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), abouts: Vec::new(), cells: Vec::new(), proved: Vec::new(), failures: Vec::new() }
    }

    pub(crate) fn describe(&mut self, side: &dyn Side) {
        if !self.abouts.iter().any(|(name, _)| *name == side.name()) {
            self.abouts.push((side.name(), side.about()));
        }
    }

    /// Something does not hold that has to.
    pub(crate) fn fail(&mut self, what: String) {
        eprintln!("failed: {what}");
        self.failures.push(what);
    }

    pub(crate) fn proved(&mut self, side: Name, acknowledged: usize) {
        self.proved.push(Proved { side, acknowledged, missing: 0 });
    }

    /// Whether everything holds.
    pub(crate) fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    fn rows(&self) -> Vec<Row> {
        self.cells.iter().map(|cell| self.row(cell)).collect()
    }

    fn row(&self, cell: &Cell) -> Row {
        let base = Some(rounds::base(self.plan.request)).filter(|name| cell.block.contains(name)).unwrap_or(cell.side);
        let of_base = self
            .cells
            .iter()
            .find(|other| (&other.block, other.side, other.connections) == (&cell.block, base, cell.connections));
        let pairs: Vec<_> = cell.samples.iter().zip(of_base.map_or(&[][..], |cell| &cell.samples)).collect();
        let ratios: Vec<f64> = pairs.iter().map(|(own, base)| own.per_second / base.per_second).collect();
        let times = pairs.iter().map(|(own, base)| own.p50_ms / base.p50_ms).collect();
        Row {
            side: cell.side,
            beside: cell.block.clone(),
            connections: cell.connections,
            medians: medians(&cell.samples),
            ratio: median(ratios.clone()),
            p50_ratio: median(times),
            base,
            ratios,
            rounds: cell.samples.clone(),
        }
    }

    /// As a person reads it.
    pub(crate) fn text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING).set_header([
            "side",
            "connections",
            "per second",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "cpu ms",
            "own cpu ms",
            "at head ms",
            "ratio",
            "p50 ratio",
            "to",
        ]);
        for row in self.rows() {
            let of = &row.medians;
            table.add_row([
                row.side.text().to_owned(),
                row.connections.to_string(),
                format!("{:.1}", of.per_second),
                format!("{:.2}", of.p50_ms),
                format!("{:.2}", of.p90_ms),
                format!("{:.2}", of.p99_ms),
                format!("{:.2}", of.machine_cpu_ms),
                format!("{:.2}", of.side_cpu_ms),
                of.at_head_after_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0}")),
                format!("{:.3}", row.ratio),
                format!("{:.2}", row.p50_ratio),
                row.base.text().to_owned(),
            ]);
        }
        let mut text = format!(
            "{} rounds of {} s; medians; a ratio is the median of the rounds' ratios, each to a side that ran in turn\n\n{table}\n\n",
            self.plan.rounds,
            self.plan.length.as_secs_f64()
        );
        for (name, about) in &self.abouts {
            text += &format!("{}: {about}\n", name.text());
        }
        for proved in &self.proved {
            text += &format!("{}: {} orders acknowledged, none missing\n", proved.side.text(), proved.acknowledged);
        }
        for failure in &self.failures {
            text += &format!("FAILED {failure}\n");
        }
        text
    }

    /// As a program reads it.
    ///
    /// # Errors
    /// Never, with these types.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        let told = Json {
            request: self.plan.request.text(),
            seconds: self.plan.length.as_secs_f64(),
            rounds: self.plan.rounds,
            sides: self.abouts.iter().map(|(side, about)| About { side: *side, about }).collect(),
            rows: self.rows(),
            proved: &self.proved,
            failures: &self.failures,
        };
        Ok(serde_json::to_string_pretty(&told)?)
    }
}

fn medians(samples: &[Figures]) -> Figures {
    let of = |of: fn(&Figures) -> f64| median(samples.iter().map(of).collect());
    Figures {
        per_second: of(|figures| figures.per_second),
        p50_ms: of(|figures| figures.p50_ms),
        p90_ms: of(|figures| figures.p90_ms),
        p99_ms: of(|figures| figures.p99_ms),
        machine_cpu_ms: of(|figures| figures.machine_cpu_ms),
        side_cpu_ms: of(|figures| figures.side_cpu_ms),
        answers: samples.iter().map(|figures| figures.answers).sum(),
        answer_bytes: of(|figures| figures.answer_bytes),
        at_head_after_ms: samples
            .iter()
            .any(|figures| figures.at_head_after_ms.is_some())
            .then(|| of(|figures| figures.at_head_after_ms.unwrap_or(0.0))),
    }
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
