//! The contract of an event store, as one suite. It names no backend: a backend is tested by `contract!(Its::Factory)`.

pub(crate) mod advancing;
pub(crate) mod appending;
pub(crate) mod commands;
pub(crate) mod consumers;
pub(crate) mod groups;
pub(crate) mod instants;
pub(crate) mod reading;
pub(crate) mod refusing;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, Receipt, StreamWrite};
use event_store::clock::{self, Mismatch};
use event_store::record::{Micros, Record, StreamId};
use event_store::sqlite::{Clock, system_clock};
use event_store::{Direction, EventStore, Filter};
use uuid::Uuid;

/// One store, which can be opened, closed and opened again.
#[async_trait]
pub(crate) trait Backend: Default + Send + Sync {
    /// Opens the store; makes it the first time. The one before has been closed.
    async fn open(&self) -> Arc<dyn EventStore>;

    /// Opens the store so that it soon gives up what cannot be written, where that can be set.
    async fn open_impatient(&self) -> Arc<dyn EventStore> {
        self.open().await
    }

    /// Opens the store with a clock that can be advanced, or without; nothing else of its time is set.
    async fn open_as(&self, test_clock: bool) -> Result<(Arc<dyn EventStore>, Arc<dyn clock::TestClock>), Mismatch>;

    /// The store's clock.
    fn clock(&self) -> &TestClock;

    /// Another connection locks the log against writing until the returned value is dropped.
    async fn lock(&self) -> Box<dyn Send>;

    /// Fills the disk of the store, or frees it again.
    async fn fill(&self, full: bool);

    /// Something that is another after each commit.
    async fn commits(&self) -> String;
}

/// The machine's clock, which a test can set forward and back.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn advance(&self, by: Micros) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    pub(crate) fn as_clock(&self) -> Clock {
        let (offset, system) = (Arc::clone(&self.0), system_clock());
        Arc::new(move || system() + offset.load(Ordering::SeqCst))
    }
}

/// Makes a test of every clause of the contract, for one backend.
macro_rules! contract {
    ($backend:path) => {
        $crate::contract::clauses! { $backend;
            appending::versions_and_positions_have_no_holes,
            appending::a_batch_over_streams_is_all_or_nothing,
            appending::a_stream_that_is_only_checked_gets_no_event,
            appending::no_stream_is_refused_where_there_is_one,
            appending::a_version_with_another_event_id_is_a_conflict,
            appending::a_version_that_is_not_there_is_a_conflict,
            appending::any_takes_what_is_there,
            appending::names_and_bytes_come_back_as_they_went_in,
            appending::what_is_too_large_or_malformed_is_never_taken,
            appending::the_largest_batch_goes_in,
            appending::the_chain_holds_over_the_stored_bytes,
            commands::a_repeated_command_gets_its_first_receipt,
            commands::a_repeated_command_gets_its_first_receipt_after_reopening,
            commands::a_command_id_with_another_fingerprint_is_refused,
            commands::a_refused_command_leaves_no_trace,
            commands::a_command_can_be_asked_for,
            commands::fifty_equal_commands_in_parallel_are_one,
            refusing::a_log_that_is_locked_takes_nothing_now_and_the_same_later,
            refusing::a_full_disk_takes_nothing_now_and_the_same_later,
            groups::a_conflict_harms_no_other,
            groups::a_chain_of_speculative_batches_goes_in,
            groups::what_rests_on_a_failed_batch_fails,
            groups::of_many_writers_of_one_version_one_wins,
            groups::appends_of_one_task_keep_their_order,
            groups::an_acknowledged_batch_precedes_what_is_sent_after_it,
            reading::a_stream_is_read_from_both_ends,
            reading::a_stream_is_whole_wherever_its_parts_are_kept,
            reading::the_log_is_read_in_pages,
            reading::a_page_never_cuts_a_batch,
            reading::a_filter_takes_only_what_it_wants,
            reading::a_filter_that_wants_little_still_gets_to_the_end,
            reading::the_head_moves_with_what_is_durable,
            reading::an_empty_store_has_nothing,
            reading::a_closed_store_takes_nothing,
            reading::the_incarnation_stays,
            reading::a_snapshot_is_found_by_its_fold,
            instants::recorded_at_grows_whatever_the_clock_does,
            instants::an_instant_has_the_last_position_before_it,
            instants::an_answered_instant_stays_answered,
            instants::an_answered_instant_stays_answered_when_the_clock_is_set_back,
            instants::asking_about_an_instant_writes_nothing,
            consumers::a_lease_keeps_others_out_until_it_ends,
            consumers::a_released_lease_is_free,
            consumers::a_save_of_an_older_epoch_is_refused,
            consumers::a_checkpoint_is_found_again,
            consumers::partitions_are_rows_of_their_own,
            consumers::the_rows_of_a_name_are_listed,
            consumers::of_many_who_want_a_lease_one_gets_it,
            advancing::what_is_recorded_after_an_advance_is_recorded_so_much_later,
            advancing::an_advance_outlives_the_process,
            advancing::a_store_is_only_opened_as_what_it_was_made,
            advancing::a_store_that_was_made_without_a_test_clock_never_gets_one,
            advancing::a_clock_is_advanced_and_by_a_century_at_most,
            advancing::a_lease_is_kept_through_an_advance,
        }
    };
}
pub(crate) use contract;

