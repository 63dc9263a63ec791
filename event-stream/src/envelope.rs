//! The headers of a record's message: its position in the log and its predecessors in the partitions that it is
//! published to.

use std::fmt::Write as _;
use std::str::FromStr;

use async_nats::HeaderMap;
use event_store::hash::Hash;
use event_store::partition::Door;
use event_store::record::Position;
use uuid::Uuid;

use crate::names::header;

/// For which doors a record is the last of its command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) log: bool,
    pub(crate) stream: bool,
    pub(crate) correlation: bool,
}

/// The headers of a record's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) position: Position,
    /// The position of the record before it in its stream partition, or a later one before which nothing is claimed.
    pub(crate) stream_previous: Position,
    /// The same for its correlation partition.
    pub(crate) correlation_previous: Position,
    pub(crate) ends: Ends,
    pub(crate) hash: Hash,
    pub(crate) incarnation: Uuid,
    pub(crate) epoch: u64,
}

impl Envelope {
    /// As headers.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::POSITION, self.position.to_string());
        headers.insert(header::STREAM_PREVIOUS, self.stream_previous.to_string());
        headers.insert(header::CORRELATION_PREVIOUS, self.correlation_previous.to_string());
        let ends = self.ends;
        let marks = [(ends.log, 'l'), (ends.stream, 's'), (ends.correlation, 'c')];
        let marks: String = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
        headers.insert(header::ENDS, marks);
        headers.insert(header::HASH, hex(&self.hash));
        headers.insert(header::INCARNATION, self.incarnation.to_string());
        headers.insert(header::EPOCH, self.epoch.to_string());
        headers
    }

    /// From headers; `None` if they are not those of a record.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        fn of<T: FromStr>(headers: &HeaderMap, name: &'static str) -> Option<T> {
            headers.get(name)?.as_str().parse().ok()
        }
        let marks = headers.get(header::ENDS)?.as_str();
        Some(Self {
            position: of(headers, header::POSITION)?,
            stream_previous: of(headers, header::STREAM_PREVIOUS)?,
            correlation_previous: of(headers, header::CORRELATION_PREVIOUS)?,
            ends: Ends { log: marks.contains('l'), stream: marks.contains('s'), correlation: marks.contains('c') },
            hash: unhex(headers.get(header::HASH)?.as_str())?,
            incarnation: of(headers, header::INCARNATION)?,
            epoch: of(headers, header::EPOCH)?,
        })
    }

    /// The position before which a door need not have seen anything.
    pub(crate) fn previous(&self, door: &Door) -> Position {
        match door {
            Door::All => self.position.saturating_sub(1),
            Door::Streams(_) => self.stream_previous,
            Door::Correlations(..) => self.correlation_previous,
        }
    }

    /// Whether this is the last record of its command that comes through a door.
    pub(crate) fn ends(&self, door: &Door) -> bool {
        match door {
            Door::All => self.ends.log,
            Door::Streams(_) => self.ends.stream,
            Door::Correlations(..) => self.ends.correlation,
        }
    }
}

/// A hash in lower-case hex.
pub(crate) fn hex(hash: &Hash) -> String {
    let mut text = String::with_capacity(64);
    for byte in hash {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

/// A hash from hex.
pub(crate) fn unhex(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let envelope = Envelope {
            position: 42,
            stream_previous: 17,
            correlation_previous: 41,
            ends: Ends { log: false, stream: true, correlation: true },
            hash: std::array::from_fn(|n| n as u8 * 7),
            incarnation: Uuid::from_u128(5),
            epoch: 3,
        };
        assert_eq!(Envelope::read(&envelope.headers()), Some(envelope.clone()));
        let mut broken = envelope.headers();
        broken.insert(header::HASH, "ff");
        assert_eq!(Envelope::read(&broken), None);
    }
}
