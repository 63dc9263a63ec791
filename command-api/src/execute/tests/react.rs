//! Sagas react in the batch that they react to: all of it is in the log, or nothing. The saga is the one that tells an order of
//! the units that a backorder got; there is no such order here, so its command is refused and it tries again later.

use std::collections::{HashMap, HashSet};

use domain::ids::OrderId;
use domain::order::Order;
use domain::saga::event::{After, Ended, Fact};
use domain::saga::{Decision, Recorded, Saga};
use domain::time::Timestamp;
use domain::{Command, Event};
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::Record;
use schemas::StoredEvent as _;

use super::*;
use crate::execute::Verdict;
use crate::execute::fold::Type;
use crate::execute::react::order_at;

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

#[test]
fn a_saga_that_begins_knows_the_order_right_after_its_event() {
    let stored = |kind: &str, json: &str| schemas::registry::decode(kind, 1, json.trim_end().as_bytes()).unwrap();
    let events = [
        stored("OrderPlaced", include_str!("../../../../schemas/golden/records/OrderPlaced.v1.json")),
        stored("NoteAdded", include_str!("../../../../schemas/golden/records/NoteAdded.v1.json")),
    ];
    let recorded = |(version, event)| Recorded { stream: "one".into(), version, event };
    let events: Vec<_> = (1..).zip(events).map(recorded).collect();
    let before = (Type::of::<Order>().fresh)();
    let notes = |event| order_at(&*before, &events, event).unwrap().placed().unwrap().notes.len();
    assert_eq!((notes(&events[0]), notes(&events[1])), (0, 1));
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

/// Orders that wait for units of three shelves.
async fn queue(executor: &Executor, orders: u32) {
    for name in ["A", "B", "C"] {
        let register =
            stock::Command::Register { sku: sku(name), location: north(), safety_stock: 0, backorder_limit: 1_000 };
        executor.execute(fresh(), one(name, register)).await.unwrap();
    }
    for n in 0..orders {
        let name = ["A", "B", "C"][n as usize % 3];
        let stock::Command::Reserve(wish) = reserve(name, 1, Uuid::from_u128(u128::from(n) + 1)) else {
            unreachable!("that is what it makes")
        };
        let order_id = Some(OrderId(Uuid::from_u128(10_000 + u128::from(n))));
        let wish = stock::Command::Reserve(Reserve { order_id, backorder_ok: vec![LineId(1)], ..wish });
        executor.execute(fresh(), one(name, wish)).await.unwrap();
    }
}

/// What the log says of each saga: its decisions with the batches that they are in.
async fn by_saga(house: &House) -> HashMap<String, Vec<(Uuid, Decision)>> {
    let (own, decisions) = decided(house).await;
    let mut sagas: HashMap<String, Vec<(Uuid, Decision)>> = HashMap::new();
    for (record, decision) in own.iter().zip(decisions) {
        let saga = sagas.entry(record.stream.id.to_string()).or_default();
        saga.push((record.command_id, decision));
        assert_eq!(record.version, saga.len() as u64);
    }
    sagas
}

/// Goods arrive and answers are given through two executors while groups fail as a whole. In the end each decision rests on
/// what is in the log before it, and nothing was decided twice.
async fn stormy(seed: u64) -> (usize, usize) {
    let house = House::new();
    let sides = [house.executor(), house.executor()];
    queue(&sides[0], 60).await;
    house.gate.flaky(0.3, seed);
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut failed = 0;
    for round in 0..12 {
        let mut calls = Vec::new();
        for n in 0..6 {
            let (name, side) = (["A", "B", "C"][dice.random_range(0..3)], dice.random_range(0..2));
            let request = keyed(&format!("receipt {round} {n}"));
            calls.push(begin(&sides[side], request, one(name, receive(name, dice.random_range(1..4)))));
        }
        for (name, saga) in by_saga(&house).await {
            let decisions: Vec<_> = saga.iter().map(|(_, decision)| decision.clone()).collect();
            let saga = Saga::load(&tenant(), &decisions).unwrap().unwrap();
            for (command_id, command) in saga.pending() {
                let metadata = Metadata::of_saga(saga.state().about.as_ref().unwrap().correlation, Uuid::nil());
                let metadata = Metadata { saga: Some(name.clone()), ..metadata };
                // Two senders at once: a runner and the one that took over from it.
                for executor in &sides {
                    let (executor, command, metadata) = (executor.clone(), command.clone(), metadata.clone());
                    calls.push(tokio::spawn(async move {
                        executor.execute_command(&tenant(), command_id, command, metadata).await
                    }));
                }
            }
        }
        for call in calls {
            failed += usize::from(call.await.unwrap().is_err());
        }
    }
    house.gate.flaky(0.0, seed);
    let records = records(&house).await;
    let sagas = by_saga(&house).await;
    let mut answered = 0;
    for (name, decisions) in &sagas {
        let mut asked = HashSet::new();
        let (begun_in, started) = &decisions[0];
        let subject = started.started().unwrap_or_else(|| panic!("{name}: {decisions:?}")).subject;
        let begins = |record: &&Record| record.command_id == *begun_in && &*record.kind == "BackorderAllocated";
        assert!(records.iter().any(|record| begins(&record)), "{name} of {subject} begins with nothing");
        for (batch, decision) in decisions {
            let after = After::Command(*batch);
            assert_eq!(decision.after, after, "{name}: it is decided in the batch that it follows from");
            if asked.contains(batch) {
                answered += 1;
                let settled = |record: &&Record| record.command_id == *batch && &*record.kind == "CommandSettled";
                assert!(records.iter().any(|record| settled(&record)), "{name} was answered by nothing");
            }
            for command_id in decision.asked() {
                assert!(asked.insert(command_id), "{name} asks twice for one thing");
            }
        }
        let facts: Vec<_> = decisions.iter().map(|(_, decision)| decision.clone()).collect();
        assert!(Saga::load(&tenant(), &facts).unwrap().is_some(), "{name}");
    }
    // Every allocation has its saga, but those that were allocated at a second attempt: their runner starts it.
    let allocated = records.iter().filter(|record| &*record.kind == "BackorderAllocated").count();
    assert!(sagas.len() <= allocated, "{} sagas of {allocated} allocations", sagas.len());
    assert!(answered > 0 && sagas.len() > 5, "{answered} answers of {} sagas", sagas.len());
    (answered, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sagas_in_a_storm_of_failing_groups_rest_on_what_is_in_the_log() {
    let mut failed = 0;
    for seed in 0..6 {
        failed += stormy(seed).await.1;
    }
    assert!(failed > 0, "no group failed");
}
