//! Sagas in memory: read from their streams when a record concerns them; a bounded number is cached. A saga that cannot
//! be read is parked if this program knows its kind, and quarantined if a newer program wrote it.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::ids::{OrderId, Tenant};
use domain::order::Order;
use domain::saga::{Batch, Needs, Saga, Unloadable, may_start};
use domain::time::Timestamp;
use domain::{Event, stream};
use event_store::record::{Record, StreamId, Version};
use event_store::{Direction, Error, EventStore};
use futures_util::stream::{self as futures, StreamExt};
use streams::{Unreadable, Until};
use uuid::Uuid;

use super::append::{Cause, Work};
use super::by_hand::{self, Intervention};
use super::index::Key;
use super::session::{LOADING, Session};
use crate::log::{causation, correlation, fold, groups, stream_id};
use crate::{Stopped, meters};

/// How many commands are looked up concurrently.
const ASKING: usize = 256;

/// A saga and the end of its stream.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) saga: Saga,
    pub(super) version: Version,
    pub(super) last_event: Uuid,
    /// The event that started it.
    pub(super) cause: Uuid,
}

/// What a saga's stream held.
pub(super) enum Found {
    Nothing,
    Saga(Box<Loaded>),
    /// A record of it cannot be read, and none sets it aside.
    Held {
        correlation: Uuid,
        unreadable: Box<Unreadable>,
    },
    Unreadable {
        version: Version,
        last_event: Uuid,
        correlation: Uuid,
        told: bool,
        why: Unloadable,
    },
}

impl Found {
    /// What it belongs to; nil if there is nothing.
    fn correlation(&self) -> Uuid {
        match self {
            Self::Nothing => Uuid::nil(),
            Self::Saga(loaded) => {
                let about = loaded.saga.state().about.as_ref();
                about.map_or_else(Uuid::nil, |about| about.correlation)
            }
            Self::Held { correlation, .. } | Self::Unreadable { correlation, .. } => *correlation,
        }
    }
}

impl Key {
    pub(super) fn tenant(&self) -> Option<Tenant> {
        Tenant::stored(&*self.tenant).ok()
    }

    pub(super) fn stream(&self) -> StreamId {
        let name = stream::saga(&self.kind, self.subject);
        StreamId::new(self.tenant.clone(), name.category, name.id.as_str())
    }

    /// The saga whose stream this is.
    pub(super) fn parse(stream: &StreamId) -> Option<Self> {
        let (kind, subject) = stream.id.split_once('-')?;
        Some(Self { tenant: stream.tenant.clone(), kind: kind.into(), subject: subject.parse().ok()? })
    }
}

pub(super) async fn load(store: &dyn EventStore, key: &Key) -> Result<Found, Error> {
    let (stream, Some(tenant)) = (key.stream(), key.tenant()) else {
        return Ok(Found::Nothing);
    };
    let last = store.read_stream(&stream, Version::MAX, Direction::Backwards, 1).await?;
    let Some(last) = last.first() else {
        return Ok(Found::Nothing);
    };
    let entries = match streams::entries(store, &stream, Until::Version(last.version)).await {
        Ok(entries) => entries,
        Err(streams::Error::Store(error)) => return Err(error),
        Err(streams::Error::Unreadable(unreadable)) => {
            return Ok(Found::Held { correlation: correlation(last), unreadable });
        }
    };
    let (version, last_event) = (last.version, last.event_id);
    let cause = entries.first().map_or_else(Uuid::nil, |first| causation(&first.record));
    let decisions = entries.into_iter().filter_map(|entry| match entry.event {
        Some(Event::Saga(decision)) => Some(decision),
        _ => None,
    });
    let decisions: Vec<_> = decisions.collect();
    // The set-aside record may have been the basis of the rest.
    let loaded = catch_unwind(AssertUnwindSafe(|| Saga::load(&tenant, &decisions))).unwrap_or_else(|_| {
        Err(Unloadable::Input { kind: key.kind.to_string(), problem: "folding its decisions panics".into() })
    });
    Ok(match loaded {
        Ok(None) => Found::Nothing,
        Ok(Some(saga)) => Found::Saga(Box::new(Loaded { saga, version, last_event, cause })),
        Err(why) => Found::Unreadable {
            version,
            last_event,
            correlation: correlation(last),
            told: &*last.kind == "SagaParked",
            why,
        },
    })
}

