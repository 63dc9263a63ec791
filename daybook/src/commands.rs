//! Runs the command of the command line. Each command's own file does the work; this file supplies its configuration,
//! its signals and its exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use domain::import::RowRefusal;
use event_store::sqlite::OpenError;
use serde_json::json;

use crate::cli::{Cli, Command, Common, Demo, Import, Ready, Rebuild, Records, Serve};
use crate::config::payments::Payments;
use crate::config::{self, Config};
use crate::console::{self, Output};
use crate::remote::Remote;
use crate::{
    backup, bench, database, demo, history, import, notify, openapi, records, roles, signals, telemetry, verify,
};

/// The command failed, or found a violation.
const FAILED: u8 = 1;
/// Wrong arguments or configuration.
const MISUSED: u8 = 2;
/// The store is in use by another process.
const HELD: u8 = 3;
/// Rows of an imported file were refused; the others are imported, unless the policy says otherwise.
const REFUSED: u8 = 4;

/// Runs a command and returns its exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error)),
    };
    let code = runtime.block_on(dispatch(cli)).unwrap_or_else(|error| fail(&error));
    // What a command has left running has no right to hold the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    code
}

fn fail(error: &anyhow::Error) -> ExitCode {
    tracing::debug!(error = ?error, "the command failed");
    let held = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OpenError::Held(_))));
    console::complain(&format!("daybook: {error:#}"));
    if held {
        console::complain("daybook: with --url, `import`, `rebuild` and `records` use a running server");
    }
    let misused = error.chain().any(|cause| cause.is::<config::Error>());
    ExitCode::from(if held {
        HELD
    } else if misused {
        MISUSED
    } else {
        FAILED
    })
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let common = cli.common;
    if let Some(Command::Config { command, .. }) = &cli.command
        && !command.is_empty()
    {
        return check(command);
    }
    let config = common.load(cli.command.as_ref())?;
    let quiet = !matches!(cli.command, None | Some(Command::Serve(_)));
    logs(&config, quiet)?;
    match cli.command.unwrap_or(Command::Serve(Serve::default())) {
        Command::Serve(_) => serve(config).await,
        Command::Demo(asked) => demonstrate(config, asked, common.output).await,
        Command::Import(asked) => load(config, asked, common.output).await,
        Command::History(asked) => {
            let answer = history::answer(&config, &asked).await?;
            common.output.print(&answer, history::Answer::text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Rebuild(asked) => rebuild(config, asked, common.output).await,
        Command::Records(Records::List { url }) => {
            let found = records::list(&config, url.as_deref()).await?;
            common.output.print(&found, records::Listed::text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Records(Records::SetAside(asked)) => {
            let done = records::set_aside(&config, &asked).await?;
            common.output.print(&done, records::told);
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(asked) => {
            let proof = verify::prove(&config, asked.against.as_deref(), &asked.expect).await?;
            common.output.print(&proof, verify::Proof::text);
            Ok(if proof.holds { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        }
        Command::Backup(asked) => {
            let made = backup::back_up(&config, &asked).await?;
            common.output.print(&made, backup::BackedUp::text);
            Ok(if made.proof.intact { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        }
        Command::Bench(asked) => {
            let measured = bench::run(&config, &asked, common.output).await?;
            common.output.print(&measured, bench::Measured::text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            console::line(openapi::document().await?.to_pretty_json()?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate(asked) => {
            database::migrate(&config, &asked).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Copy(asked) => {
            let copied = database::copy(&asked).await?;
            common.output.print(&copied, database::Copied::text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Ready(asked) => ready(&asked, common.output).await,
        Command::Config { default, .. } => show(&config, &common, default),
    }
}

/// Sends log lines to standard error. A command that a person waits for prints its own output and logs only failures.
fn logs(config: &Config, quiet: bool) -> anyhow::Result<()> {
    let mut telemetry_config = config.telemetry.clone();
    if quiet && telemetry_config.log == config::telemetry::Telemetry::default().log {
        telemetry_config.log = "error".to_owned();
    }
    telemetry::logs(&telemetry_config)
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let stop = signals::watch();
    let running = roles::start(config, "serve").await?;
    running.serve().await?;
    tracing::info!(http.url = %running.url(), "serving");
    notify::tell(notify::READY);
    // However it ends, it ends in order.
    let ended = running.until(stop).await;
    notify::tell(notify::STOPPING);
    let stopped = running.stop().await;
    ended?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

async fn demonstrate(mut config: Config, asked: Demo, output: Output) -> anyhow::Result<ExitCode> {
    if config.payments == Payments::default() {
        config.payments = Payments::quick();
    }
    let stop = signals::watch();
    let running = roles::start(config, "demo").await?;
    let fed = demo::feed(&running, &asked, output, stop.clone()).await;
    let summary = match fed {
        Ok(summary) => summary,
        Err(error) => {
            running.stop().await?;
            return Err(error);
        }
    };
    output.print(&summary, demo::Summary::text);
    let mut ended = Ok(());
    if !asked.no_serve && !stop.is_cancelled() {
        running.serve().await?;
        output.say(&demo::invitation(&running.url()));
        ended = running.until(stop).await;
    }
    let stopped = running.stop().await;
    ended?;
    stopped?;
    Ok(if summary.holds { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

async fn load(config: Config, asked: Import, output: Output) -> anyhow::Result<ExitCode> {
    let imported = if asked.dry_run {
        let mut job = import::job(&config, &asked)?;
        job.content.refuse_after(import::latest());
        output.print(&json!({ "counts": job.content.tally.named(), "refused": job.content.refused }), |_| {
            import::counted(&job.content.tally, &job.content.refused)
        });
        return Ok(refused(&job.content.refused));
    } else if let Some(url) = &asked.url {
        import::remote(&config, &asked, url).await?
    } else {
        let job = import::job(&config, &asked)?;
        let stop = signals::watch();
        let running = roles::start(config, "import").await?;
        let imported = import::run(&running, job, stop).await;
        if imported.is_ok()
            && let Err(error) = settle(&running).await
        {
            tracing::warn!(
                error = %error,
                "the import is done, but its sagas or read models are not; the next process continues them, nothing to \
                 do"
            );
        }
        running.stop().await?;
        imported?
    };
    output.print(&imported, import::Imported::text);
    Ok(refused(&imported.report.refused))
}

/// How an import ends: with a code of its own where a row was refused, so that nobody takes the file for imported.
fn refused(rows: &[RowRefusal]) -> ExitCode {
    if rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
}

/// Waits until what an import has started is done, and every read model shows it.
async fn settle(running: &roles::Running) -> anyhow::Result<()> {
    running.settle(SETTLE).await?;
    running.wait_for_models(running.head()).await
}

/// How long the sagas of an import may run after its last order.
const SETTLE: Duration = Duration::from_secs(120);

async fn rebuild(config: Config, asked: Rebuild, output: Output) -> anyhow::Result<ExitCode> {
    let names = if asked.name == "all" {
        projections::Projections::names().into_iter().map(str::to_owned).collect()
    } else {
        vec![asked.name.clone()]
    };
    let mut rebuilt = Vec::new();
    if let Some(url) = &asked.url {
        let server = Remote::try_new(url)?;
        for name in names {
            let path = format!("/v1/projections/{name}/rebuild");
            let _: serde_json::Value = server.post(&path, &[], "application/json", vec![]).await?;
            rebuilt.push(json!({ "name": name, "requested": true }));
        }
    } else {
        let models = roles::Models::open(&config, "rebuild").await?;
        for name in names {
            let bar = console::bar(0, &name);
            let moved = bar.clone();
            let progress: projections::Progress = std::sync::Arc::new(move |at, head| {
                moved.set_length(head);
                moved.set_position(at);
            });
            let position = models.rebuild(&name, progress).await?;
            bar.finish_and_clear();
            rebuilt.push(json!({ "name": name, "position": position }));
        }
        models.close().await?;
    }
    output.print(&rebuilt, |all| {
        all.iter().fold(String::new(), |text, one| {
            let name = one["name"].as_str().unwrap_or_default();
            match one["position"].as_u64() {
                Some(position) => format!("{text}{name}: rebuilt up to position {position}\n"),
                None => format!("{text}{name}: the server rebuilds it; GET /v1/projections shows the progress\n"),
            }
        })
    });
    Ok(ExitCode::SUCCESS)
}

/// Asks a process whether it is ready.
async fn ready(asked: &Ready, output: Output) -> anyhow::Result<ExitCode> {
    let readiness: serde_json::Value = Remote::try_new(&asked.url)?.readiness().await?;
    let ready = readiness["ready"] == true;
    output.print(&readiness, |readiness| {
        let parts = readiness["parts"].as_array().cloned().unwrap_or_default();
        parts.iter().fold(String::new(), |text, part| {
            let word = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
            let mark = match part["state"].as_str() {
                Some("degraded") => "DEGRADED",
                _ if part["ready"] == true => "ok",
                _ => "NO",
            };
            format!("{text}{mark} {}: {}\n", word("name"), word("detail"))
        })
    });
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Checks the configuration of another command, as that command would have it.
fn check(command: &[String]) -> anyhow::Result<ExitCode> {
    let words = std::iter::once("daybook").chain(command.iter().map(String::as_str));
    let cli = Cli::try_parse_from(words)
        .map_err(|error| config::Error::Value { key: "the command", why: error.to_string() })?;
    let config = cli.common.load(cli.command.as_ref())?;
    cli.common.output.print(&config, Config::to_toml);
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config, common: &Common, default: bool) -> anyhow::Result<ExitCode> {
    if default {
        console::line(Config::default_file().trim_end());
    } else {
        // An invalid configuration was refused before this.
        common.output.print(config, Config::to_toml);
    }
    Ok(ExitCode::SUCCESS)
}
