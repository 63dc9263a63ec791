//! Records that have come through a door and wait to be handed out, whole commands at a time.

use std::collections::VecDeque;

use event_store::record::{Position, Record};

#[derive(Default)]
pub(super) struct Pending {
    records: VecDeque<(Record, bool)>,
    /// How many there are up to the last end of a command.
    whole: usize,
}

impl Pending {
    /// How many records can be handed out.
    pub(super) fn whole(&self) -> usize {
        self.whole
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.whole = 0;
    }

    /// Adds a record; `end` means that it is the last of its command in this partition.
    pub(super) fn push(&mut self, record: Record, end: bool) {
        self.records.push_back((record, end));
        if end {
            self.whole = self.records.len();
        }
    }

    /// Adds records from a part of the log that ends where a command does.
    pub(super) fn extend<'a>(&mut self, records: impl Iterator<Item = &'a Record>) -> u64 {
        let mut count = 0;
        for record in records {
            count += 1;
            self.end_unless(Some(record));
            self.push(record.clone(), false);
        }
        self.end_unless(None);
        count
    }

    /// The last record is the last of its command if the next one belongs to another.
    fn end_unless(&mut self, next: Option<&Record>) {
        let length = self.records.len();
        if let Some((last, end)) = self.records.back_mut()
            && next.is_none_or(|next| next.command_id != last.command_id)
        {
            *end = true;
            self.whole = length;
        }
    }

    /// Up to `limit` records, or one command if that has more; and the position of the last one if others wait behind it.
    pub(super) fn take(&mut self, limit: usize) -> (Vec<Record>, Option<Position>) {
        let mut count = 0;
        for (index, (_, end)) in self.records.iter().take(self.whole).enumerate() {
            if index >= limit && count > 0 {
                break;
            }
            if *end {
                count = index + 1;
            }
        }
        self.whole -= count;
        let records: Vec<_> = self.records.drain(..count).map(|(record, _)| record).collect();
        let last = records.last().map(|record| record.position);
        (records, last.filter(|_| !self.records.is_empty()))
    }

    /// The position before the first record that waits.
    pub(super) fn before(&self) -> Option<Position> {
        let (record, _) = self.records.front()?;
        Some(record.position - 1)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use event_store::record::StreamId;
    use uuid::Uuid;

    use super::*;

    fn record(position: Position, command: u128) -> Record {
        Record {
            position,
            stream: StreamId::new("acme", "order", "a"),
            version: position,
            event_id: Uuid::from_u128(u128::from(position)),
            kind: "Happened".into(),
            schema_version: 1,
            data: Bytes::new(),
            metadata: Bytes::new(),
            command_id: Uuid::from_u128(command),
            fingerprint: None,
            recorded_at: 1,
            hash: [0; 32],
        }
    }

    fn positions((records, last): (Vec<Record>, Option<Position>)) -> (Vec<Position>, Option<Position>) {
        (records.iter().map(|record| record.position).collect(), last)
    }

    #[test]
    fn commands_are_not_cut() {
        let mut pending = Pending::default();
        for (position, command) in [(1, 1), (3, 1), (4, 2), (7, 3), (8, 3), (9, 3)] {
            let end = matches!(position, 3 | 4 | 9);
            pending.push(record(position, command), end);
        }
        assert_eq!(positions(pending.take(1)), (vec![1, 3], Some(3)));
        assert_eq!(positions(pending.take(3)), (vec![4], Some(4)));
        assert_eq!(positions(pending.take(2)), (vec![7, 8, 9], None));
        assert_eq!(positions(pending.take(2)), (vec![], None));
    }

    #[test]
    fn the_store_completes_what_the_bus_began() {
        let mut pending = Pending::default();
        pending.push(record(1, 1), false);
        assert_eq!(pending.whole(), 0);
        let log = [record(2, 1), record(5, 2)];
        assert_eq!(pending.extend(log.iter()), 2);
        assert_eq!(positions(pending.take(1)), (vec![1, 2], Some(2)));
        assert_eq!(positions(pending.take(1)), (vec![5], None));
    }
}