impl Session {
    /// A saga, out of memory or out of its stream; `None` if there is none that can be run here.
    pub(super) async fn find(&mut self, key: &Key) -> Result<Option<Loaded>, Stopped> {
        if let Some(loaded) = self.shelf.get(key) {
            return Ok(Some(loaded.clone()));
        }
        let found = load(self.store.as_ref(), key).await?;
        let since = self.index.since(key).unwrap_or(self.seen_at);
        self.take_in(key, since, found).await
    }

    /// Caches the loaded saga, or handles an unreadable one.
    pub(super) async fn take_in(
        &mut self,
        key: &Key,
        since: Timestamp,
        found: Found,
    ) -> Result<Option<Loaded>, Stopped> {
        match found {
            Found::Nothing => Ok(None),
            found if !self.is_ours(&key.tenant, found.correlation()) => {
                // Only where the work was divided otherwise before.
                meters::foreign();
                tracing::warn!(
                    saga = %key.stream(),
                    partition = self.options.partition,
                    "a saga of another partition is passed over; its own partition runs it, nothing to do"
                );
                Ok(None)
            }
            Found::Saga(loaded) => {
                self.shelf.put(key, (*loaded).clone());
                Ok(Some(*loaded))
            }
            Found::Held { unreadable, .. } => {
                crate::log::unreadable(&unreadable, "sagas");
                meters::left_alone("unreadable");
                self.leave_alone(key, since);
                Ok(None)
            }
            Found::Unreadable { version, last_event, correlation, told, why } => {
                let newer = matches!(why, Unloadable::Unknown { .. });
                meters::left_alone(if newer { "newer" } else { "unreadable" });
                tracing::error!(
                    saga = %key.stream(),
                    %why,
                    "a saga cannot be read and is left alone; see docs/operations.md, 'A record cannot be read'"
                );
                if !newer && !told {
                    let parked = by_hand::parked("unreadable", &why.to_string());
                    let intervention = Intervention {
                        name: format!("unreadable/{version}"),
                        correlation,
                        causation: last_event,
                        fact: parked,
                    };
                    self.write_by_hand(key, intervention).await?;
                }
                self.leave_alone(key, since);
                Ok(None)
            }
        }
    }

    /// Takes over an open saga of an earlier process, and sends its commands that were not accepted.
    pub(super) async fn adopt(&mut self, key: &Key, loaded: Loaded, since: Timestamp) -> Result<(), Stopped> {
        self.adopt_all(vec![(key.clone(), loaded, since)]).await
    }

    /// Takes over open sagas of an earlier process, and sends their commands that were not accepted.
    pub(super) async fn adopt_all(&mut self, found: Vec<(Key, Loaded, Timestamp)>) -> Result<(), Stopped> {
        let asked = found.iter().flat_map(|(_, loaded, _)| loaded.saga.pending()).map(|(command_id, _)| command_id);
        let accepted = self.accepted(asked.filter(|id| self.index.asked_by(*id).is_none()).collect()).await?;
        for (key, loaded, since) in found {
            if loaded.saga.state().ended.is_some() {
                self.shelf.drop(&key);
                self.index.forget(&key);
                continue;
            }
            let mut asked = loaded.saga.pending();
            asked.retain(|(command_id, _)| self.index.asked_by(*command_id).is_none());
            // Its answer must still be read, whether it exists or not: stock answers refer to the command's id alone.
            self.index.update(&key, &loaded, since, asked.iter().map(|(command_id, _)| *command_id));
            self.index.keep_since(&key, since);
            for (command_id, command) in asked.into_iter().filter(|(command_id, _)| !accepted.contains(command_id)) {
                if let Some(letter) = self.letter(&key, command_id, command, command_id) {
                    self.term.check()?;
                    self.outbox.send(letter);
                }
            }
            if loaded.saga.state().parked.is_some() {
                // It waits for a person or for late evidence: it is read again then.
                self.shelf.drop(&key);
            }
        }
        Ok(())
    }

