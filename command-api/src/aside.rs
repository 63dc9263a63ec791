//! Sets aside a record that cannot be read: an operator's decision, appended to the record's own stream, so that every
//! reader of the stream learns of it there. A readable record is never set aside.

use domain::outcome::{self, RestsOn};
use domain::record::{self, SetAside};
use domain::{Class, Event, stream};
use event_store::append::{Batch, Expectation, NewEvent, Outcome, Receipt, StreamWrite};
use event_store::record::{Position, Record, StreamId, Version};
use event_store::{EventStore, Filter};
use schemas::{Encoded, Metadata, registry};
use serde_json::Map;
use streams::Until;
use uuid::Uuid;

use crate::execute::{Error, Executor, Expected, Refused, Request, refuse, stream_id};

/// How often it is decided again because the stream has moved on meanwhile.
const RETRIES: u32 = 24;

/// The result.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is set aside, by this command or before.
    Aside(Box<Aside>),
    /// It is not: it can be read.
    Refused(Refused),
    /// It would be set aside; nothing is written.
    Rehearsed {
        /// The stream of the record.
        stream: StreamId,
        /// The version that the event would have there.
        version: Version,
        /// The event.
        event: Encoded,
    },
    /// There is no such record of this tenant.
    Absent,
}

/// A record that was set aside.
#[derive(Clone, Debug)]
pub struct Aside {
    /// Its stream.
    pub stream: StreamId,
    /// The recorded event.
    pub fact: SetAside,
    /// Who did it.
    pub actor: String,
    /// The record that says so.
    pub by: Record,
}

/// The answer to a request to set a record aside.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The verdict.
    pub verdict: Verdict,
    /// The last position that the command wrote; 0 if it wrote nothing.
    pub position: Position,
    /// Whether this was answered before.
    pub replayed: bool,
}

impl Executor {
    /// Sets the record at a position aside. The answer is durable, a refusal as well; dropping the future cancels nothing.
    ///
    /// # Errors
    /// If there is no outcome (yet); see [`Error`].
    pub async fn set_aside(&self, request: Request, position: Position, reason: String) -> Result<Answered, Error> {
        let this = self.clone();
        let task = self.tracker().spawn(async move { this.run_set_aside(&request, position, reason).await });
        task.await.unwrap_or(Err(Error::Lost))
    }

    async fn run_set_aside(&self, request: &Request, at: Position, reason: String) -> Result<Answered, Error> {
        let store = &**self.store();
        if let Some(receipt) = store.command(request.command_id).await? {
            return told_again(store, request, at, &receipt).await;
        }
        let Some(record) = record_at(store, at).await?.filter(|it| *it.stream.tenant == *request.tenant.as_str())
        else {
            return Ok(Answered { verdict: Verdict::Absent, position: 0, replayed: false });
        };
        for _ in 0..=RETRIES {
            // Read once: the decision and the write depend on the same version.
            let head = store.stream_head(&record.stream).await?;
            let version = head.map_or(0, |(version, _)| version);
            let decided = match stale(request, version) {
                Some(refused) => Decided::Refuse(refused),
                None => self.decide_aside(&record, &reason).await?,
            };
            if let (true, Decided::Append(fact)) = (request.dry_run, &decided) {
                let (stream, event) = (record.stream.clone(), encoded(fact)?);
                let verdict = Verdict::Rehearsed { stream, version: version + 1, event };
                return Ok(Answered { verdict, position: 0, replayed: false });
            }
            let batch = batch(store, request, (&record, head), &decided).await?;
            if request.dry_run {
                let verdict = told(store, &record, &decided).await?;
                return Ok(Answered { verdict, position: 0, replayed: false });
            }
            match store.append(batch).await {
                Ok(Outcome::Appended(receipt)) => {
                    let verdict = told(store, &record, &decided).await?;
                    return Ok(Answered { verdict, position: receipt.last_position, replayed: false });
                }
                Ok(Outcome::AlreadyAppended(receipt)) => return told_again(store, request, at, &receipt).await,
                Ok(Outcome::CommandIdReused(_)) => return Err(Error::KeyReused),
                Ok(Outcome::Conflict { .. }) => {}
                Err(event_store::Error::Unknown(why)) => match store.command(request.command_id).await {
                    Ok(Some(receipt)) => return told_again(store, request, at, &receipt).await,
                    Ok(None) => {}
                    Err(_) => return Err(Error::Unknown(why)),
                },
                Err(error) => return Err(error.into()),
            }
        }
        Err(crate::execute::busy())
    }

