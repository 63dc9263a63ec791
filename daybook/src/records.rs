//! Lists records that cannot be read, and sets one aside. Listing reads only the log, so it works beside a running
//! server and in any state of the read models.

use std::collections::HashMap;

use anyhow::bail;
use command_api::aside::Verdict;
use command_api::execute::{self, Request};
use domain::Event;
use domain::ids::Tenant;
use domain::record::Event as OfRecord;
use domain::time::Timestamp;
use event_store::record::{StreamId, Version};
use event_store::{EventStore, Filter};
use schemas::http::record::{RecordBody, RecordState, SetAsideBody, SetAsideRecord};
use schemas::{Actor, Metadata};
use serde::Serialize;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::cli::SetAside;
use crate::config::Config;
use crate::console;
use crate::remote::Remote;
use crate::roles;

/// Records read at once.
const PAGE: usize = 2_048;
/// The most records that are listed; more are only counted.
const TOLD: usize = 1_000;

/// The listed records.
#[derive(Debug, Default, Serialize)]
pub struct Listed {
    /// The records, at most a thousand.
    pub records: Vec<RecordBody>,
    /// How many there are of those that cannot be read and are not set aside.
    pub unreadable: u64,
    /// How many were set aside.
    pub set_aside: u64,
}

/// Lists the records that cannot be read, and those that were set aside.
///
/// # Errors
/// If the log cannot be read, or the server does not answer.
pub async fn list(config: &Config, url: Option<&str>) -> anyhow::Result<Listed> {
    match url {
        Some(url) => asked(&Remote::try_new(url)?).await,
        None => {
            let log = roles::log::beside(config, "records").await?;
            let found = read(&*log, config.tenant.name.as_str()).await;
            log.close().await?;
            found
        }
    }
}

async fn asked(server: &Remote) -> anyhow::Result<Listed> {
    let mut found = Listed::default();
    for state in ["unreadable", "set-aside"] {
        let mut after = Some("0".to_owned());
        while let Some(from) = after {
            let page: Value = server.get(&format!("/v1/records?state={state}&limit=200&after={from}")).await?;
            let records: Vec<RecordBody> = serde_json::from_value(page["items"].clone())?;
            records.into_iter().for_each(|record| found.take(record));
            after = page["next"].as_str().map(str::to_owned);
        }
    }
    Ok(found)
}

async fn read(log: &dyn EventStore, tenant: &str) -> anyhow::Result<Listed> {
    let head = log.head().borrow().position;
    let bar = console::bar(head, "records");
    let filter = Filter { tenants: vec![tenant.to_owned()], ..Filter::default() };
    let mut unreadable: HashMap<(StreamId, Version), RecordBody> = HashMap::new();
    let mut found = Listed::default();
    let mut at = 0;
    while at < head {
        let page = log.read_log(at, &filter, PAGE).await?;
        for record in page.records {
            match streams::decode(&record) {
                Err(why) => {
                    let body = RecordBody {
                        position: record.position,
                        stream: record.stream.to_string(),
                        version: record.version,
                        kind: record.kind.to_string(),
                        state: RecordState::Unreadable,
                        unreadable: why.reason,
                        set_aside: None,
                    };
                    unreadable.insert((record.stream, record.version), body);
                }
                Ok(streams::Read { event: Event::Record(OfRecord::SetAside(it)), metadata }) => {
                    unreadable.remove(&(record.stream.clone(), it.version));
                    found.take(RecordBody {
                        position: it.position,
                        stream: record.stream.to_string(),
                        version: it.version,
                        kind: it.kind,
                        state: RecordState::SetAside,
                        unreadable: it.unreadable,
                        set_aside: Some(SetAsideBody {
                            reason: it.reason,
                            actor: metadata.actor.id,
                            position: record.position,
                            recorded_at: Timestamp::from_micros(record.recorded_at),
                        }),
                    });
                }
                Ok(_) => {}
            }
        }
        if page.next <= at {
            break;
        }
        at = page.next;
        bar.set_position(at);
    }
    bar.finish_and_clear();
    unreadable.into_values().for_each(|record| found.take(record));
    found.records.sort_by_key(|record| record.position);
    Ok(found)
}

impl Listed {
    fn take(&mut self, record: RecordBody) {
        match record.state {
            RecordState::Unreadable => self.unreadable += 1,
            RecordState::SetAside => self.set_aside += 1,
        }
        if self.records.len() < TOLD {
            self.records.push(record);
        }
    }

    /// The list as text.
    #[must_use]
    pub fn text(&self) -> String {
        let told: String = self.records.iter().map(line).collect();
        format!("{told}{} cannot be read, {} were set aside\n", self.unreadable, self.set_aside)
    }
}

fn line(record: &RecordBody) -> String {
    let RecordBody { position, stream, version, kind, unreadable, .. } = record;
    let how = match &record.set_aside {
        Some(aside) => format!("set aside by {} at position {}: {}", aside.actor, aside.position, aside.reason),
        None => format!("cannot be read: {unreadable}"),
    };
    format!("position {position}, {stream} version {version}, {kind}: {how}\n")
}

/// Sets a record aside.
///
/// # Errors
/// If there is no such record, it can be read, or the store or the server cannot be reached.
pub async fn set_aside(config: &Config, asked: &SetAside) -> anyhow::Result<RecordBody> {
    if let Some(url) = &asked.url {
        let body = serde_json::to_vec(&SetAsideRecord { reason: asked.reason.clone() })?;
        let path = format!("/v1/records/{}/set-aside", asked.position);
        return Remote::try_new(url)?.post(&path, &[], "application/json", body).await;
    }
    let reason = SetAsideRecord { reason: asked.reason.clone() }.try_into_reason()?;
    let log = roles::log::for_writing(config, "records").await?;
    let executor = execute::Executor::new(log.clone(), TaskTracker::new(), execute::Options::default());
    let command_id = execute::fresh_command_id();
    let actor = Actor { id: config.tenant.actor.clone(), via: "cli".into(), on_behalf_of: None };
    let request = Request {
        tenant: Tenant::try_new(config.tenant.name.as_str())?,
        command_id,
        fingerprint: execute::fingerprint(&[command_id.as_bytes()]),
        metadata: Metadata::new(actor, command_id),
        if_match: None,
        dry_run: false,
        while_asked: false,
    };
    let answered = executor.set_aside(request, asked.position, reason).await;
    log.close().await?;
    match answered?.verdict {
        Verdict::Aside(aside) => Ok(RecordBody {
            position: aside.fact.position,
            stream: aside.stream.to_string(),
            version: aside.fact.version,
            kind: aside.fact.kind.clone(),
            state: RecordState::SetAside,
            unreadable: aside.fact.unreadable.clone(),
            set_aside: Some(SetAsideBody {
                reason: aside.fact.reason.clone(),
                actor: aside.actor.clone(),
                position: aside.by.position,
                recorded_at: Timestamp::from_micros(aside.by.recorded_at),
            }),
        }),
        Verdict::Refused(refused) => bail!("{}", refused.message),
        Verdict::Absent | Verdict::Rehearsed { .. } => bail!("there is no record at position {}", asked.position),
    }
}

/// The result as text.
#[must_use]
pub fn told(record: &RecordBody) -> String {
    line(record)
}
