//! Sagas react in the batch that they react to: all of it is in the log, or nothing. The saga is the one that tells an order of
//! the units that a backorder got; there is no such order here, so its command is refused and it tries again later.

use domain::ids::OrderId;
use domain::saga::event::{Ended, Fact};
use domain::saga::{Decision, Saga};
use domain::time::Timestamp;
use domain::{Command, Event};
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::Record;
use schemas::StoredEvent as _;

use super::*;
use crate::execute::Verdict;

/// A shelf with a waiting backorder.
async fn waiting(executor: &Executor) {
    let register = stock::Command::Register { sku: sku("A"), location: north(), safety_stock: 0, backorder_limit: 10 };
    executor.execute(fresh(), one("A", register)).await.unwrap();
    let stock::Command::Reserve(wish) = reserve("A", 2, Uuid::from_u128(1)) else {
        unreachable!("that is what it makes")
    };
    let order_id = Some(OrderId(Uuid::from_u128(99)));
    let wish = stock::Command::Reserve(Reserve { order_id, backorder_ok: vec![LineId(1)], ..wish });
    executor.execute(fresh(), one("A", wish)).await.unwrap();
}

async fn records(house: &House) -> Vec<Record> {
    house.store.read_log(0, &Filter::default(), 1_000).await.unwrap().records
}

/// The decisions of the one saga, and its stream.
async fn decided(house: &House) -> (Vec<Record>, Vec<Decision>) {
    let own = records(house).await.into_iter().filter(|record| &*record.stream.category == stream::SAGA);
    let own: Vec<_> = own.collect();
    let decision = |record: &Record| match streams::event(record).unwrap() {
        Event::Saga(decision) => decision,
        other => panic!("{other:?}"),
    };
    let decisions = own.iter().map(decision).collect();
    (own, decisions)
}

