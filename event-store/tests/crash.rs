//! Processes that die. This binary starts itself again as a child that appends and reports each acknowledgement; the
//! child aborts at a named step, or is killed at any moment. Afterwards nothing acknowledged may be missing and nothing
//! may be there twice.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "the child tells its parent on standard output")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::{Record, StreamId};
use event_store::sqlite::{Options, Step, Store};
use event_store::{EventStore, Filter, verify};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// Commands that the child sends, from this many tasks.
const COMMANDS: u64 = 120;
const TASKS: u64 = 6;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", dir, step, count] => runtime.block_on(child(Path::new(dir), step, count.parse().unwrap())),
        // What the test runner asks of every test binary.
        ["--list", ..] => println!("processes_that_die: test"),
        // A filter that wants others.
        [filter] if !"processes_that_die".contains(filter) => {}
        _ => runtime.block_on(processes_that_die()),
    }
}

async fn processes_that_die() {
    let seed = Uuid::now_v7().as_u128() as u64;
    println!("crash: seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for step in Step::ALL {
        let mut hit = 0;
        for _ in 0..4 {
            hit += usize::from(dies(&format!("{step:?}"), random.random_range(1..12), None).await);
        }
        assert!(hit > 0, "no child got to {step:?}");
        println!("crash: {step:?}: {hit} of 4 children died there, nothing lost, nothing twice");
    }
    for _ in 0..6 {
        dies("never", 0, Some(Duration::from_millis(random.random_range(5..150)))).await;
    }
    println!("crash: 6 children killed at any moment, nothing lost, nothing twice");
}

/// Runs one child after the other in one directory, until one of them finishes. Returns whether the first died at its
/// step.
async fn dies(step: &str, count: u64, kill: Option<Duration>) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = HashMap::new();
    let first = run_child(dir.path(), step, count, kill, &mut acknowledged);
    check(dir.path(), &acknowledged, false).await;
    let again = run_child(dir.path(), step, count + 3, kill, &mut acknowledged);
    check(dir.path(), &acknowledged, false).await;
    assert!(run_child(dir.path(), "never", 0, None, &mut acknowledged), "a child that is left alone ends well");
    assert_eq!(acknowledged.len() as u64, COMMANDS);
    check(dir.path(), &acknowledged, true).await;
    !first || !again
}

/// Starts a child and notes what it says was acknowledged, with the positions; true if it ended well.
fn run_child(
    dir: &Path,
    step: &str,
    count: u64,
    kill: Option<Duration>,
    acknowledged: &mut HashMap<u64, (u64, u64)>,
) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", &dir.display().to_string(), step, &count.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let killer = kill.map(|after| {
        let pid = child.id();
        std::thread::spawn(move || {
            std::thread::sleep(after);
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        })
    });
    for line in lines.map_while(Result::ok) {
        let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let [n, first, last] = numbers[..] else { panic!("the child said {line}") };
        let before = acknowledged.insert(n, (first, last));
        assert!(
            before.is_none_or(|before| before == (first, last)),
            "command {n} was first at {before:?}, now at {first}"
        );
    }
    if let Some(killer) = killer {
        killer.join().unwrap();
    }
    child.wait().unwrap().success()
}

/// Checks the log: every acknowledged command is at its acknowledged place, no command is there twice, the chain is
/// whole.
async fn check(dir: &Path, acknowledged: &HashMap<u64, (u64, u64)>, all: bool) {
    let store = Store::open(Options::new(dir)).unwrap();
    let proven = verify::chain(&*store, 0, |_| {}).await.unwrap();
    let mut places: HashMap<Uuid, Vec<Record>> = HashMap::new();
    let page = store.read_log(0, &Filter::default(), usize::MAX).await.unwrap();
    assert_eq!(page.next, proven.position);
    for record in page.records {
        places.entry(record.command_id).or_default().push(record);
    }
    for n in 0..COMMANDS {
        let batch = batch(n);
        let found = places.remove(&batch.command_id).unwrap_or_default();
        if let Some(&(first, last)) = acknowledged.get(&n) {
            let positions: Vec<u64> = found.iter().map(|record| record.position).collect();
            assert_eq!(positions, (first..=last).collect::<Vec<_>>(), "command {n}");
        }
        let ids: Vec<Uuid> = found.iter().map(|record| record.event_id).collect();
        let sent: Vec<Uuid> = batch.writes.iter().flat_map(|write| &write.events).map(|event| event.event_id).collect();
        assert!(ids == sent || (ids.is_empty() && !all), "command {n} is there in part or twice: {ids:?}");
        let receipt = store.command(batch.command_id).await.unwrap();
        assert_eq!(receipt.is_some(), !ids.is_empty());
    }
    assert!(places.is_empty(), "nobody sent {places:?}");
    let streams: usize =
        store.read_stream(&shared(0), 1, event_store::Direction::Forwards, usize::MAX).await.unwrap().len();
    assert!(!all || streams > 0);
    store.close().await.unwrap();
}

fn shared(n: u64) -> StreamId {
    StreamId::new("acme", "stock", format!("sku-{}", n % 3))
}

/// The `n`th command: always the same one, so that it can be sent again.
fn batch(n: u64) -> Batch {
    let of = |part: u64| NewEvent {
        event_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, &(n * 10 + part).to_be_bytes()),
        kind: "Noted".into(),
        schema_version: 1,
        data: vec![part as u8; 300].into(),
        metadata: Vec::new().into(),
    };
    let own = StreamId::new("acme", "order", format!("o{n}"));
    Batch {
        command_id: Uuid::new_v5(&Uuid::NAMESPACE_URL, &n.to_be_bytes()),
        fingerprint: [n as u8; 32],
        writes: vec![
            StreamWrite { stream: own, expected: Expectation::NoStream, events: vec![of(0), of(1)] },
            StreamWrite { stream: shared(n), expected: Expectation::Any, events: vec![of(2)] },
        ],
    }
}

/// Appends every command, and reports each once it is acknowledged; dies at the `count`th time that a step is reached.
async fn child(dir: &Path, step: &str, count: u64) {
    let mut options = Options::new(dir).role("child");
    (options.run, options.idle) = (8, Duration::from_millis(1));
    (options.heads, options.tail) = (16, 64);
    let (step, reached) = (step.to_owned(), AtomicU64::new(0));
    options.steps = Some(Arc::new(move |now| {
        if format!("{now:?}") == step && reached.fetch_add(1, Ordering::SeqCst) + 1 == count {
            std::process::abort();
        }
    }));
    let store = Store::open(options).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in (task..COMMANDS).step_by(TASKS as usize) {
                    let receipt = match store.append(batch(n)).await.unwrap() {
                        Outcome::Appended(receipt) | Outcome::AlreadyAppended(receipt) => receipt,
                        other => panic!("{other:?}"),
                    };
                    let line = format!("{n} {} {}\n", receipt.first_position, receipt.last_position);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    store.close().await.unwrap();
}
