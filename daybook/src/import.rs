//! `import`: imports a file into a local store, whose lock it takes, or through a running server. `command_api::import`
//! does the import; this file supplies its dependencies and shows its report.

mod earlier;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use command_api::import::run::{Importer, Observed, Observer, Report};
use command_api::import::service::Rejected;
use command_api::import::tally::{Class, Tally};
use command_api::import::{Layout, Options, Plan, content, keys, plan};
use domain::ids::{Channel, LocationId, Tenant};
use domain::import::{Policy, RowRefusal};
use domain::money::Currency;
use domain::time::Timestamp;
use hdrhistogram::Histogram;
use schemas::http::import::{ImportBody, ImportErrorsBody, ImportStatus};
use schemas::http::instant::AHEAD_S;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::Config;
use crate::console::{self, grouped, seconds};
use crate::remote::Remote;
use crate::roles::Running;

pub use earlier::lookup;

/// How long an order may wait for a saga to answer. Gateways that never answer are not part of an import.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a server is asked for its progress.
const POLL: Duration = Duration::from_millis(500);

/// The results of an import, and its duration.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// The run, its figures and the rows that it refused. The same for each run of a file.
    #[serde(flatten)]
    pub report: Report,
    /// What the run took.
    pub took: Took,
}

/// What a run took.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Took {
    /// From the first byte to the last answer.
    pub seconds: f64,
    /// Orders that were worked on.
    pub orders: u64,
    /// Events that were recorded.
    pub events: u64,
    /// Events per second.
    pub events_per_second: f64,
    /// Orders per second.
    pub orders_per_second: f64,
    /// Commands that were sent.
    pub commands: u64,
    /// Half of them were answered within so many milliseconds.
    pub p50_ms: f64,
    /// 99 of a hundred were.
    pub p99_ms: f64,
}

/// A file, read and understood.
pub struct Job {
    /// Its content.
    pub content: content::Content,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// How it is laid out.
    pub layout: Layout,
    /// Its options.
    pub options: Options,
}

/// Reads the file of a command.
///
/// # Errors
/// If it cannot be read or understood as a whole.
pub fn job(config: &Config, asked: &cli::Import) -> anyhow::Result<Job> {
    let bytes = crate::content::read(&asked.file)?;
    let layout = layout(&bytes, asked.layout)?;
    let source = asked.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let options = options(config, asked.channel.as_deref(), &source, policy(asked.policy))?;
    let sha256 = keys::sha256(&bytes);
    let content = content::parse(layout, &bytes)?;
    Ok(Job { content, sha256, layout, options })
}

fn layout(bytes: &[u8], asked: Option<cli::Layout>) -> anyhow::Result<Layout> {
    match asked {
        Some(cli::Layout::Retail) => Some(Layout::Retail),
        Some(cli::Layout::Orders) => Layout::by_name("orders", bytes),
        None => Layout::detect(bytes),
    }
    .ok_or_else(|| anyhow::anyhow!("{}; see --layout and docs/import.md", Rejected::NoLayout))
}

fn policy(asked: cli::Policy) -> Policy {
    match asked {
        cli::Policy::All => Policy::All,
        cli::Policy::Rows => Policy::Rows,
        cli::Policy::Skip => Policy::Skip,
    }
}

/// What an import of a tenant needs to know.
///
/// # Errors
/// If the configuration does not fit.
pub fn options(config: &Config, channel: Option<&str>, source: &str, policy: Policy) -> anyhow::Result<Options> {
    Ok(Options {
        origin: keys::Origin {
            tenant: Tenant::try_new(config.tenant.name.as_str())?,
            channel: Channel::try_new(channel.unwrap_or(&config.imports.channel))?,
        },
        source: source.to_owned(),
        policy,
        location: LocationId::try_new(config.tenant.location.as_str())?,
        faults: None,
    })
}

/// The latest instant that a file may name if it is imported now.
#[must_use]
pub fn latest() -> Timestamp {
    Timestamp::from_micros(event_store::clock::system_clock()()).plus_seconds(AHEAD_S)
}

