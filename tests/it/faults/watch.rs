//! Somebody who asks every process over and over how it is, each time on a new connection as a supervisor does, and notes what it said.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between two questions to one process.
const EVERY: Duration = Duration::from_millis(250);
/// When an answer is taken for lost.
const LOST: Duration = Duration::from_secs(20);

/// What a process said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) process: String,
    pub(crate) asked: Instant,
    pub(crate) took: Duration,
    /// The status of `/livez`; none if no answer came.
    pub(crate) live: Option<u16>,
    /// What `/readyz` said; none if no answer came.
    pub(crate) ready: Option<(u16, Value)>,
}

impl Said {
    /// Whether it says that it can do its work.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.as_ref().is_some_and(|(status, _)| *status == 200)
    }

    /// Whether it says that it can do its work and that nothing of it is impaired.
    pub(crate) fn is_well(&self) -> bool {
        self.is_ready() && self.complaints().is_empty()
    }

    /// The parts that are not as they should be, in its own words.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let Some((_, body)) = &self.ready else {
            return vec!["no answer".to_owned()];
        };
        let parts = body["parts"].as_array().into_iter().flatten();
        let wrong = parts.filter(|part| {
            let state = part["state"].as_str().unwrap_or("ready");
            part["ready"] == false || state != "ready"
        });
        wrong.map(|part| format!("{}: {}", part["name"].as_str().unwrap_or("?"), part["detail"])).collect()
    }
}

/// The one who asks. Dropping it ends that.
pub(crate) struct Watch {
    stop: CancellationToken,
    asking: JoinSet<Vec<Said>>,
}

impl Watch {
    /// Asks processes from now on: their names and where they listen, `http://127.0.0.1:8080`.
    pub(crate) fn start(processes: Vec<(String, String)>) -> Self {
        let stop = CancellationToken::new();
        let mut asking = JoinSet::new();
        for (process, base) in processes {
            asking.spawn(ask(process, base, stop.clone()));
        }
        Self { stop, asking }
    }

    /// Ends, with all that was said, in order.
    pub(crate) async fn stop(self) -> Vec<Said> {
        self.stop.cancel();
        let mut all: Vec<Said> = self.asking.join_all().await.into_iter().flatten().collect();
        all.sort_by_key(|said| said.asked);
        all
    }
}

async fn ask(process: String, base: String, stop: CancellationToken) -> Vec<Said> {
    // No connection is kept: who comes anew must be let in.
    let http = reqwest::Client::builder().timeout(LOST).pool_max_idle_per_host(0).build().unwrap();
    let mut all = Vec::new();
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let live = http.get(format!("{base}/livez")).send().await.ok().map(|answer| answer.status().as_u16());
        let ready = readiness(&http, &base).await;
        all.push(Said { process: process.clone(), asked, took: asked.elapsed(), live, ready });
        tokio::time::sleep(EVERY).await;
    }
    all
}

async fn readiness(http: &reqwest::Client, base: &str) -> Option<(u16, Value)> {
    let answer = http.get(format!("{base}/readyz")).send().await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.text().await.ok()?;
    Some((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}
