//! A client whose every request and answer is recorded. It fails over among the servers that it knows, and asks again under the same key
//! until it is told what became of a command; what it was told is the history checker's to judge.

use std::time::{Duration, Instant};

use checker::{Call, History, Stands};
use event_store::record::StreamId;
use reqwest::Method;
use serde_json::Value;

use super::{Answer, Client};

/// How long one answer may take before it is taken for lost: longer than any wait for a verdict that the load asks for.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Pauses between two tries, after every server was asked once.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// Where the servers are, however they were started: base URLs such as `http://127.0.0.1:8080`.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// Whose streams.
    pub(crate) tenant: String,
    /// Each of these takes commands.
    pub(crate) commands: Vec<String>,
    /// Each of these answers reads.
    pub(crate) queries: Vec<String>,
}

impl Endpoints {
    /// One server that does everything, under the default tenant.
    pub(crate) fn of(address: &str) -> Self {
        let base = format!("http://{address}");
        Self { tenant: "main".to_owned(), commands: vec![base.clone()], queries: vec![base] }
    }
}

/// A command, as it is sent however often.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) body: Value,
    /// The stream that the answer's `ETag` is of.
    pub(crate) about: StreamId,
    pub(crate) if_match: Option<u64>,
    /// Seconds to wait for the verdict.
    pub(crate) wait: Option<u32>,
}

/// A client of several servers, one session.
pub(crate) struct Recorded {
    history: History,
    name: String,
    tenant: String,
    commands: Vec<Client>,
    queries: Vec<Client>,
    /// Which server is asked next: stays with one while it answers.
    at: usize,
    patience: Duration,
}

impl Recorded {
    /// `patience`: how long it goes on asking what became of a command.
    pub(crate) fn new(history: &History, name: &str, endpoints: &Endpoints, patience: Duration) -> Self {
        let clients = |bases: &[String]| bases.iter().map(|base| Client::with_timeout(base, ANSWER_WITHIN)).collect();
        Self {
            history: history.clone(),
            name: name.to_owned(),
            tenant: endpoints.tenant.clone(),
            commands: clients(&endpoints.commands),
            queries: clients(&endpoints.queries),
            at: 0,
            patience,
        }
    }

    /// Sends a command until its outcome is known; `None` if patience ends before.
    pub(crate) async fn send(&mut self, command: &Command) -> Option<Answer> {
        let until = Instant::now() + self.patience;
        for tries in 0.. {
            if let Some(answer) = self.try_once(command).await {
                return Some(answer);
            }
            if !self.go_on(tries, self.commands.len(), until).await {
                break;
            }
        }
        None
    }

    /// Turns to the next server; false once `until` is over.
    async fn go_on(&mut self, tries: usize, servers: usize, until: Instant) -> bool {
        self.at += 1;
        if Instant::now() >= until {
            return false;
        }
        if tries % servers == servers - 1 {
            let round = u32::try_from(tries / servers).unwrap_or(u32::MAX);
            tokio::time::sleep(PAUSES[0].saturating_mul(round + 1).min(PAUSES[1])).await;
        }
        true
    }

    /// Sends a command once: its answer if that says what became of it.
    async fn try_once(&self, command: &Command) -> Option<Answer> {
        let body = command.body.to_string().into_bytes();
        let if_match = command.if_match.map(|version| format!("\"v{version}\""));
        let wait = command.wait.map(|seconds| format!("wait={seconds}"));
        let mut headers = vec![("content-type", "application/json"), ("idempotency-key", command.key.as_str())];
        headers.extend(if_match.iter().map(|tag| ("if-match", tag.as_str())));
        headers.extend(wait.iter().map(|wait| ("prefer", wait.as_str())));

        let tag = if_match.as_deref().unwrap_or_default();
        let request = [command.path.as_bytes(), tag.as_bytes(), &body];
        let what = format!("POST {} {}", command.path, command.key);
        let mut call = Call::keyed(&self.tenant, &command.key, &what, &request);
        if let Some(version) = command.if_match {
            call = call.expecting(command.about.clone(), version);
        }
        let server = &self.commands[self.at % self.commands.len()];
        let invocation = self.history.invoke(&self.name, call);
        let sent = server.try_send(Method::POST, &command.path, &headers, Some(body));
        let Some(answer) = sent.await else {
            invocation.unknown("no answer");
            return None;
        };
        invocation.answered(recorded(&answer, &command.about)).then_some(answer)
    }

    /// Reads an order as of a position or later; `None` if no server showed it within patience.
    pub(crate) async fn read(&mut self, order: &StreamId, min_position: Option<u64>) -> Option<Answer> {
        let asked = min_position.map_or(String::new(), |position| format!("?min_position={position}"));
        let path = format!("/v1/orders/{}{asked}", order.id);
        let until = Instant::now() + self.patience;
        for tries in 0.. {
            let server = &self.queries[self.at % self.queries.len()];
            let reading = self.history.read(&self.name, order.clone(), min_position);
            match server.try_get(&path).await {
                Some(answer) if answer.status == 200 => {
                    reading.showed(version(&answer).expect("an ETag"), answer.position);
                    return Some(answer);
                }
                Some(answer) if answer.status == 404 => {
                    reading.absent(answer.position);
                    return Some(answer);
                }
                Some(answer) if answer.status < 500 => panic!("{path}: {}", answer.body),
                _ => drop(reading),
            }
            if !self.go_on(tries, self.queries.len(), until).await {
                break;
            }
        }
        None
    }

    /// Reads the log on after a position and records each event that it sees; where to go on, `after` itself if nobody answers.
    pub(crate) async fn follow(&mut self, after: u64) -> u64 {
        let server = &self.queries[self.at % self.queries.len()];
        let path = format!("/v1/events?after={after}&limit=1000");
        let answer = server.try_get(&path).await;
        let Some(page) = answer.filter(|answer| answer.status == 200) else {
            self.at += 1;
            return after;
        };
        let page = page.json();
        for event in page["events"].as_array().expect("events") {
            let position = event["position"].as_u64().expect("a position");
            let id = event["event_id"].as_str().and_then(|id| id.parse().ok());
            self.history.observed_event(&self.name, position, id.expect("an event id"));
        }
        let head = page["head"].as_u64().expect("a head");
        self.history.observed_head(&self.name, head);
        page["next"].as_u64().expect("where to go on")
    }
}

/// The version that an answer shows.
pub(crate) fn version(answer: &Answer) -> Option<u64> {
    let tag = answer.etag.as_deref()?;
    tag.strip_prefix("\"v")?.strip_suffix('"')?.parse().ok()
}

fn recorded(answer: &Answer, about: &StreamId) -> checker::Answer {
    let code = serde_json::from_str::<Value>(&answer.body)
        .ok()
        .filter(|_| answer.status >= 400)
        .and_then(|body| Some(body.get("code")?.as_str()?.to_owned()));
    checker::Answer {
        status: answer.status,
        code,
        position: answer.position,
        versions: version(answer).map(|version| (about.clone(), version)).into_iter().collect(),
        location: answer.location.clone(),
        replayed: answer.replayed,
        stands: if answer.waited { Stands::Later } else { Stands::Commit },
        body: answer.body.clone().into_bytes(),
    }
}
