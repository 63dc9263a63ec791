//! Measures durable appends: by the embedded store, by the store on a PostgreSQL server, or by both in turn, so that
//! other load of the machine affects both equally. Beside each run, a baseline does the least that the database must do
//! for the same rows: every column of the log table, primary key only, synced, in commits of the same sizes as the
//! store's own run. A baseline checks nothing, hashes nothing and indexes nothing; the store does all of that, until
//! its index has everything.
//!
//! `cargo bench -p event-store --bench append -- [--stores sqlite,postgres] [--rounds 5] [--writers 1,16,64,256]
//! [--loads new,random] [--scale 1.0] [--dir DIR] [--json]`, only `sqlite` if no stores are named. All files are in
//! `DIR`, which the user `postgres` must be able to enter if this runs as root. Every printed figure must be measured
//! in the same run.
#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "the table is what this is for")]

mod baseline;
mod cpu;
mod load;
mod measure;
mod postgres;
mod report;
mod side;
mod sqlite;

use std::path::PathBuf;

use load::Load;
use report::Cell;

struct Arguments {
    rounds: usize,
    writers: Vec<usize>,
    loads: Vec<Load>,
    stores: Vec<String>,
    scale: f64,
    dir: PathBuf,
    json: bool,
}

fn main() {
    let arguments = arguments();
    std::fs::create_dir_all(&arguments.dir).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stores = arguments.stores.iter();
    let mut sides: Vec<_> = stores.map(|name| side::named(name, &arguments.dir)).collect();
    let header = report::header(&sides, arguments.rounds, arguments.scale);
    let mut cells = Vec::new();
    for &load in &arguments.loads {
        let filled: Vec<_> = sides
            .iter_mut()
            .map(|side| runtime.block_on(measure::prepare(&mut **side, load, arguments.scale)))
            .collect();
        let mut of_load = Vec::new();
        for &writers in &arguments.writers {
            of_load.extend((0..sides.len()).map(|n| Cell::new(load, writers, n, sides[n].name())));
        }
        for round in 0..arguments.rounds {
            for cell in &mut of_load {
                let mut streams = filled[cell.side].clone();
                let events = (report::events_for(cell.writers) as f64 * arguments.scale) as usize;
                let side = &mut *sides[cell.side];
                let run = measure::run(side, load, cell.writers, events, &mut streams);
                let sample = runtime.block_on(run);
                eprintln!("round {round} {} {load:?} {:>4} writers: {sample}", cell.store, cell.writers);
                cell.samples.push(sample);
            }
        }
        cells.extend(of_load);
    }
    if !arguments.json {
        println!("{header}{}", report::table(&cells));
    }
    println!("{}", report::json(&cells));
}

fn arguments() -> Arguments {
    let mut arguments = Arguments {
        rounds: 5,
        writers: vec![1, 16, 64, 256],
        loads: vec![Load::New, Load::Random],
        scale: 1.0,
        stores: vec!["sqlite".to_owned()],
        dir: std::env::temp_dir(),
        json: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{name} wants a value"));
        match name.as_str() {
            "--rounds" => arguments.rounds = value().parse().unwrap(),
            "--writers" => arguments.writers = value().split(',').map(|n| n.parse().unwrap()).collect(),
            "--loads" => arguments.loads = value().split(',').map(Load::named).collect(),
            "--scale" => arguments.scale = value().parse().unwrap(),
            "--stores" => arguments.stores = value().split(',').map(str::to_owned).collect(),
            "--dir" => arguments.dir = value().into(),
            "--json" => arguments.json = true,
            // Given by `cargo bench` itself.
            "--bench" => {}
            other => panic!("{other} is not known"),
        }
    }
    arguments
}