/// What the saga asks for, as its runner sends it.
fn asked(own: &[Record], decisions: &[Decision]) -> (Uuid, Command, Metadata) {
    let saga = Saga::load(&tenant(), decisions).unwrap().unwrap();
    let (command_id, command) = saga.pending().into_iter().next().unwrap();
    let correlation = saga.state().about.as_ref().unwrap().correlation;
    let metadata = Metadata::of_saga(correlation, own[0].event_id);
    (command_id, command, Metadata { saga: Some(own[0].stream.id.to_string()), ..metadata })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_and_the_start_of_the_saga_that_it_starts_are_one_batch() {
    let house = House::new();
    let executor = house.executor();
    waiting(&executor).await;
    let done = stocked(&executor, "A", 5).await;
    let batch: Vec<_> = records(&house).await.into_iter().filter(|it| it.command_id == done.command_id).collect();
    let kinds: Vec<_> = batch.iter().map(|record| &*record.kind).collect();
    assert_eq!(kinds, ["StockReceived", "BackorderAllocated", "SagaStarted"]);
    let metadata = Metadata::decode(&batch[2].metadata).unwrap();
    assert_eq!((metadata.actor.id.as_str(), metadata.correlation), ("sagas", Uuid::from_u128(99)));
    assert_eq!(metadata.causation, Some(batch[1].event_id), "the runner knows it by its cause");
    let streams: Vec<_> = done.streams.iter().map(|(name, _)| name.category).collect();
    assert_eq!(streams, [stream::STOCK], "the answer is about what was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_and_what_the_saga_decides_next_are_one_batch() {
    let house = House::new();
    let executor = house.executor();
    waiting(&executor).await;
    stocked(&executor, "A", 5).await;
    let (own, decisions) = decided(&house).await;
    let (command_id, command, metadata) = asked(&own, &decisions);
    let done = executor.execute_command(&tenant(), command_id, command.clone(), metadata.clone()).await.unwrap();
    assert!(done.refused().is_some(), "there is no such order");
    let batch: Vec<_> = records(&house).await.into_iter().filter(|it| it.command_id == command_id).collect();
    let kinds: Vec<_> = batch.iter().map(|record| &*record.kind).collect();
    assert_eq!(kinds, ["CommandSettled", "SagaDecided"]);
    // The same command again finds its outcome, and the saga decides nothing again.
    let again = executor.execute_command(&tenant(), command_id, command, metadata).await.unwrap();
    assert!(again.replayed && again.refused() == done.refused() && again.streams == done.streams);
    assert_eq!(decided(&house).await.1.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_fails_takes_what_sagas_decided_in_it_along() {
    let house = House::new();
    let executor = house.executor();
    waiting(&executor).await;
    let before = records(&house).await.len();
    let failing = async |request: Request, plan: Plan| {
        house.gate.shut();
        let call = begin(&executor, request, plan);
        until("the sync has begun", || house.gate.is_waiting()).await;
        house.gate.open(Some(io::ErrorKind::StorageFull));
        call.await.unwrap()
    };
    let receipt = keyed("receipt");
    let failed = failing(receipt.clone(), one("A", receive("A", 5))).await;
    assert!(matches!(failed, Err(Error::NotWritten(_))), "{failed:?}");
    assert_eq!(records(&house).await.len(), before, "neither the goods nor a saga that tells of them");
    let done = executor.execute(receipt, one("A", receive("A", 5))).await.unwrap();
    assert_eq!(done.verdict, Verdict::Applied);
    let (own, decisions) = decided(&house).await;
    assert_eq!(decisions.len(), 1);

    let (command_id, command, metadata) = asked(&own, &decisions);
    house.gate.shut();
    let call = {
        let (executor, command, metadata) = (executor.clone(), command.clone(), metadata.clone());
        tokio::spawn(async move { executor.execute_command(&tenant(), command_id, command, metadata).await })
    };
    until("the sync has begun", || house.gate.is_waiting()).await;
    house.gate.open(Some(io::ErrorKind::StorageFull));
    let failed = call.await.unwrap();
    assert!(matches!(failed, Err(Error::NotWritten(_))), "{failed:?}");
    assert_eq!(decided(&house).await.1.len(), 1);
    executor.execute_command(&tenant(), command_id, command, metadata).await.unwrap();
    let (own, decisions) = decided(&house).await;
    assert_eq!((own.last().unwrap().version, decisions.len()), (2, 2), "decided on what is in the log");
}

/// A runner appends to the saga's stream too, after timers and events that the saga listens for: here it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_that_others_moved_on_decides_on_where_it_is() {
    let house = House::new();
    let executor = house.executor();
    waiting(&executor).await;
    stocked(&executor, "A", 5).await;
    let (own, decisions) = decided(&house).await;
    let ended = Fact::Ended(Ended { outcome: "done".into(), undone: false });
    let encoded = Decision::intervention(Timestamp::from_micros(1), ended).encode().unwrap();
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        kind: encoded.kind,
        schema_version: encoded.schema_version,
        data: encoded.data,
        metadata: own[0].metadata.clone(),
    };
    let expected = Expectation::At { version: 1, event_id: own[0].event_id };
    let write = StreamWrite { stream: own[0].stream.clone(), expected, events: vec![event] };
    let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes: vec![write] };
    assert!(matches!(house.store.append(batch).await, Ok(Outcome::Appended(_))));
    let (command_id, command, metadata) = asked(&own, &decisions);
    executor.execute_command(&tenant(), command_id, command, metadata).await.unwrap();
    assert_eq!(decided(&house).await.1.len(), 2, "what has ended decides nothing");
    assert!(house.store.command(command_id).await.unwrap().is_some());
}

/// An executor that leaves it to the runner, and a command of a saga that is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_saga_that_can_react_the_command_runs_alone() {
    let house = House::new();
    let leaves = house.executor_with(Options { reactions: false, ..Options::default() });
    waiting(&leaves).await;
    stocked(&leaves, "A", 5).await;
    assert_eq!(decided(&house).await.1, []);
    let executor = house.executor();
    for saga in ["allocation-00000000-0000-0000-0000-000000000001", "nothing", ""] {
        let mut request = fresh();
        request.metadata.saga = Some(saga.to_owned());
        executor.execute(request, one("A", receive("A", 1))).await.unwrap();
    }
    assert_eq!(decided(&house).await.1, []);
}
