//! One run: the store under its writers, proven afterwards, and then the baseline with the commit sizes that the store's run had.

use std::sync::Arc;
use std::time::Instant;

use event_store::verify;
use hdrhistogram::Histogram;

use crate::load::{self, Load, Streams};
use crate::report::{Sample, Times};
use crate::side::Side;
use crate::{baseline, cpu};

/// Makes what every run of a load begins with.
pub(crate) async fn prepare(side: &mut dyn Side, load: Load, scale: f64) -> Streams {
    side.empty();
    let store = side.open().await;
    let streams = load::fill(&*store, load, scale).await;
    store.close().await.unwrap();
    drop(store);
    side.keep();
    streams
}

/// One run of the store, and one of its baseline.
pub(crate) async fn run(
    side: &mut dyn Side,
    load: Load,
    writers: usize,
    events: usize,
    streams: &mut Streams,
) -> Sample {
    side.reset();
    let opening = Instant::now();
    let store = side.open().await;
    let opened = opening.elapsed();
    let before = *store.head().borrow();
    let mut shares = streams.share(writers);
    let each = events / writers;

    let cpu_before = cpu::spent(side.server());
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
    side.settle(head.position);
    let elapsed = began.elapsed();
    let cpu = cpu::spent(side.server()).since(&cpu_before);
    assert_eq!(head.position - before.position, (each * writers) as u64);
    streams.take_back(returned);
    verify::chain(&*store, before.position, |_| {}).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let sizes = side.commit_sizes(before.position);
    let rows = baseline::rows(load, streams, &sizes);
    let done = tokio::task::block_in_place(|| on_own_thread(|| side.baseline(&rows, &sizes)));
    side.clear();
    let times = Times { elapsed, answered, opened };
    Sample::new(each * writers, &times, cpu, &latencies, &done)
}

/// Runs `work` on a separate thread, so that its processor time can be measured alone.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("baseline".into());
        thread.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}
