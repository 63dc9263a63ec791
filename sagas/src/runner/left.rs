//! Quarantined sagas: they cannot be read or run here. The runner notes up to which position each has observed events;
//! once it can be read, it receives the rest. The checkpoint names them.

use std::collections::{HashMap, HashSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::stream;
use domain::time::Timestamp;
use event_store::Filter;
use event_store::record::Position;

use super::index::Key;
use super::route::correlation;
use super::session::Session;
use crate::Stopped;

/// The version of the checkpoint's state that begins with these positions; the rest is as without them.
const FORM: u8 = 5;
/// The most sagas that a checkpoint names. The others lose the events before a restart.
const MOST: usize = 5_000;

/// A saga that is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Since when it is open.
    pub(super) since: Timestamp,
    /// The saga has observed all its events up to here.
    pub(super) heard: Position,
}

/// The state of a checkpoint, with the positions of the quarantined sagas before the rest.
pub(super) fn encode(left_alone: &HashMap<Key, Left>, rest: Bytes) -> Bytes {
    if left_alone.is_empty() {
        return rest;
    }
    if left_alone.len() > MOST {
        tracing::warn!(
            sagas = left_alone.len(),
            "more sagas are left alone than a checkpoint can name; see docs/operations.md, 'A record cannot be read'"
        );
    }
    let names = left_alone.iter().take(MOST).filter_map(|(key, left)| {
        let [tenant, kind] = [&key.tenant, &key.kind].map(|name| u16::try_from(name.len()).ok());
        Some((key, tenant?, kind?, left.heard))
    });
    let (mut count, mut rows) = (0, BytesMut::new());
    for (key, tenant, kind, heard) in names {
        count += 1;
        rows.put_u16(tenant);
        rows.put_slice(key.tenant.as_bytes());
        rows.put_u16(kind);
        rows.put_slice(key.kind.as_bytes());
        rows.put_u128(key.subject.as_u128());
        rows.put_u64(heard);
    }
    let mut state = BytesMut::with_capacity(5 + rows.len() + rest.len());
    state.put_u8(FORM);
    state.put_u32(count);
    state.extend_from_slice(&rows);
    state.extend_from_slice(&rest);
    state.freeze()
}

/// What a state begins with, and the rest.
pub(super) fn split(state: Bytes) -> (HashMap<Key, Position>, Bytes) {
    let mut rest = state.clone();
    match heard(&mut rest) {
        Some(heard) => (heard, rest),
        None => (HashMap::new(), state),
    }
}

fn heard(state: &mut Bytes) -> Option<HashMap<Key, Position>> {
    if state.try_get_u8().ok()? != FORM {
        return None;
    }
    let mut heard = HashMap::new();
    for _ in 0..state.try_get_u32().ok()? {
        let (tenant, kind) = (name(state)?, name(state)?);
        let subject = uuid::Uuid::from_u128(state.try_get_u128().ok()?);
        heard.insert(Key { tenant, kind, subject }, state.try_get_u64().ok()?);
    }
    Some(heard)
}

fn name(state: &mut Bytes) -> Option<std::sync::Arc<str>> {
    let length = usize::from(state.try_get_u16().ok()?);
    if state.remaining() < length {
        return None;
    }
    let name = state.split_to(length);
    Some(std::str::from_utf8(&name).ok()?.into())
}

impl Session {
    /// A saga cannot be read or run here. What it missed before, it has missed still.
    pub(super) fn leave_alone(&mut self, key: &Key, since: Timestamp) {
        self.index.forget(key);
        self.shelf.drop(key);
        let heard = self.left_before.remove(key).unwrap_or(self.position);
        self.left_alone.entry(key.clone()).or_insert(Left { since, heard });
    }

    /// Quarantined sagas that can be read again: they receive the events that they missed, up to a position.
    pub(super) async fn hear_missed(&mut self, back: &HashMap<Key, Position>, to: Position) -> Result<(), Stopped> {
        let open = back.iter().filter_map(|(key, heard)| {
            let correlation = self.index.correlation(key)?;
            Some(((key.tenant.clone(), correlation), *heard))
        });
        let open: Vec<_> = open.collect();
        let Some(mut at) = open.iter().map(|(_, heard)| *heard).min() else {
            return Ok(());
        };
        let theirs: HashSet<_> = open.into_iter().map(|(whose, _)| whose).collect();
        let filter = Filter {
            categories: [stream::ORDER, stream::RESERVATION, stream::PAYMENT].map(str::to_owned).into(),
            ..Filter::default()
        };
        let mut heard = None;
        while at < to {
            let page = self.store.read_log(at, &filter, self.options.page).await?;
            for record in page.records.iter().take_while(|record| record.position <= to) {
                let concerns = |correlation| theirs.contains(&(record.stream.tenant.clone(), correlation));
                if correlation(record).is_some_and(concerns)
                    && heard.replace(record.command_id) != Some(record.command_id)
                    && let Some(receipt) = self.store.command(record.command_id).await?
                {
                    Box::pin(self.hear_again(record.command_id, &receipt)).await?;
                }
            }
            if page.next <= at {
                break;
            }
            at = page.next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_stands_before_the_state_and_nobody_left_alone_leaves_it_as_it_was() {
        let rest = Bytes::from_static(&[1, 2, 3]);
        assert_eq!(encode(&HashMap::new(), rest.clone()), rest);
        assert_eq!(split(rest.clone()), (HashMap::new(), rest.clone()));
        let key = |kind: &str, subject| Key {
            tenant: "main".into(),
            kind: kind.into(),
            subject: uuid::Uuid::from_u128(subject),
        };
        let left = |heard| Left { since: Timestamp::default(), heard };
        let alone = HashMap::from([(key("checkout", 1), left(77)), (key("refund", 2), left(5))]);
        let heard = HashMap::from([(key("checkout", 1), 77), (key("refund", 2), 5)]);
        let state = encode(&alone, rest.clone());
        assert_eq!(split(state.clone()), (heard, rest));
        let cut = state.slice(..20);
        assert_eq!(split(cut.clone()), (HashMap::new(), cut), "what is not understood is not taken for anything");
    }
}