/// Runs a job in this process.
///
/// # Errors
/// If it ends early; the next run continues it.
pub async fn run(running: &Running, job: Job, stop: CancellationToken) -> anyhow::Result<Imported> {
    let begun = Instant::now();
    let before = running.head();
    let watch = Arc::new(Watch::new()?);
    let importer = importer(running, watch.observer(), stop);
    let Job { mut content, sha256, layout, options } = job;
    let started = importer.start(plan::started(layout, sha256, &options), &options, None).await?;
    running.wait_for_models(started.position).await?;
    content.refuse_after(started.latest);
    let plan = Plan::new(layout, sha256, content, &options);
    let report = importer.run(plan, &options, started.position).await?;
    let took = watch.took(begun.elapsed(), running.head() - before);
    Ok(Imported { report, took })
}

/// What imports of this process go through.
pub fn importer(running: &Running, observer: Observer, stop: CancellationToken) -> Importer {
    Importer {
        executor: running.executor.clone(),
        actor: running.config.tenant.actor.clone(),
        earlier: lookup(running),
        observer,
        in_flight: running.config.imports.in_flight,
        patience: PATIENCE,
        stop,
    }
}

/// Watches a run: bars for a person, figures for the report.
struct Watch {
    stock: indicatif::ProgressBar,
    orders: indicatif::ProgressBar,
    times: Mutex<(Histogram<u64>, u64)>,
}

impl Watch {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            stock: console::bar(0, "stock"),
            orders: console::bar(0, "orders"),
            times: Mutex::new((crate::load::histogram()?, 0)),
        })
    }

    fn observer(self: &Arc<Self>) -> Observer {
        let watch = Arc::clone(self);
        Arc::new(move |observed| match observed {
            Observed::StockPlanned(count) => watch.stock.set_length(count as u64),
            Observed::StockDone => watch.stock.inc(1),
            Observed::OrdersPlanned(count) => {
                watch.stock.finish_and_clear();
                watch.orders.set_length(count as u64);
                watch.orders.reset_eta();
            }
            Observed::OrderDone => {
                watch.orders.inc(1);
                watch.times.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
            }
            Observed::Command(took) => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                watch.times.lock().unwrap_or_else(PoisonError::into_inner).0.saturating_record(micros);
            }
        })
    }

    fn took(&self, took: Duration, events: u64) -> Took {
        self.stock.finish_and_clear();
        self.orders.finish_and_clear();
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = took.as_secs_f64();
        let quantile = |of: f64| times.0.value_at_quantile(of) as f64 / 1e3;
        Took {
            seconds,
            orders: times.1,
            events,
            events_per_second: events as f64 / seconds,
            orders_per_second: times.1 as f64 / seconds,
            commands: times.0.len(),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
        }
    }
}

/// Lets a running server import the file.
///
/// # Errors
/// If the server does not answer or refuses.
pub async fn remote(config: &Config, asked: &cli::Import, url: &str) -> anyhow::Result<Imported> {
    if asked.channel.as_ref().is_some_and(|channel| *channel != config.imports.channel) {
        bail!("a running server imports from its own channel (imports.channel): leave --channel out");
    }
    let begun = Instant::now();
    let bytes = crate::content::read(&asked.file)?;
    let layout = layout(&bytes, asked.layout)?;
    let source = asked.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let policy = match asked.policy {
        cli::Policy::All => "all",
        cli::Policy::Rows => "rows",
        cli::Policy::Skip => "skip",
    };
    let kind = if layout == Layout::OrdersNdjson { "application/x-ndjson" } else { "text/csv" };
    let query = [("layout", layout.name()), ("policy", policy), ("source", source.as_str())];
    let server = Remote::try_new(url)?;
    let mut body: ImportBody = server.post("/v1/imports", &query, kind, bytes).await?;
    let bar = console::bar(0, "the server imports");
    while body.status == ImportStatus::Running {
        tokio::time::sleep(POLL).await;
        body = server.get(&format!("/v1/imports/{}", body.import_id)).await?;
    }
    bar.finish_and_clear();
    let errors: ImportErrorsBody = server.get(&format!("/v1/imports/{}/errors", body.import_id)).await?;
    let row =
        |row: schemas::http::import::RefusedRow| RowRefusal { line: row.line, code: row.code, reason: row.reason };
    let report = Report {
        import_id: body.import_id,
        called_off: policy == "all" && !errors.rows.is_empty(),
        counts: body.counts,
        refused: errors.rows.into_iter().map(row).collect(),
    };
    Ok(Imported { report, took: Took { seconds: begun.elapsed().as_secs_f64(), ..Took::default() } })
}

