//! The figures of all rounds, as a table and as JSON. Ratios are formed round by round, and their median is what counts.

use std::fmt::{self, Write as _};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::baseline::Baseline;
use crate::cpu::Cpu;
use crate::load::Load;
use crate::side::Side;

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
    pub(crate) fn new(events: usize, times: &Times, cpu: Cpu, latencies: &Histogram<u64>, baseline: &Baseline) -> Self {
        let (took, base) = (times.elapsed.as_secs_f64(), baseline.elapsed.as_secs_f64());
        Self {
            cpu: cpu.with_baseline(baseline.cpu),
            ratio: base / took,
            store_per_s: events as f64 / took,
            base_per_s: events as f64 / base,
            answered_s: times.answered.as_secs_f64(),
            opened_s: times.opened.as_secs_f64(),
            p50_us: latencies.value_at_quantile(0.5),
            p99_us: latencies.value_at_quantile(0.99),
            base_p50_us: baseline.latencies.value_at_quantile(0.5),
            base_p99_us: baseline.latencies.value_at_quantile(0.99),
            commits: baseline.latencies.len(),
            events,
        }
    }

    /// Processor time per event, in microseconds.
    fn cpu_us(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.events as f64
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ratio {:.2}, cpu us/event writer {:.2} indexer {:.2} callers {:.2} server {:.2} baseline {:.2}, store {:.0}/s (opened in {:.2} s, answered in {:.2} s), baseline {:.0}/s, {:.1} a commit, \
             p50 {} us, p99 {} us",
            self.ratio,
            self.cpu_us(self.cpu.writer),
            self.cpu_us(self.cpu.indexer),
            self.cpu_us(self.cpu.callers),
            self.cpu_us(self.cpu.server),
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

/// The rounds of one store and one load with one number of writers.
pub(crate) struct Cell {
    pub(crate) load: Load,
    pub(crate) writers: usize,
    /// The side's place among the sides.
    pub(crate) side: usize,
    pub(crate) store: &'static str,
    pub(crate) samples: Vec<Sample>,
}

impl Cell {
    pub(crate) fn new(load: Load, writers: usize, side: usize, store: &'static str) -> Self {
        Self { load, writers, side, store, samples: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    /// How many times as fast as the embedded store, round by round; nothing if that was not measured, or is this one.
    fn to_embedded(&self, cells: &[Self]) -> Vec<f64> {
        let embedded = cells.iter().find(|cell| {
            (cell.store, cell.load, cell.writers) == ("sqlite", self.load, self.writers) && cell.side != self.side
        });
        let embedded = embedded.map_or(&[][..], |cell| &cell.samples);
        let pairs = self.samples.iter().zip(embedded);
        pairs.map(|(mine, embedded)| mine.store_per_s / embedded.store_per_s).collect()
    }

    fn columns(&self) -> [(&'static str, f64, usize); 15] {
        [
            ("ratio", self.median(|sample| sample.ratio), 2),
            ("store_per_s", self.median(|sample| sample.store_per_s), 0),
            ("baseline_per_s", self.median(|sample| sample.base_per_s), 0),
            ("p50_us", self.median(|sample| sample.p50_us as f64), 0),
            ("p99_us", self.median(|sample| sample.p99_us as f64), 0),
            ("commit_p50_us", self.median(|sample| sample.base_p50_us as f64), 0),
            ("commit_p99_us", self.median(|sample| sample.base_p99_us as f64), 0),
            ("events_per_commit", self.median(|sample| sample.events as f64 / sample.commits as f64), 1),
            ("cpu_us_writer", self.median(|sample| sample.cpu_us(sample.cpu.writer)), 2),
            ("cpu_us_indexer", self.median(|sample| sample.cpu_us(sample.cpu.indexer)), 2),
            ("cpu_us_callers", self.median(|sample| sample.cpu_us(sample.cpu.callers)), 2),
            ("cpu_us_server", self.median(|sample| sample.cpu_us(sample.cpu.server)), 2),
            ("cpu_us_baseline", self.median(|sample| sample.cpu_us(sample.cpu.baseline)), 2),
            ("opened_s", self.median(|sample| sample.opened_s), 2),
            ("index_lag_s", self.median(|sample| sample.events as f64 / sample.store_per_s - sample.answered_s), 2),
        ]
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Explains the columns to readers who have only the figures.
pub(crate) fn header(sides: &[Box<dyn Side>], rounds: usize, scale: f64) -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let (data, metadata) = (crate::load::data().len(), crate::load::metadata().len());
    let mut text = format!(
        "Durable appends, {rounds} rounds at scale {scale} on {processors} processors. Each writer appends batches of one event of \
         {data} + {metadata} bytes, the next\nwhen the one before is answered; `new` begins a stream with each, \
         `random` goes on with a \
         random one of many. `ratio` is the store to\nits own baseline, which writes the same rows in commits of the \
         same sizes. \
         cpu_us_* is processor time per event: of this process's\nthreads, and of all processes of the server; the \
         baseline's is both.\n"
    );
    for side in sides {
        writeln!(text, "{}: {}.", side.name(), side.about()).unwrap();
    }
    text
}

/// The medians, and how the stores compare where several were measured.
pub(crate) fn table(cells: &[Cell]) -> String {
    let mut text = String::from("medians; the baseline's own latencies are those of its commits\n");
    for (n, cell) in cells.iter().enumerate() {
        if n == 0 {
            text += &format!("{:>8} {:>7} {:>7}", "store", "streams", "writers");
            text += &cell.columns().map(|(name, ..)| format!(" {name:>17}")).concat();
            text.push('\n');
        }
        text += &format!("{:>8} {:>7} {:>7}", cell.store, cell.load.name(), cell.writers);
        text += &cell.columns().map(|(_, value, digits)| format!(" {value:>17.digits$}")).concat();
        text.push('\n');
    }
    text + &comparison(cells)
}

/// The events per second of other stores to those of the embedded one.
fn comparison(cells: &[Cell]) -> String {
    let mut text = String::new();
    for cell in cells {
        let ratios = cell.to_embedded(cells);
        if ratios.is_empty() {
            continue;
        }
        let (name, store, writers) = (cell.load.name(), cell.store, cell.writers);
        let rounds = listed(&ratios);
        writeln!(text, "{store}/sqlite {name:>7} {writers:>7}: median {:.3}, rounds {rounds}", median(ratios)).unwrap();
    }
    text
}

fn listed(ratios: &[f64]) -> String {
    let ratios: Vec<_> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
    ratios.join(",")
}

pub(crate) fn json(cells: &[Cell]) -> String {
    let objects: Vec<String> = cells
        .iter()
        .map(|cell| {
            let columns = cell.columns().map(|(name, value, digits)| format!("\"{name}\":{value:.digits$}")).join(",");
            let ratios: Vec<f64> = cell.samples.iter().map(|sample| sample.ratio).collect();
            format!(
                "{{\"store\":\"{}\",\"streams\":\"{}\",\"writers\":{},{columns},\"ratios\":[{}],\"to_sqlite\":[{}]}}",
                cell.store,
                cell.load.name(),
                cell.writers,
                listed(&ratios),
                listed(&cell.to_embedded(cells))
            )
        })
        .collect();
    format!("[{}]", objects.join(","))
}