    async fn decide_aside(&self, record: &Record, reason: &str) -> Result<Decided, Error> {
        let store = &**self.store();
        if streams::asides(store, &record.stream, Until::End).await?.contains(&record.version) {
            return Ok(Decided::Already);
        }
        let unreadable = match streams::decode(record) {
            Err(unreadable) => Some(*unreadable),
            // It may be the folding of it that fails.
            Ok(_) => self.unfoldable(&record.stream).await?.filter(|it| it.version == record.version),
        };
        Ok(match unreadable {
            None => Decided::Refuse(Refused {
                class: Class::Conflict,
                code: "record-readable".to_owned(),
                message: format!("the record at position {} can be read, and counts", record.position),
                details: Map::new(),
            }),
            Some(unreadable) => Decided::Append(SetAside {
                position: record.position,
                version: record.version,
                kind: record.kind.to_string(),
                unreadable: unreadable.reason,
                reason: reason.to_owned(),
            }),
        })
    }
}

/// The refusal of a request that names a version of the record's stream that it is not at.
fn stale(request: &Request, head: Version) -> Option<Refused> {
    let Some((_, expected @ Expected::Version(version))) = request.if_match else {
        return None;
    };
    (head != version).then(|| refuse::stale(expected, head))
}

enum Decided {
    Append(SetAside),
    Already,
    Refuse(Refused),
}

/// The record at a position.
async fn record_at(store: &dyn EventStore, position: Position) -> Result<Option<Record>, Error> {
    let (Some(before), true) = (position.checked_sub(1), position <= store.head().borrow().position) else {
        return Ok(None);
    };
    let page = store.read_log(before, &Filter::default(), 1).await?;
    Ok(page.records.into_iter().find(|record| record.position == position))
}

fn encoded(fact: &SetAside) -> Result<Encoded, Error> {
    let event = Event::Record(record::Event::SetAside(fact.clone()));
    registry::encode(&event).map_err(|error| Error::Plan(error.to_string()))
}

/// The batch: the event, or the outcome of a command that changes nothing; in both cases with the stream head that it
/// was decided on as the expectation.
async fn batch(
    store: &dyn EventStore,
    request: &Request,
    (record, head): (&Record, Option<(Version, Uuid)>),
    decided: &Decided,
) -> Result<Batch, Error> {
    let expected = head.map_or(Expectation::NoStream, |(version, event_id)| Expectation::At { version, event_id });
    let correlation = correlation(store, record).await?.unwrap_or(request.metadata.correlation);
    let metadata = Metadata { correlation, ..request.metadata.clone() }.encode();
    let event = |Encoded { kind, schema_version, data }: Encoded| NewEvent {
        event_id: Uuid::now_v7(),
        kind,
        schema_version,
        data,
        metadata: metadata.clone(),
    };
    let stream = record.stream.clone();
    let settled = |verdict: outcome::Verdict| {
        let rests_on = RestsOn {
            category: stream.category.to_string(),
            id: stream.id.to_string(),
            version: head.map_or(0, |(version, _)| version),
        };
        let settled = outcome::Event::Settled(outcome::Settled { verdict, rests_on: vec![rests_on] });
        registry::encode(&Event::Outcome(settled)).map_err(|error| Error::Plan(error.to_string()))
    };
    let outcome = |encoded| StreamWrite {
        stream: stream_id(&request.tenant, &stream::outcome(request.command_id)),
        expected: Expectation::NoStream,
        events: vec![event(encoded)],
    };
    let only_checked = || StreamWrite { stream: stream.clone(), expected, events: Vec::new() };
    let writes = match decided {
        Decided::Append(fact) => {
            vec![StreamWrite { stream: stream.clone(), expected, events: vec![event(encoded(fact)?)] }]
        }
        Decided::Already => vec![only_checked(), outcome(settled(outcome::Verdict::NothingToDo)?)],
        Decided::Refuse(refused) => vec![only_checked(), outcome(settled(refused.clone().into())?)],
    };
    Ok(Batch { command_id: request.command_id, fingerprint: request.fingerprint, writes })
}

