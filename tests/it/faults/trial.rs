//! A system under load while something breaks: clients whose every request is recorded, a buyer who finds out whether work goes on, and
//! somebody who asks every process how it is. Afterwards each is held against the others.

use std::time::{Duration, Instant};

use checker::History;

use super::probe::{Probe, Tried};
use super::resources::Resources;
use super::subject::Subject;
use super::watch::{Said, Watch};
use crate::harness::load::{Load, Running};

/// How long the system may take to go on after a fault.
const RECOVERY: Duration = Duration::from_secs(180);
/// Requests that are answered before the fault and after it.
const REQUESTS: u64 = 60;

/// How long a fault lasts, and how hard it strikes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// From its beginning to its end.
    pub(crate) fault: Duration,
    /// How long work has to have stopped before a process must say so, and to have gone on before it must be ready again.
    pub(crate) grace: Duration,
    /// Clients at work meanwhile.
    pub(crate) clients: usize,
    /// How long `/readyz` may take, once in a hundred times; the slowest three times as long.
    pub(crate) health: Duration,
}

impl Length {
    /// As it is in the ordinary suite, beside everything else that a machine has to do.
    pub(crate) const SHORT: Self = Self {
        fault: Duration::from_secs(8),
        grace: Duration::from_secs(5),
        clients: 3,
        health: Duration::from_secs(4),
    };
    /// Whether it is the short one.
    pub(crate) fn is_short(&self) -> bool {
        self.fault < Self::LONG.fault
    }

    /// As it is proved by hand.
    pub(crate) const LONG: Self = Self {
        fault: Duration::from_secs(60),
        grace: Duration::from_secs(20),
        clients: 6,
        health: Duration::from_secs(2),
    };
}

/// A fault under way.
pub(crate) struct Trial {
    length: Length,
    history: History,
    load: Running,
    probe: Probe,
    watch: Watch,
    before: Vec<(String, Resources)>,
    began: Instant,
    struck: Instant,
    over: Option<Instant>,
}

impl Trial {
    /// Puts the load on, waits until all goes well, and lets the fault begin.
    pub(crate) async fn begin(name: &str, subject: &Subject, length: Length) -> Self {
        println!("== {name}: {:?} under {} clients", length.fault, length.clients);
        let history = History::new();
        let load = Load { patience: length.fault + RECOVERY, ..Load::of(length.clients, 81) };
        let load = load.start(&history, &subject.endpoints()).await;
        let probe = Probe::start(&subject.endpoints()).await;
        load.until_more(REQUESTS, RECOVERY).await;
        let before = subject.resources();
        let (began, watch) = (Instant::now(), Watch::start(subject.processes()));
        load.until_more(REQUESTS / 2, RECOVERY).await;
        let struck = Instant::now();
        Self { length, history, load, probe, watch, before, began, struck, over: None }
    }

    /// The fault is over; clients go on from here.
    pub(crate) fn over(&mut self) {
        self.over = Some(Instant::now());
    }

    /// Waits until the system goes on, ends the load and holds everything against everything.
    ///
    /// # Panics
    /// If something accepted has not come to its end, a client was told what is not so, or a process said of itself what was not so.
    pub(crate) async fn end(self, subject: &Subject) -> Judged {
        let over = self.over.expect("the fault is over");
        self.load.until_more(REQUESTS, RECOVERY).await;
        // Long enough for a part that waits with a growing pause to look again.
        let grace = self.length.grace;
        tokio::time::sleep(grace.saturating_sub(over.elapsed()) + grace / 4).await;
        let tried = self.probe.stop().await;
        let ready = all_ready(subject).await;
        let said = self.watch.stop().await;
        let judged = Judged { began: self.began, struck: self.struck, over, length: self.length, said, tried };
        judged.tell();
        let counts = self.load.stop().await;
        subject.prove(&self.history, &counts).await;
        judged.assert_true(subject);
        assert!(ready.is_empty(), "not ready after {RECOVERY:?}: {ready:?}\n{}", subject.told());
        subject.settled(&self.before).await;
        judged
    }
}

/// Waits until every process says that it is well; what is wrong if that takes too long.
async fn all_ready(subject: &Subject) -> Vec<String> {
    let since = Instant::now();
    loop {
        let asking = Watch::start(subject.processes());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let said = asking.stop().await;
        let wrong: Vec<String> = said
            .iter()
            .filter(|said| !said.is_well())
            .map(|said| format!("{}: {:?}", said.process, said.complaints()))
            .collect();
        if wrong.is_empty() || since.elapsed() > RECOVERY {
            return wrong;
        }
    }
}