impl Imported {
    /// The report as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = classes(&self.report.counts);
        text.push_str(&outcomes(&self.report.counts));
        text.push_str(&refusals(&self.report.refused));
        if self.report.called_off {
            text.push_str("\nNothing was imported, because rows are bad and the policy is `all`.\n");
        }
        let took = &self.took;
        text.push_str(&format!(
            "\nimport {} took {}",
            self.report.import_id,
            seconds(Duration::from_secs_f64(took.seconds))
        ));
        if took.events > 0 {
            let number = |value: f64| grouped(value as i64);
            text.push_str(&format!(
                ": {} events ({}/s), {} orders ({}/s), {} commands, p50 {:.1} ms, p99 {:.1} ms",
                number(took.events as f64),
                number(took.events_per_second),
                number(took.orders as f64),
                number(took.orders_per_second),
                number(took.commands as f64),
                took.p50_ms,
                took.p99_ms
            ));
        }
        text + "\n"
    }
}

/// The classes of a content that was only counted.
#[must_use]
pub fn counted(tally: &Tally, refused: &[RowRefusal]) -> String {
    classes(&tally.named()) + &refusals(refused)
}

fn classes(counts: &BTreeMap<String, i64>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header([
        "class",
        "invoices",
        "lines",
        "not goods",
        "units",
        "currency",
        "revenue",
        "rounded − raw",
    ]);
    let all =
        [Class::Sale, Class::CreditNote, Class::StockCorrection, Class::StockReceipt, Class::BadDebt, Class::Refused];
    for class in all.map(Class::name) {
        let of = |what: &str| counts.get(&format!("{class}.{what}")).copied();
        let Some(lines) = of("lines") else { continue };
        let number = |what: &str| grouped(of(what).unwrap_or(0));
        let mut row =
            vec![class.to_owned(), number("invoices"), grouped(lines), number("other_lines"), number("units")];
        let prefix = format!("{class}.revenue.");
        let currencies = counts.keys().filter_map(|name| name.strip_prefix(&prefix));
        // A line for each currency: what is worth pounds and what is worth yen have no sum.
        for currency in currencies.filter_map(|code| code.parse::<Currency>().ok()) {
            row.push(currency.to_string());
            row.push(money(of(&format!("revenue.{currency}")).unwrap_or(0), currency));
            let rounding = of(&format!("rounding_e4.{currency}")).unwrap_or(0) as f64;
            row.push(format!("{:.6}", rounding / 1e4 / 10_f64.powi(i32::try_from(currency.exponent()).unwrap_or(0))));
            table.add_row(std::mem::replace(&mut row, vec![String::new(); 5]));
        }
        if row.first().is_some_and(|name| !name.is_empty()) {
            table.add_row(row);
        }
    }
    format!("{table}\nrows in all: {}\n", grouped(counts.get("rows").copied().unwrap_or(0)))
}

fn outcomes(counts: &BTreeMap<String, i64>) -> String {
    let names = ["orders.", "credits.", "stock."];
    let wanted = counts
        .iter()
        .filter(|(name, _)| names.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with("stock_"));
    wanted.fold(String::from("\n"), |text, (name, count)| format!("{text}{name:<28}{:>16}\n", grouped(*count)))
}

fn refusals(rows: &[RowRefusal]) -> String {
    const SHOWN: usize = 20;
    if rows.is_empty() {
        return "\nno row was refused\n".to_owned();
    }
    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *by_code.entry(&row.code).or_default() += 1;
    }
    let mut text = format!("\n{} rows were refused:\n", rows.len());
    for (code, count) in by_code {
        text.push_str(&format!("  {count} {code}\n"));
    }
    for row in rows.iter().take(SHOWN) {
        text.push_str(&format!("  line {}: {} ({})\n", row.line, row.reason, row.code));
    }
    if rows.len() > SHOWN {
        text.push_str("  … all of them with --output json\n");
    }
    text
}

/// Minor units of a currency, with as many decimals as it has.
fn money(minor: i64, currency: Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let (amount, digits) = (minor.unsigned_abs(), usize::try_from(currency.exponent()).unwrap_or(0));
    let unit = 10_u64.pow(currency.exponent());
    let whole = grouped(i64::try_from(amount / unit).unwrap_or(i64::MAX));
    if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{:0digits$}", amount % unit) }
}
