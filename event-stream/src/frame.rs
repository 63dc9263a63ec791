//! A record as the body of a message: everything but its position and its hash, which are headers. Version 2:
//!
//! `2`, then tenant, category, id, type (each u16 BE length and bytes), version u64, event id, schema version u32, command id,
//! recorded_at i64, the hash of the record before, then the fingerprint (u8 length, 0 or 32, and bytes), then metadata and data (each
//! u32 BE length and bytes). All numbers big-endian.
//! The hash of the record before lets a reader check that header and body belong together.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use event_store::hash::{self, Hash};
use event_store::record::{Position, Record, StreamId};
use uuid::Uuid;

const VERSION: u8 = 2;
/// Everything of fixed size.
const FIXED: usize = 1 + 4 * 2 + 8 + 16 + 4 + 16 + 8 + 32 + 1 + 2 * 4;

/// Why a body is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a frame of version {0} cannot be read")]
    Version(u8),
    #[error("the frame ends too early")]
    Short,
    #[error("the frame has {0} bytes too many")]
    Long(usize),
    #[error("a name in the frame is not text")]
    NotText,
    #[error("a name is too long for a frame")]
    NameTooLong,
    #[error("the fingerprint in the frame has {0} bytes")]
    Fingerprint(u8),
    #[error("the record does not match its hash")]
    Hash,
}

/// The size of a record's body.
pub(crate) fn size(record: &Record) -> usize {
    let names = record.stream.tenant.len() + record.stream.category.len() + record.stream.id.len();
    let fingerprint = record.fingerprint.map_or(0, |fingerprint| fingerprint.len());
    FIXED + names + record.kind.len() + fingerprint + record.metadata.len() + record.data.len()
}

/// A record's body; `previous` is the hash of the record before it in the log.
pub(crate) fn encode(record: &Record, previous: &Hash) -> Result<Bytes, Malformed> {
    let mut body = BytesMut::with_capacity(size(record));
    body.put_u8(VERSION);
    let stream = &record.stream;
    for name in [&stream.tenant, &stream.category, &stream.id, &record.kind] {
        let length = u16::try_from(name.len()).map_err(|_| Malformed::NameTooLong)?;
        body.put_u16(length);
        body.put_slice(name.as_bytes());
    }
    body.put_u64(record.version);
    body.put_slice(record.event_id.as_bytes());
    body.put_u32(record.schema_version);
    body.put_slice(record.command_id.as_bytes());
    body.put_i64(record.recorded_at);
    body.put_slice(previous);
    let fingerprint = record.fingerprint.as_ref().map_or(&[][..], |fingerprint| &fingerprint[..]);
    body.put_u8(fingerprint.len() as u8);
    body.put_slice(fingerprint);
    for bytes in [&record.metadata, &record.data] {
        let length = u32::try_from(bytes.len()).map_err(|_| Malformed::NameTooLong)?;
        body.put_u32(length);
        body.put_slice(bytes);
    }
    Ok(body.freeze())
}

/// Decodes a record, if it matches the hash. It allocates no more than the body's own size.
pub(crate) fn decode(mut body: Bytes, position: Position, hash: Hash) -> Result<Record, Malformed> {
    let version = take(&mut body, 1)?[0];
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let tenant = name(&mut body)?;
    let category = name(&mut body)?;
    let id = name(&mut body)?;
    let kind = name(&mut body)?;
    let mut fixed = take(&mut body, FIXED - 1 - 4 * 2 - 1 - 2 * 4)?;
    let version = fixed.get_u64();
    let event_id = Uuid::from_u128(fixed.get_u128());
    let schema_version = fixed.get_u32();
    let command_id = Uuid::from_u128(fixed.get_u128());
    let recorded_at = fixed.get_i64();
    let mut previous = hash::START;
    fixed.copy_to_slice(&mut previous);
    let fingerprint = match take(&mut body, 1)?[0] {
        0 => None,
        32 => Some(std::array::from_fn({
            let bytes = take(&mut body, 32)?;
            move |n| bytes[n]
        })),
        other => return Err(Malformed::Fingerprint(other)),
    };
    let metadata = bytes(&mut body)?;
    let data = bytes(&mut body)?;
    if !body.is_empty() {
        return Err(Malformed::Long(body.len()));
    }
    let record = Record {
        position,
        stream: StreamId::new(tenant, category, id),
        version,
        event_id,
        kind: kind.into(),
        schema_version,
        data,
        metadata,
        command_id,
        fingerprint,
        recorded_at,
        hash,
    };
    hash::check(&record, position, &previous).map_err(|_| Malformed::Hash)?;
    Ok(record)
}

fn take(body: &mut Bytes, length: usize) -> Result<Bytes, Malformed> {
    if body.len() < length {
        return Err(Malformed::Short);
    }
    Ok(body.split_to(length))
}

fn name(body: &mut Bytes) -> Result<String, Malformed> {
    let length = take(body, 2)?.get_u16();
    let name = take(body, usize::from(length))?;
    String::from_utf8(name.into()).map_err(|_| Malformed::NotText)
}

fn bytes(body: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = take(body, 4)?.get_u32();
    take(body, usize::try_from(length).unwrap_or(usize::MAX))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn records()(
            names in (".{0,20}", ".{0,20}", ".{0,40}", ".{0,20}"),
            numbers in (1..u64::MAX, 1..u64::MAX, any::<u32>(), any::<i64>()),
            ids in (any::<u128>(), any::<u128>()),
            data in proptest::collection::vec(any::<u8>(), 0..600),
            metadata in proptest::collection::vec(any::<u8>(), 0..200),
            previous in any::<[u8; 32]>(),
            fingerprint in any::<Option<[u8; 32]>>(),
        ) -> (Record, Hash) {
            let mut record = Record {
                position: numbers.0,
                stream: StreamId::new(names.0, names.1, names.2),
                version: numbers.1,
                event_id: Uuid::from_u128(ids.0),
                kind: names.3.into(),
                schema_version: numbers.2,
                data: data.into(),
                metadata: metadata.into(),
                command_id: Uuid::from_u128(ids.1),
                fingerprint,
                recorded_at: numbers.3,
                hash: hash::START,
            };
            record.hash = hash::chain(&previous, record.position, record.recorded_at, &hash::leaf_of(&record));
            (record, previous)
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read((record, previous) in records()) {
            let body = encode(&record, &previous).unwrap();
            prop_assert_eq!(body.len(), size(&record));
            prop_assert_eq!(decode(body, record.position, record.hash), Ok(record));
        }

        #[test]
        fn a_changed_byte_is_refused((record, previous) in records(), at in any::<prop::sample::Index>(), by in 1..=255_u8) {
            let mut body = encode(&record, &previous).unwrap().to_vec();
            let at = at.index(body.len());
            body[at] ^= by;
            prop_assert!(decode(body.into(), record.position, record.hash).is_err());
        }

        #[test]
        fn a_cut_body_is_refused((record, previous) in records(), at in any::<prop::sample::Index>()) {
            let body = encode(&record, &previous).unwrap();
            let cut = body.slice(..at.index(body.len()));
            prop_assert!(decode(cut, record.position, record.hash).is_err());
        }

        #[test]
        fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(decode(noise.into(), 1, hash::START).is_err());
        }
    }
}
