//! Parts that fail, panic, wait and recover, on a paused clock.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Runs `part` under a supervisor of the usual limits, which counts how often it is run.
struct Bench {
    supervisor: Supervisor,
    stop: CancellationToken,
    runs: Arc<AtomicUsize>,
    began: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            supervisor: Supervisor::default(),
            stop: CancellationToken::new(),
            runs: Arc::default(),
            began: Instant::now(),
        }
    }

    /// Keeps a part whose nth run is `run(n)`, from 1.
    fn keep<F>(
        &self,
        run: impl Fn(usize, Pulse, CancellationToken) -> F + Send + Sync + 'static,
    ) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = Result<(), Ended>> + Send + 'static,
    {
        let (supervisor, stop, runs) = (self.supervisor.clone(), self.stop.clone(), Arc::clone(&self.runs));
        tokio::spawn(async move {
            let part = |pulse| run(runs.fetch_add(1, Ordering::SeqCst) + 1, pulse, stop.clone());
            supervisor.keep("part", &stop, part).await;
        })
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    fn health(&self) -> Option<Health> {
        self.supervisor.standings().first().map(|part| part.health.clone())
    }

    /// Lets time pass, and everything happen that happens meanwhile.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

fn failed() -> Result<(), Ended> {
    Err(Ended::Failed("broken".into()))
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_is_run_again_after_longer_and_longer_pauses() {
    let bench = Bench::new();
    let began = bench.began;
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    // It fails every 20 seconds: never five times within a minute.
    let kept = bench.keep(move |_, _, _| {
        noted.lock().unwrap().push(began.elapsed());
        async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            failed()
        }
    });
    bench.pass(Duration::from_secs(600)).await;
    let times = times.lock().unwrap().clone();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0] - Duration::from_secs(20)).collect();
    let wanted = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000];
    assert_eq!(pauses[..wanted.len()], wanted.map(Duration::from_millis));
    assert_eq!(*bench.supervisor.given_up().borrow(), None);
    bench.stop.cancel();
    kept.await.unwrap();
    assert_eq!(bench.supervisor.standings(), []);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_panics_is_run_again_and_one_that_ends_by_itself_too() {
    let bench = Bench::new();
    let kept = bench.keep(|run, _, stop| async move {
        match run {
            1 => panic!("a bug"),
            2 => Ok(()),
            _ => {
                stop.cancelled().await;
                Ok(())
            }
        }
    });
    bench.pass(Duration::from_millis(50)).await;
    assert_eq!(bench.health(), Some(Health::Restarting("it panicked".into())));
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!((bench.runs(), bench.health()), (3, Some(Health::Running)));
    assert_eq!(bench.supervisor.standings()[0].restarts, 2);
    bench.stop.cancel();
    kept.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_five_times_within_a_minute_is_given_up_and_the_process_is_told() {
    let bench = Bench::new();
    let kept = bench.keep(|_, _, _| async { failed() });
    let mut given_up = bench.supervisor.given_up();
    let why = given_up.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(why.contains("part failed 5 times") && why.contains("broken"), "{why}");
    assert!(bench.began.elapsed() < Duration::from_secs(2));
    bench.pass(Duration::from_secs(600)).await;
    assert_eq!((bench.runs(), bench.health()), (5, Some(Health::GivenUp("broken".into()))));
    bench.stop.cancel();
    kept.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_now_is_no_failure_however_often() {
    let bench = Bench::new();
    let kept = bench.keep(|_, _, _| async { Err(Error::NotNow("the disk is full".into()).into()) });
    bench.pass(Duration::from_secs(600)).await;
    assert!(bench.runs() > 20, "{}", bench.runs());
    assert_eq!(*bench.supervisor.given_up().borrow(), None);
    assert!(matches!(bench.health(), Some(Health::Restarting(why)) if why.contains("the disk is full")));
    bench.stop.cancel();
    kept.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_after_it_has_waited_long_is_given_up_as_soon_as_any_other() {
    let bench = Bench::new();
    let began = bench.began;
    let failed_first = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&failed_first);
    let kept = bench.keep(move |run, _, _| {
        let waits = run <= 12;
        if run == 13 {
            *noted.lock().unwrap() = Some(began.elapsed());
        }
        async move { if waits { Err(Error::NotNow("the disk is full".into()).into()) } else { failed() } }
    });
    let mut given_up = bench.supervisor.given_up();
    let why = tokio::time::timeout(Duration::from_secs(600), given_up.wait_for(Option::is_some)).await;
    assert!(why.is_ok(), "it fails for ever: {:?}", bench.health());
    let first = failed_first.lock().unwrap().unwrap();
    assert!(first > Duration::from_secs(100), "it has waited long: {first:?}");
    assert!(began.elapsed() - first < Duration::from_secs(3), "{:?}", began.elapsed() - first);
    bench.stop.cancel();
    kept.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_ran_for_a_minute_has_recovered() {
    let bench = Bench::new();
    let kept = bench.keep(|run, _, _| async move {
        if run > 4 {
            tokio::time::sleep(Duration::from_secs(61)).await;
        }
        failed()
    });
    bench.pass(Duration::from_secs(600)).await;
    assert_eq!(*bench.supervisor.given_up().borrow(), None);
    // After each minute the pause is the first one again.
    assert!((12..=14).contains(&bench.runs()), "{}", bench.runs());
    bench.stop.cancel();
    kept.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_part_waits_for_is_shown_and_a_stop_waits_for_its_end() {
    let bench = Bench::new();
    let kept = bench.keep(|_, pulse, stop| async move {
        pulse.waits("the database is away");
        tokio::time::sleep(Duration::from_secs(30)).await;
        pulse.goes_on();
        stop.cancelled().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    });
    bench.pass(Duration::from_secs(10)).await;
    assert_eq!(bench.health(), Some(Health::Waiting("the database is away".into())));
    bench.pass(Duration::from_secs(30)).await;
    assert_eq!(bench.health(), Some(Health::Running));
    bench.stop.cancel();
    let stopped = Instant::now();
    kept.await.unwrap();
    assert_eq!(stopped.elapsed(), Duration::from_secs(3));
}
