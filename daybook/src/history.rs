//! The history of one order: what happened, who did it and why; the order at a version, a position or an instant; the
//! changes between two versions. It only reads the log, so it works beside a running server and needs no read model.

use std::collections::BTreeMap;

use anyhow::bail;
use domain::Aggregate as _;
use domain::ids::{Channel, ExternalRef, OrderId, Tenant};
use domain::order::Order;
use domain::stream;
use domain::time::Timestamp;
use event_store::record::{Record, StreamId, Version};
use event_store::{Direction, EventStore};
use projections::order_timeline;
use schemas::Metadata;
use schemas::http::event::Payload;
use schemas::http::order::OrderBody;
use serde::Serialize;
use serde_json::Value;
use streams::Until;

use crate::cli::History;
use crate::config::Config;
use crate::roles;

/// Records of the stream read at once.
const PAGE: usize = 1_000;

/// The answer to the question.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The timeline.
    Timeline(Vec<Entry>),
    /// The order as it was.
    State(Box<State>),
    /// What changed.
    Difference(Difference),
}

/// One event.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Its place in the order's stream.
    pub version: Version,
    /// Its place in the log.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// When it happened in the business's own time, where that differs.
    pub occurred_at: Option<Timestamp>,
    /// Its type.
    pub kind: String,
    /// What happened, in one line.
    pub summary: String,
    /// Why, if it says so.
    pub reason: Option<String>,
    /// The actor, and the channel of the request.
    pub actor: String,
    /// The command that wrote it.
    pub command_id: uuid::Uuid,
    /// What the command followed from.
    pub causation: Option<uuid::Uuid>,
    /// The payload.
    pub data: Payload,
}

/// The order as it was.
#[derive(Debug, Serialize)]
pub struct State {
    /// The version that it had.
    pub version: Version,
    /// The position of that version's event.
    pub position: u64,
    /// The order.
    pub order: OrderBody,
}

/// What changed between two versions.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// From this version.
    pub from: Version,
    /// To this version.
    pub to: Version,
    /// What changed, by JSON Pointer.
    pub changes: BTreeMap<String, Change>,
    /// The events between them.
    pub events: Vec<Entry>,
}

/// A value that changed.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What it was; nothing if it was not there.
    pub before: Option<Value>,
    /// The new value; none if it was removed.
    pub after: Option<Value>,
}

/// Answers a question about an order.
///
/// # Errors
/// If the order does not exist, or the store cannot be read.
pub async fn answer(config: &Config, asked: &History) -> anyhow::Result<Answer> {
    let log = roles::log::beside(config, "history").await?;
    let tenant = Tenant::try_new(config.tenant.name.as_str())?;
    let order_id = find(&*log, &tenant, &config.imports.channel, asked).await?;
    let name = stream::order(order_id);
    let stream = StreamId::new(tenant.as_str(), name.category, name.id);
    let records = read(&*log, &stream).await?;
    if records.is_empty() {
        bail!("there is no order {}", asked.order);
    }
    let answer = if let Some(pair) = &asked.diff {
        difference(&*log, &stream, &records, (pair[0], pair[1])).await?
    } else if let Some(version) = asked.as_of_version {
        state(&*log, &stream, Until::Version(version)).await?
    } else if let Some(position) = asked.as_of_position {
        state(&*log, &stream, Until::Position(position)).await?
    } else if let Some(instant) = &asked.as_of_time {
        let instant: Timestamp = instant.parse()?;
        let last = records.iter().take_while(|record| record.recorded_at <= instant.micros()).last();
        state(&*log, &stream, Until::Version(last.map_or(0, |record| record.version))).await?
    } else {
        Answer::Timeline(records.iter().map(entry).collect())
    };
    log.close().await?;
    Ok(answer)
}

/// The order of an id, or of a number in a channel.
async fn find(log: &dyn EventStore, tenant: &Tenant, channel: &str, asked: &History) -> anyhow::Result<OrderId> {
    if let Ok(order_id) = asked.order.parse() {
        return Ok(order_id);
    }
    let channel = Channel::try_new(asked.channel.as_deref().unwrap_or(channel))?;
    let name = stream::reference(&channel, &ExternalRef::try_new(asked.order.as_str())?);
    let stream = StreamId::new(tenant.as_str(), name.category, name.id);
    let entries = streams::entries(log, &stream, Until::End).await?;
    // The number of a rejected order leads to the one that was placed after it.
    match entries.into_iter().rev().find_map(|entry| entry.event) {
        Some(domain::Event::Reference(domain::reference::Event::Claimed(claimed))) => Ok(claimed.order_id),
        _ => bail!("there is no order {} in the channel {channel} (see --channel)", asked.order),
    }
}

async fn read(log: &dyn EventStore, stream: &StreamId) -> anyhow::Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let from = records.last().map_or(1, |record| record.version + 1);
        let page = log.read_stream(stream, from, Direction::Forwards, PAGE).await?;
        let done = page.len() < PAGE;
        records.extend(page);
        if done {
            return Ok(records);
        }
    }
}