/// One test for each clause that is named.
macro_rules! clauses {
    ($backend:path; $($group:ident::$clause:ident,)*) => {
        mod clauses {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $clause() {
                    let backend = <$backend as Default>::default();
                    $crate::contract::$group::$clause(&backend).await;
                }
            )*
        }
    };
}
pub(crate) use clauses;

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::new("acme", "order", id)
}

pub(crate) fn event(text: &str) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        kind: "Noted".into(),
        schema_version: 1,
        data: Bytes::copy_from_slice(text.as_bytes()),
        metadata: Bytes::from_static(b"{}"),
    }
}

pub(crate) fn write(stream: &StreamId, expected: Expectation, texts: &[&str]) -> StreamWrite {
    StreamWrite { stream: stream.clone(), expected, events: texts.iter().map(|text| event(text)).collect() }
}

/// A batch under a new id.
pub(crate) fn batch(writes: Vec<StreamWrite>) -> Batch {
    Batch { command_id: Uuid::now_v7(), fingerprint: [7; 32], writes }
}

/// A batch under a key that a client chose.
pub(crate) fn keyed(key: &str, writes: Vec<StreamWrite>) -> Batch {
    Batch { command_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()), ..batch(writes) }
}

/// The expectation that the last event of the batch's first write will have been.
pub(crate) fn after(batch: &Batch, version: u64) -> Expectation {
    Expectation::At { version, event_id: batch.writes[0].events.last().unwrap().event_id }
}

#[track_caller]
pub(crate) fn appended(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Appended(receipt) => receipt,
        other => panic!("not appended: {other:?}"),
    }
}

/// Appends events to a stream without an expectation.
pub(crate) async fn put(store: &dyn EventStore, stream: &StreamId, texts: &[&str]) -> Receipt {
    appended(store.append(batch(vec![write(stream, Expectation::Any, texts)])).await.unwrap())
}

/// The whole log, read in pages of `limit`.
pub(crate) async fn log(store: &dyn EventStore, filter: &Filter, limit: usize) -> Vec<Record> {
    let (mut records, mut after) = (Vec::new(), 0);
    loop {
        let page = store.read_log(after, filter, limit).await.unwrap();
        records.extend(page.records);
        if page.next >= page.head {
            return records;
        }
        assert!(page.next > after, "a page must get on");
        after = page.next;
    }
}

pub(crate) async fn versions(store: &dyn EventStore, stream: &StreamId) -> Vec<u64> {
    let records = store.read_stream(stream, 1, Direction::Forwards, usize::MAX).await.unwrap();
    records.iter().map(|record| record.version).collect()
}
