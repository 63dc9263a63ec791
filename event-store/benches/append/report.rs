//! The figures of all rounds, as a table and as JSON. Ratios are formed round by round, and their median is what counts.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::cpu::Cpu;
use crate::load::Load;

/// Events of one run, enough for a few seconds.
pub(crate) fn events_for(writers: usize) -> usize {
    match writers {
        0..=4 => 20_000,
        5..=31 => 150_000,
        32..=127 => 500_000,
        _ => 1_000_000,
    }
}

/// How long the parts of a round took.
pub(crate) struct Times {
    /// The store's run until its index had everything.
    pub(crate) elapsed: Duration,
    /// The store's run until everything was answered.
    pub(crate) answered: Duration,
    /// Opening the store.
    pub(crate) opened: Duration,
    /// The baseline's run.
    pub(crate) base: Duration,
}

/// What one round came to.
pub(crate) struct Sample {
    cpu: Cpu,
    ratio: f64,
    store_per_s: f64,
    base_per_s: f64,
    answered_s: f64,
    opened_s: f64,
    p50_us: u64,
    p99_us: u64,
    base_p50_us: u64,
    base_p99_us: u64,
    commits: u64,
    events: usize,
}

impl Sample {
    pub(crate) fn new(
        events: usize,
        times: Times,
        cpu: Cpu,
        latencies: Histogram<u64>,
        base_latencies: Histogram<u64>,
    ) -> Self {
        let Times {
            elapsed,
            answered,
            opened,
            base,
        } = times;
        Self {
            cpu,
            ratio: base.as_secs_f64() / elapsed.as_secs_f64(),
            store_per_s: events as f64 / elapsed.as_secs_f64(),
            base_per_s: events as f64 / base.as_secs_f64(),
            answered_s: answered.as_secs_f64(),
            opened_s: opened.as_secs_f64(),
            p50_us: latencies.value_at_quantile(0.5),
            p99_us: latencies.value_at_quantile(0.99),
            base_p50_us: base_latencies.value_at_quantile(0.5),
            base_p99_us: base_latencies.value_at_quantile(0.99),
            commits: base_latencies.len(),
            events,
        }
    }
}

impl Sample {
    /// Processor time per event, in microseconds.
    fn cpu_us(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.events as f64
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ratio {:.2}, cpu us/event writer {:.2} indexer {:.2} callers {:.2} baseline {:.2}, store {:.0}/s (opened in {:.2} s, answered in {:.2} s), baseline {:.0}/s, {:.1} a commit, \
             p50 {} us, p99 {} us",
            self.ratio,
            self.cpu_us(self.cpu.writer),
            self.cpu_us(self.cpu.indexer),
            self.cpu_us(self.cpu.callers),
            self.cpu_us(self.cpu.baseline),
            self.store_per_s,
            self.opened_s,
            self.answered_s,
            self.base_per_s,
            self.events as f64 / self.commits as f64,
            self.p50_us,
            self.p99_us
        )
    }
}

/// The rounds of one load with one number of writers.
pub(crate) struct Cell {
    pub(crate) load: Load,
    pub(crate) writers: usize,
    pub(crate) samples: Vec<Sample>,
}

impl Cell {
    pub(crate) fn new(load: Load, writers: usize) -> Self {
        Self {
            load,
            writers,
            samples: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn columns(&self) -> [(&'static str, f64, usize); 14] {
        [
            ("ratio", self.median(|sample| sample.ratio), 2),
            ("store_per_s", self.median(|sample| sample.store_per_s), 0),
            ("baseline_per_s", self.median(|sample| sample.base_per_s), 0),
            ("p50_us", self.median(|sample| sample.p50_us as f64), 0),
            ("p99_us", self.median(|sample| sample.p99_us as f64), 0),
            (
                "commit_p50_us",
                self.median(|sample| sample.base_p50_us as f64),
                0,
            ),
            (
                "commit_p99_us",
                self.median(|sample| sample.base_p99_us as f64),
                0,
            ),
            (
                "events_per_commit",
                self.median(|sample| sample.events as f64 / sample.commits as f64),
                1,
            ),
            (
                "cpu_us_writer",
                self.median(|sample| sample.cpu_us(sample.cpu.writer)),
                2,
            ),
            (
                "cpu_us_indexer",
                self.median(|sample| sample.cpu_us(sample.cpu.indexer)),
                2,
            ),
            (
                "cpu_us_callers",
                self.median(|sample| sample.cpu_us(sample.cpu.callers)),
                2,
            ),
            (
                "cpu_us_baseline",
                self.median(|sample| sample.cpu_us(sample.cpu.baseline)),
                2,
            ),
            ("opened_s", self.median(|sample| sample.opened_s), 2),
            (
                "index_lag_s",
                self.median(|sample| sample.events as f64 / sample.store_per_s - sample.answered_s),
                2,
            ),
        ]
    }

    fn name(&self) -> &'static str {
        if self.load == Load::New {
            "new"
        } else {
            "random"
        }
    }
}

pub(crate) fn table(cells: &[Cell]) -> String {
    let mut text = String::from("medians; the baseline's own latencies are those of its commits\n");
    for (n, cell) in cells.iter().enumerate() {
        if n == 0 {
            text += &format!("{:>7} {:>7}", "streams", "writers");
            text += &cell
                .columns()
                .map(|(name, ..)| format!(" {name:>17}"))
                .concat();
            text.push('\n');
        }
        text += &format!("{:>7} {:>7}", cell.name(), cell.writers);
        text += &cell
            .columns()
            .map(|(_, value, digits)| format!(" {value:>17.digits$}"))
            .concat();
        text.push('\n');
    }
    text
}

pub(crate) fn json(cells: &[Cell]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| {
            let columns = cell
                .columns()
                .map(|(name, value, digits)| format!("\"{name}\":{value:.digits$}"))
                .join(",");
            let ratios: Vec<String> = cell
                .samples
                .iter()
                .map(|sample| format!("{:.3}", sample.ratio))
                .collect();
            let (name, writers, ratios) = (cell.name(), cell.writers, ratios.join(","));
            format!(
                "{{\"streams\":\"{name}\",\"writers\":{writers},{columns},\"ratios\":[{ratios}]}}"
            )
        })
        .collect();
    format!("[{}]", cells.join(","))
}