/// The entry of a record; an unreadable record has the reason instead.
fn entry(record: &Record) -> Entry {
    let read = streams::decode(record);
    let metadata = Metadata::decode(&record.metadata).ok();
    let (summary, reason) = match &read {
        Ok(read) => (order_timeline::summary(&read.event), order_timeline::reason(&read.event)),
        Err(unreadable) => ("cannot be read".to_owned(), Some(unreadable.reason.clone())),
    };
    let actor = metadata.as_ref().map(|metadata| format!("{} via {}", metadata.actor.id, metadata.actor.via));
    Entry {
        version: record.version,
        position: record.position,
        recorded_at: Timestamp::from_micros(record.recorded_at),
        occurred_at: metadata.as_ref().and_then(|metadata| metadata.occurred_at),
        kind: record.kind.to_string(),
        summary,
        reason,
        actor: actor.unwrap_or_else(|| "unknown".to_owned()),
        command_id: record.command_id,
        causation: metadata.and_then(|metadata| metadata.causation),
        data: Payload::readable(&record.data),
    }
}

/// The order as far as `until`, with the version and the position of its last event; version 0 if it was not there yet.
async fn folded(log: &dyn EventStore, stream: &StreamId, until: Until) -> anyhow::Result<(Order, Version, u64)> {
    let folded = streams::fold(log, stream, until, None, Default::default, |(order, at, position), record, event| {
        let order: &mut Order = order;
        if let Some(domain::Event::Order(event)) = event {
            order.evolve(event);
        }
        (*at, *position) = (record.version, record.position);
    });
    Ok(folded.await?)
}

async fn state(log: &dyn EventStore, stream: &StreamId, until: Until) -> anyhow::Result<Answer> {
    let (Order::Placed(placed), version, position) = folded(log, stream, until).await? else {
        bail!("the order did not exist yet");
    };
    let order = OrderBody::new(&placed, version);
    Ok(Answer::State(Box::new(State { version, position, order })))
}

async fn difference(
    log: &dyn EventStore,
    stream: &StreamId,
    records: &[Record],
    (from, to): (Version, Version),
) -> anyhow::Result<Answer> {
    let shown = async |version| -> anyhow::Result<Value> {
        Ok(match folded(log, stream, Until::Version(version)).await? {
            (Order::Placed(placed), version, _) => serde_json::to_value(OrderBody::new(&placed, version))?,
            _ => Value::Null,
        })
    };
    let mut changes = BTreeMap::new();
    compare(&mut String::new(), Some(&shown(from).await?), Some(&shown(to).await?), &mut changes);
    let between = from.min(to)..from.max(to);
    let events = records.iter().filter(|record| between.contains(&(record.version - 1))).map(entry).collect();
    Ok(Answer::Difference(Difference { from, to, changes, events }))
}

/// Compares two values leaf by leaf; members of lists by their place.
fn compare(at: &mut String, before: Option<&Value>, after: Option<&Value>, changes: &mut BTreeMap<String, Change>) {
    if before == after {
        return;
    }
    let children = |value: Option<&Value>| -> Option<BTreeMap<String, Value>> {
        match value {
            Some(Value::Object(object)) => {
                Some(object.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            Some(Value::Array(list)) => {
                Some(list.iter().enumerate().map(|(place, value)| (place.to_string(), value.clone())).collect())
            }
            _ => None,
        }
    };
    let (Some(old), Some(new)) = (children(before), children(after)) else {
        changes.insert(at.clone(), Change { before: before.cloned(), after: after.cloned() });
        return;
    };
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let length = at.len();
        at.push('/');
        at.push_str(&key.replace('~', "~0").replace('/', "~1"));
        compare(at, old.get(key), new.get(key), changes);
        at.truncate(length);
    }
}

impl Answer {
    /// The answer as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Timeline(entries) => timeline(entries),
            Self::State(state) => format!(
                "version {}, position {}\n{}",
                state.version,
                state.position,
                serde_json::to_string_pretty(&state.order).unwrap_or_default()
            ),
            Self::Difference(difference) => {
                let mut text = format!("from version {} to version {}:\n", difference.from, difference.to);
                let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "–".to_owned(), Value::to_string);
                for (pointer, change) in &difference.changes {
                    text.push_str(&format!("  {pointer}: {} → {}\n", shown(&change.before), shown(&change.after)));
                }
                text + "\n" + &timeline(&difference.events)
            }
        }
    }
}

fn timeline(entries: &[Entry]) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["version", "position", "recorded", "happened", "what", "who"]);
    for entry in entries {
        let what = match &entry.reason {
            Some(reason) => format!("{}: {} ({reason})", entry.kind, entry.summary),
            None => format!("{}: {}", entry.kind, entry.summary),
        };
        table.add_row([
            entry.version.to_string(),
            entry.position.to_string(),
            entry.recorded_at.to_string(),
            entry.occurred_at.map(|at| at.to_string()).unwrap_or_default(),
            what,
            entry.actor.clone(),
        ]);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_named_leaf_by_leaf() {
        let mut changes = BTreeMap::new();
        let before = json!({"a": 1, "b": [1, 2], "c/d": {"x": true}, "same": [1]});
        let after = json!({"a": 2, "b": [1, 3, 4], "c/d": {}, "same": [1]});
        compare(&mut String::new(), Some(&before), Some(&after), &mut changes);
        let pointers: Vec<&str> = changes.keys().map(String::as_str).collect();
        assert_eq!(pointers, ["/a", "/b/1", "/b/2", "/c~1d/x"]);
        assert_eq!(changes["/c~1d/x"].after, None);
    }
}
