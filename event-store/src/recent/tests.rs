//! Pages of what is kept, against the log that it is of.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::{Found, Recent, weight};
use crate::record::{Position, Record, StreamId};
use crate::store::Filter;

const CATEGORIES: [&str; 3] = ["order", "payment", "stock"];

/// A log of batches of these sizes.
fn log(sizes: &[usize]) -> Vec<Vec<Record>> {
    let mut position = 0;
    let record = |position: Position, command: u128| Record {
        position,
        stream: StreamId::new("t", CATEGORIES[position as usize * 7 % 3], "1"),
        version: position,
        event_id: Uuid::from_u128(position.into()),
        kind: "Happened".into(),
        schema_version: 1,
        data: Bytes::from_static(b"{}"),
        metadata: Bytes::new(),
        command_id: Uuid::from_u128(command),
        fingerprint: None,
        recorded_at: 0,
        hash: [0; 32],
    };
    let batch = |(command, size): (usize, &usize)| {
        let records = (0..*size).map(|_| {
            position += 1;
            record(position, command as u128)
        });
        records.collect()
    };
    sizes.iter().enumerate().map(batch).collect()
}

/// What follows `after` and is kept, as one who reads page after page sees it, and up to where.
fn read_on(
    recent: &Recent,
    mut after: Position,
    filter: &Filter,
    limit: usize,
    head: Position,
) -> (Vec<Position>, Position) {
    let mut seen = Vec::new();
    loop {
        let page = match recent.page(after, filter, limit, head) {
            Found::Page(page) => page,
            Found::UpTo(position) => return (seen, position),
        };
        assert!(page.next > after && page.next <= head, "{} after {after}", page.next);
        assert!(page.next == head || page.records.len() >= limit);
        seen.extend(page.records.iter().map(|record| record.position));
        after = page.next;
        if after == head {
            return (seen, head);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Groups come as their own process commits them, others are fetched later, some twice, by pages that end anywhere between batches.
    #[test]
    fn a_page_is_what_the_log_has_as_far_as_it_is_known(
        sizes in prop::collection::vec(1..5_usize, 1..30),
        puts in prop::collection::vec((any::<prop::sample::Index>(), 1..6_usize), 1..40),
        limit in 1..6_usize, most in 1..40_usize, wanted in 0..4_usize, cut in any::<prop::sample::Index>(),
    ) {
        let batches = log(&sizes);
        let most = most * weight(&batches[0][..1]);
        let recent = Recent::new(most);
        let filter = Filter { categories: CATEGORIES[..wanted].iter().map(|&name| name.to_owned()).collect(), ..Filter::default() };
        for (first, count) in puts {
            let first = first.index(batches.len());
            recent.put(batches[first..batches.len().min(first + count)].concat());
        }
        let mut kept: BTreeMap<Position, Record> = BTreeMap::new();
        for run in recent.read().runs.values() {
            for record in run.iter() {
                prop_assert!(kept.insert(record.position, record.clone()).is_none(), "{} twice", record.position);
            }
        }
        let state = recent.read();
        prop_assert!(state.bytes <= most && state.bytes == state.runs.values().map(|run| weight(run)).sum::<usize>());
        drop(state);
        // Every end of a batch, as a follower has it.
        let ends: Vec<Position> = std::iter::once(0).chain(batches.iter().map(|batch| batch[batch.len() - 1].position)).collect();
        let head = ends[cut.index(ends.len())];
        for &after in ends.iter().filter(|end| **end < head) {
            let (seen, to) = read_on(&recent, after, &filter, limit, head);
            let end = (after + 1..).find(|position| !kept.contains_key(position) || *position > head).unwrap_or(0) - 1;
            prop_assert_eq!(to, end);
            // A page that is not full where the next record is missing is not given.
            let expected: Vec<Position> = (after + 1..=to).filter(|position| filter.wants(&kept[position])).collect();
            prop_assert!(expected.starts_with(&seen) && (to < head || seen.len() == expected.len()), "{:?} of {:?}", seen, expected);
            prop_assert!(expected.len() - seen.len() < limit + 5);
        }
    }
}

#[test]
fn a_batch_is_never_cut_and_a_page_passes_over_what_nobody_wants() {
    let batches = log(&[1, 4, 2]);
    let recent = Recent::new(usize::MAX);
    recent.put(batches.concat());
    let all = Filter::default();
    let page = |after, filter: &Filter, limit, head| match recent.page(after, filter, limit, head) {
        Found::Page(page) => (page.records.len(), page.next),
        Found::UpTo(position) => panic!("nothing after {position}"),
    };
    assert_eq!(page(0, &all, 2, 7), (5, 5));
    assert_eq!(page(5, &all, 1, 7), (2, 7));
    let none = Filter { kinds: vec!["Other".into()], ..Filter::default() };
    assert_eq!(page(0, &none, 1, 7), (0, 7));
    assert!(matches!(recent.page(7, &all, 1, 9), Found::UpTo(7)));
    assert!(matches!(recent.page(0, &all, 8, 9), Found::UpTo(7)));
}
