//! Imports end to end, in one process: what the file says is what the store has, running it again adds nothing, and an import that was
//! stopped at any point ends the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use daybook::cli::{Cli, Command};
use daybook::config::Config;
use daybook::import::{self, Imported};
use daybook::roles::{self, Running};
use daybook::verify;
use tokio_util::sync::CancellationToken;

const FILE: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
1,POST,POSTAGE,1,2010-12-01 08:26:00,18.00,17850,United Kingdom
2,85123a,HEART,4,2010-12-02 08:26:00,2.55,17850,United Kingdom
3,22423,REGENCY CAKESTAND,2,2010-12-02 09:00:00,12.75,13408,France
4,22423,found,3,2010-12-02 09:10:00,0,,United Kingdom
5,22423,damages,-1,2010-12-02 09:11:00,0,,United Kingdom
C6,85123A,HEART,-5,2010-12-02 10:00:00,2.55,17850,United Kingdom
C7,22423,REGENCY CAKESTAND,-1,2010-12-09 10:00:00,12.75,13408,France
C8,99999,NEVER SOLD,-1,2010-12-09 10:00:00,1,13408,France
C9,POST,POSTAGE,-1,2010-12-09 10:00:00,18.00,17850,United Kingdom
A10,B,Adjust bad debt,1,2010-12-09 10:00:00,11062.06,,United Kingdom
11,22139,ODD,x,2010-12-09 10:00:00,1,13408,France
";

fn config(folder: &Path) -> Config {
    let mut config = Config::default();
    config.store.data = folder.join("data");
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config
}

fn job(config: &Config, file: &Path) -> import::Job {
    let cli = Cli::parse_from(["daybook", "import", file.to_str().unwrap()]);
    let Some(Command::Import(asked)) = cli.command else { unreachable!("it was asked to import") };
    import::job(config, &asked).unwrap()
}

async fn run(running: &Running, file: &Path) -> anyhow::Result<Imported> {
    import::run(running, job(&running.config, file), CancellationToken::new()).await
}

async fn proven(config: &Config) {
    let proof = verify::prove(config, None, &[]).await.unwrap();
    assert!(proof.holds, "{}", proof.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_what_its_file_says_and_running_it_again_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sales.csv");
    std::fs::write(&file, FILE).unwrap();
    let config = config(folder.path());

    let running = roles::start(config.clone(), "test").await.unwrap();
    let first = run(&running, &file).await.unwrap();
    running.settle(Duration::from_secs(30)).await.unwrap();
    let counts = &first.report.counts;
    let expected = [
        ("sale.lines", 4),
        ("sale.invoices", 3),
        ("credit_note.lines", 4),
        ("stock_correction.lines", 2),
        ("bad_debt.lines", 1),
        ("refused_rows.lines", 1),
        ("rows", 12),
        ("orders.placed", 3),
        ("orders.cancelled", 1),
        ("orders.completed", 2),
        ("credits.cancelled_units", 4),
        ("credits.returned_units", 3),
        ("credits.recorded_units", 1),
    ];
    for (name, count) in expected {
        assert_eq!(counts.get(name), Some(&count), "{name} in {counts:?}");
    }
    let head = running.head();
    running.wait_for_models(head).await.unwrap();
    proven(&config).await;

    let again = run(&running, &file).await.unwrap();
    assert_eq!(again.report, first.report);
    running.settle(Duration::from_secs(30)).await.unwrap();
    assert_eq!(running.head(), head, "running it again added something");
    running.stop().await.unwrap();
    proven(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_finds_its_sale_in_an_earlier_file() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.csv"), folder.path().join("second.csv"));
    let header = FILE.lines().next().unwrap();
    std::fs::write(&first, format!("{header}\n1,A,a,6,2010-12-01 08:26:00,2.55,7,UK\n")).unwrap();
    std::fs::write(&second, format!("{header}\nC2,A,a,-8,2010-12-09 08:26:00,2.55,7,UK\n")).unwrap();

    let running = roles::start(config(folder.path()), "test").await.unwrap();
    run(&running, &first).await.unwrap();
    let matched = run(&running, &second).await.unwrap();
    assert_eq!(matched.report.counts.get("credits.returned_units"), Some(&6));
    assert_eq!(matched.report.counts.get("credits.recorded_units"), Some(&2));
    let again = run(&running, &second).await.unwrap();
    assert_eq!(again.report, matched.report);
    running.stop().await.unwrap();
    proven(&config(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_stopped_and_run_again_ends_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sales.csv");
    std::fs::write(&file, FILE).unwrap();
    let whole = {
        let folder = tempfile::tempdir().unwrap();
        let running = roles::start(config(folder.path()), "test").await.unwrap();
        let whole = run(&running, &file).await.unwrap();
        running.stop().await.unwrap();
        whole
    };

    let config = config(folder.path());
    for millis in [1, 5, 20, 50, 120] {
        let running = roles::start(config.clone(), "test").await.unwrap();
        let stop = CancellationToken::new();
        let cut = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            cut.cancel();
        });
        let _ = import::run(&running, job(&config, &file), stop).await;
        running.stop().await.unwrap();
    }
    let running = roles::start(config.clone(), "test").await.unwrap();
    let last = run(&running, &file).await.unwrap();
    running.stop().await.unwrap();
    assert_eq!(last.report, whole.report);
    proven(&config).await;
}