/// What was seen while a fault came and went.
pub(crate) struct Judged {
    began: Instant,
    struck: Instant,
    over: Instant,
    length: Length,
    said: Vec<Said>,
    tried: Vec<Tried>,
}

impl Judged {
    /// How many of the buyer's orders were not decided while the fault lasted, of how many.
    pub(crate) fn refused(&self) -> (usize, usize) {
        let meanwhile = self.tried.iter().filter(|tried| tried.began >= self.struck && tried.began < self.over);
        let all: Vec<_> = meanwhile.collect();
        (all.iter().filter(|tried| tried.fault.is_some()).count(), all.len())
    }

    /// Prints what was seen.
    fn tell(&self) {
        let (failed, all) = self.refused();
        let ready = self.said.iter().filter(|said| said.is_ready()).count();
        let well = self.said.iter().filter(|said| said.is_well()).count();
        let slowest = self.said.iter().map(|said| said.took).max().unwrap_or_default();
        println!("   {failed} of {all} orders were not decided meanwhile");
        println!("   asked {} times: {ready} ready, {well} well; slowest {slowest:?}", self.said.len());
        let mut reasons: Vec<&str> = self.tried.iter().filter_map(|tried| tried.fault.as_deref()).collect();
        reasons.dedup();
        for reason in reasons.iter().take(6) {
            println!("   {reason}");
        }
        let mut told: Vec<String> = self.said.iter().flat_map(Said::complaints).collect();
        told.sort();
        told.dedup();
        for complaint in told.iter().take(8) {
            println!("   it said: {}", complaint.chars().take(160).collect::<String>());
        }
    }

    /// Panics if a process was not to be asked, or said what was not so.
    fn assert_true(&self, subject: &Subject) {
        let mut wrong = Vec::new();
        for said in &self.said {
            let at = said.asked - self.began;
            if said.live != Some(200) || said.ready.is_none() {
                wrong.push(format!("{at:?}: {} answers {:?} and {:?}", said.process, said.live, said.ready));
            } else if self.went_on(said.asked) && answers(&said.process) && !said.is_ready() {
                wrong.push(format!("{at:?}: work goes on, and {} says {:?}", said.process, said.complaints()));
            } else if self.stood_still(said.asked) && self.all_well(said.asked) {
                wrong.push(format!("{at:?}: work stands still, and every process says that it is well"));
            }
        }
        let mut took: Vec<Duration> = self.said.iter().map(|said| said.took).collect();
        took.sort();
        let (usual, slowest) = (took[(took.len() - 1) * 99 / 100], took[took.len() - 1]);
        if usual > self.length.health || slowest > self.length.health * 3 {
            wrong.push(format!("health took {usual:?} once in a hundred times, {slowest:?} at the most"));
        }
        let few: Vec<_> = wrong.iter().take(12).collect();
        assert!(wrong.is_empty(), "{} times, of {}: {few:#?}\n{}", wrong.len(), self.said.len(), subject.told());
    }

    /// The buyer's orders of the last while before an instant.
    fn lately(&self, at: Instant) -> Vec<&Tried> {
        let from = at.checked_sub(self.length.grace).unwrap_or(self.began);
        self.tried.iter().filter(|tried| tried.began >= from && tried.ended <= at).collect()
    }

    fn went_on(&self, at: Instant) -> bool {
        let lately = self.lately(at);
        lately.len() >= 4 && lately.iter().all(|tried| tried.fault.is_none())
    }

    fn stood_still(&self, at: Instant) -> bool {
        let lately = self.lately(at);
        let meanwhile = at > self.struck + self.length.grace && at < self.over;
        meanwhile && lately.len() >= 2 && lately.iter().all(|tried| tried.fault.is_some())
    }

    /// Whether every process has last said, before an instant, that it is well.
    fn all_well(&self, at: Instant) -> bool {
        let mut last = std::collections::BTreeMap::new();
        for said in self.said.iter().take_while(|said| said.asked <= at) {
            last.insert(said.process.as_str(), said.is_well());
        }
        last.values().all(|well| *well)
    }
}

/// Whether a process answers requests of clients, so that it is ready whenever they are served. One that carries events may be late
/// while others do its work.
fn answers(process: &str) -> bool {
    ["daybook", "command-api", "query-api"].iter().any(|role| process.starts_with(role))
}