/// The correlation of a record, so that the new event reaches the same partition: from the record itself, or from its
/// neighbours.
async fn correlation(store: &dyn EventStore, record: &Record) -> Result<Option<Uuid>, Error> {
    let of = |record: &Record| {
        let own = schemas::metadata::correlation(&record.stream.category, &record.stream.id, &record.metadata);
        Some(own).filter(|own| !own.is_nil())
    };
    if let Some(own) = of(record) {
        return Ok(Some(own));
    }
    let neighbours = store.read_stream(&record.stream, 1, event_store::Direction::Forwards, NEIGHBOURS).await?;
    Ok(neighbours.iter().find_map(of))
}

/// How many neighbouring records are asked for their correlation.
const NEIGHBOURS: usize = 100;

/// The answer, from the recorded event.
async fn told(store: &dyn EventStore, record: &Record, decided: &Decided) -> Result<Verdict, Error> {
    if let Decided::Refuse(refused) = decided {
        return Ok(Verdict::Refused(refused.clone()));
    }
    aside_of(store, record).await
}

async fn aside_of(store: &dyn EventStore, record: &Record) -> Result<Verdict, Error> {
    let mut at = record.version;
    loop {
        let page = store.read_stream(&record.stream, at + 1, event_store::Direction::Forwards, NEIGHBOURS).await?;
        let Some(last) = page.last() else {
            return Err(Error::Store(format!("nothing sets the record at position {} aside", record.position)));
        };
        at = last.version;
        for by in page {
            if let Ok(Event::Record(record::Event::SetAside(fact))) = streams::event(&by)
                && fact.version == record.version
            {
                let actor = Metadata::decode(&by.metadata).map(|metadata| metadata.actor.id).unwrap_or_default();
                let stream = record.stream.clone();
                return Ok(Verdict::Aside(Box::new(Aside { stream, fact, actor, by })));
            }
        }
    }
}

/// The first answer to a command, repeated.
async fn told_again(
    store: &dyn EventStore,
    request: &Request,
    at: Position,
    receipt: &Receipt,
) -> Result<Answered, Error> {
    if receipt.fingerprint != request.fingerprint {
        return Err(Error::KeyReused);
    }
    let answered = |verdict| Answered { verdict, position: receipt.last_position, replayed: true };
    let outcome = receipt.streams.iter().find(|written| *written.stream.category == *stream::OUTCOME);
    if let Some(written) = outcome {
        let entries = streams::entries(store, &written.stream, Until::Version(1)).await?;
        let event = entries.first().and_then(|entry| entry.event.as_ref());
        if let Some(Event::Outcome(outcome::Event::Settled(settled))) = event
            && let outcome::Verdict::Refused { class, code, message, details } = settled.verdict.clone()
        {
            return Ok(answered(Verdict::Refused(Refused { class, code, message, details })));
        }
    }
    match record_at(store, at).await? {
        Some(record) => Ok(answered(aside_of(store, &record).await?)),
        None => Ok(answered(Verdict::Absent)),
    }
}