    /// The commands that the store has. They are looked up concurrently, because each look-up waits for a sync.
    async fn accepted(&self, command_ids: Vec<Uuid>) -> Result<HashSet<Uuid>, Stopped> {
        let asked = futures::iter(command_ids).map(|command_id| async move {
            let receipt = self.store.command(command_id).await?;
            Ok::<_, Error>(receipt.map(|_| command_id))
        });
        let found: Vec<_> = asked.buffer_unordered(ASKING).collect().await;
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
    }

    /// Reads side by side what the page will need.
    pub(super) async fn prefetch(&mut self, records: &[Record]) -> Result<(), Stopped> {
        let mut keys = HashSet::new();
        for group in groups(records) {
            keys.extend(self.index.asked_by(group.command_id).cloned());
            for record in group.records {
                if let Some(correlation) = super::route::correlation(record) {
                    let tenant = &record.stream.tenant;
                    keys.extend(self.index.correlated(tenant, correlation).iter().cloned());
                }
                if self.begun_before(record) {
                    keys.extend(Key::parse(&record.stream));
                }
            }
        }
        keys.retain(|key| self.shelf.get(key).is_none() && !self.left_alone.contains_key(key));
        let store = self.store.clone();
        let found: Vec<_> = futures::iter(keys)
            .map(|key| {
                let store = store.clone();
                async move { (load(store.as_ref(), &key).await, key) }
            })
            .buffer_unordered(LOADING)
            .collect()
            .await;
        for (found, key) in found {
            let since = self.index.since(&key).unwrap_or(self.seen_at);
            self.take_in(&key, since, found?).await?;
        }
        Ok(())
    }

    /// Whether a record is the beginning of a saga that an earlier life started.
    pub(super) fn begun_before(&self, record: &Record) -> bool {
        record.position <= self.written_before && &*record.kind == "SagaStarted"
    }

    /// What has to be known to start sagas, by the record's place in the group.
    pub(super) async fn orders_for(
        &self,
        tenant: &Tenant,
        events: &[domain::saga::Recorded],
    ) -> Result<HashMap<Version, Order>, streams::Error> {
        let mut orders = HashMap::new();
        for recorded in events {
            let needs = may_start(&recorded.stream, &recorded.event);
            if let Some(Needs::Order(order_id)) = needs {
                let order = self.order_at(tenant, order_id, recorded.version).await?;
                orders.insert(recorded.version, order);
            }
        }
        Ok(orders)
    }

    async fn order_at(&self, tenant: &Tenant, order_id: OrderId, version: Version) -> Result<Order, streams::Error> {
        let stream = stream_id(tenant, &stream::order(order_id));
        fold::<Order>(self.store.as_ref(), &stream, version).await
    }

    /// A saga to which another writer has appended (for example, an operator) is read again and continues from there.
    pub(super) async fn reread(&mut self, record: &Record, key: Key) -> Result<Option<Work>, Stopped> {
        self.shelf.drop(&key);
        let Some(loaded) = self.find(&key).await? else {
            return Ok(None);
        };
        let since = self.index.since(&key).unwrap_or(self.seen_at);
        self.adopt(&key, loaded, since).await?;
        Ok(Some(Work {
            append_id: format!("at/{}", record.position),
            causation: record.event_id,
            at: Timestamp::from_micros(record.recorded_at),
            cause: Cause::Recorded(std::sync::Arc::new(Batch { command_id: record.command_id, ..Batch::default() })),
            key,
        }))
    }
}
