//! How fast durable appends are, beside the least that SQLite must do for the same rows: one thread, prepared inserts of every
//! column of the log table, primary key only, synced, in commits of the very sizes that the store's own run came to. The
//! baseline checks nothing, hashes nothing and indexes nothing; the store does all of that, until its index has everything.
//!
//! `cargo bench -p event-store --bench append -- [--rounds 5] [--writers 1,16,64,256] [--loads new,random] [--scale 1.0]
//! [--dir DIR] [--json]`. What it prints must come from what it measured in this very run.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement stops at the first surprise"
)]
#![expect(clippy::print_stdout, reason = "the table is what this is for")]

mod baseline;
mod cpu;
mod load;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::sqlite::{Options, Store};
use event_store::{EventStore, verify};
use hdrhistogram::Histogram;

use load::{Load, Streams};
use report::{Cell, Sample};

/// Existing streams and events of the random load.
const STREAMS: usize = 200_000;
const EVENTS_EACH: usize = 5;

struct Arguments {
    rounds: usize,
    writers: Vec<usize>,
    loads: Vec<Load>,
    scale: f64,
    dir: Option<PathBuf>,
    json: bool,
}

fn main() {
    let arguments = arguments();
    let kept = tempfile::tempdir().unwrap();
    let dir = arguments
        .dir
        .clone()
        .unwrap_or_else(|| kept.path().to_owned());
    std::fs::create_dir_all(&dir).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut cells = Vec::new();
    for &load in &arguments.loads {
        let prepared = dir.join("prepared");
        let streams = runtime.block_on(load::prepare(load, &prepared, arguments.scale));
        let mut of_load: Vec<Cell> = arguments
            .writers
            .iter()
            .map(|&writers| Cell::new(load, writers))
            .collect();
        for round in 0..arguments.rounds {
            for cell in &mut of_load {
                // Each run begins with the same files.
                let (ours, theirs) = (dir.join("store"), dir.join("baseline"));
                load::copy(&prepared, &ours);
                load::copy(&prepared, &theirs);
                let mut streams = streams.clone();
                let events = (report::events_for(cell.writers) as f64 * arguments.scale) as usize;
                let run = measure(&ours, &theirs, load, cell.writers, events, &mut streams);
                let sample = runtime.block_on(run);
                eprintln!(
                    "round {round} {load:?} {:>4} writers: {sample}",
                    cell.writers
                );
                cell.samples.push(sample);
            }
        }
        cells.extend(of_load);
        std::fs::remove_dir_all(&prepared).ok();
    }
    println!(
        "{}",
        if arguments.json {
            report::json(&cells)
        } else {
            report::table(&cells)
        }
    );
    if !arguments.json {
        println!("\n{}", report::json(&cells));
    }
}

/// One run of the store, and one of the baseline with the commit sizes that the store's run had.
async fn measure(
    ours: &Path,
    theirs: &Path,
    load: Load,
    writers: usize,
    events: usize,
    streams: &mut Streams,
) -> Sample {
    let opening = Instant::now();
    let store = Store::open(Options::new(ours)).unwrap();
    let opened = opening.elapsed();
    let before = *store.head().borrow();
    let mut shares = streams.share(writers);
    let each = events / writers;

    let cpu_before = cpu::spent();
    let began = Instant::now();
    let mut tasks = Vec::new();
    for share in shares.drain(..) {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(load::write(store, load, share, each)));
    }
    let mut latencies = Histogram::<u64>::new(3).unwrap();
    let mut returned = Vec::new();
    for task in tasks {
        let (share, mine) = task.await.unwrap();
        latencies.add(&mine).unwrap();
        returned.push(share);
    }
    let answered = began.elapsed();
    let head = *store.head().borrow();
    let indexed =
        tokio::task::block_in_place(|| store.wait_indexed(head.position, Duration::from_secs(60)));
    let elapsed = began.elapsed();
    let cpu = cpu::spent().since(&cpu_before);
    assert!(indexed, "the index must catch up");
    assert_eq!(head.position - before.position, (each * writers) as u64);
    streams.take_back(returned);
    verify::chain(&*store, before.position, |_| {})
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);

    let sizes = baseline::commit_sizes(ours, before.position);
    let rows = baseline::rows(load, streams, &sizes);
    let theirs = theirs.to_owned();
    let baseline = std::thread::Builder::new().name("baseline".into());
    let baseline = baseline
        .spawn(move || baseline::run(&theirs, &rows, &sizes))
        .unwrap();
    let (base, base_latencies, base_cpu) = tokio::task::block_in_place(|| baseline.join().unwrap());
    let times = report::Times {
        elapsed,
        answered,
        opened,
        base,
    };
    Sample::new(
        each * writers,
        times,
        cpu.with_baseline(base_cpu),
        latencies,
        base_latencies,
    )
}

fn arguments() -> Arguments {
    let mut arguments = Arguments {
        rounds: 5,
        writers: vec![1, 16, 64, 256],
        loads: vec![Load::New, Load::Random],
        scale: 1.0,
        dir: None,
        json: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || {
            given
                .next()
                .unwrap_or_else(|| panic!("{name} wants a value"))
        };
        match name.as_str() {
            "--rounds" => arguments.rounds = value().parse().unwrap(),
            "--writers" => {
                arguments.writers = value().split(',').map(|n| n.parse().unwrap()).collect()
            }
            "--loads" => arguments.loads = value().split(',').map(Load::named).collect(),
            "--scale" => arguments.scale = value().parse().unwrap(),
            "--dir" => arguments.dir = Some(value().into()),
            "--json" => arguments.json = true,
            // Given by `cargo bench` itself.
            "--bench" => {}
            other => panic!("{other} is not known"),
        }
    }
    arguments
}
