//! The engine on a test saga: steps a and b, then c and d in parallel, then e, the pivot, then f.

use std::sync::Arc;

use serde_json::{Map, json};
use uuid::Uuid;

use super::Saga;
use crate::ids::{CancellationId, Tenant};
use crate::outcome::{self, Settled, Verdict};
use crate::saga::event::{Decision, Direction, Fact, Started, StepOutcome};
use crate::saga::process::{Batch, Process, Recorded, Refused, Trigger};
use crate::saga::state::{Progress, State};
use crate::saga::step::{Ask, Notice, Step, Then, When};
use crate::stream::StreamName;
use crate::time::Timestamp;
use crate::{Command, Event, order};

#[derive(Debug)]
struct Letters;

const EVIDENT: &str = "d";

impl Process for Letters {
    fn steps(&self, _state: &State) -> Vec<Step> {
        vec![
            Step::new("a", &[]).undoable(),
            Step::new("b", &["a"]).undoable(),
            Step::new("c", &["b"]).undoable(),
            Step::new(EVIDENT, &["b"]).undoable().by_evidence(StreamName { category: "payment", id: "p".into() }),
            Step::new("e", &["c", "d"]).pivot(),
            Step::new("f", &["e"]),
            Step::new("z", &[]).when(When::Closing),
        ]
    }

    fn command(&self, _state: &State, ask: Ask<'_>) -> Option<Command> {
        Some(Command::Order {
            order_id: Default::default(),
            command: order::Command::SetTags { tags: vec![ask.step.to_owned(), format!("{:?}", ask.direction)] },
        })
    }

    fn listen(&self, _state: &State, batch: &Batch, notices: &mut Vec<Notice>) {
        for recorded in &batch.events {
            match &recorded.event {
                Event::Order(order::Event::TagsSet(set)) => {
                    let direction = if set.tags[0] == "undone" { Direction::Undo } else { Direction::Do };
                    let outcome = match set.tags[0].as_str() {
                        "unknown" => StepOutcome::Unknown { detail: "?".into() },
                        "failed" => StepOutcome::NotDone { code: "failed".into(), details: json!({}) },
                        _ => StepOutcome::Done { output: Default::default() },
                    };
                    notices.push(Notice::Answer {
                        step: EVIDENT,
                        direction,
                        attempt: None,
                        seen: Some(recorded.version),
                        outcome,
                    });
                }
                Event::Order(order::Event::Cancelled(_)) => {
                    notices.push(Notice::Unwind { reason: "cancelled", details: None })
                }
                Event::Order(order::Event::Completed(_)) => notices.push(Notice::Nudge { step: "c" }),
                _ => {}
            }
        }
    }

    fn refused(&self, _state: &State, refused: Refused<'_>) -> Then {
        if refused.code == "held" {
            return Then::Wait;
        }
        if refused.direction == Direction::Do && refused.code != "later" {
            Then::Unwind { reason: "refused".into(), details: None }
        } else {
            Then::Retry
        }
    }
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_micros(1_000_000_000).plus_seconds(seconds)
}

fn started() -> Decision {
    let started = Started {
        kind: "letters".into(),
        definition: 1,
        subject: Uuid::nil(),
        correlation: Uuid::nil(),
        input: json!(null),
    };
    Decision::intervention(at(0), Fact::Started(started))
}

/// A saga in the hands of a test: every reaction is checked to be nothing the second time.
struct Bench {
    saga: Saga,
    log: Vec<Decision>,
    now: u32,
    version: u64,
}

impl Bench {
    fn new() -> Self {
        let tenant = Tenant::try_new("t").expect("fits");
        let subject = Uuid::nil();
        let mut bench = Self {
            saga: Saga {
                id: Saga::id_of(&tenant, "letters", subject),
                process: Arc::new(Letters),
                state: State::default(),
            },
            log: Vec::new(),
            now: 0,
            version: 0,
        };
        bench.saga.evolve(&started());
        bench.react(Trigger::Recorded(&Batch::default()));
        bench
    }

    fn react(&mut self, trigger: Trigger<'_>) {
        if let Some(decision) = self.saga.react(trigger, at(self.now)) {
            self.saga.evolve(&decision);
            self.log.push(decision);
        }
        let again = self.saga.react(trigger, at(self.now));
        assert_eq!(again, None, "the same trigger again changes nothing");
    }

    fn verdict(&mut self, step: &str, direction: Direction, verdict: Option<Verdict>) {
        let side = self.saga.state.side(step, direction).expect("was asked");
        let event = match verdict {
            Some(verdict) => Event::Outcome(outcome::Event::Settled(Settled { verdict, rests_on: Vec::new() })),
            None => Event::Order(order::Event::CancellationClosed(order::event::CancellationClosed {
                cancellation_id: CancellationId::default(),
            })),
        };
        let batch = Batch {
            command_id: side.command_id,
            events: vec![Recorded { stream: "o".into(), version: 1, event }],
            ..Batch::default()
        };
        self.react(Trigger::Recorded(&batch));
    }

    fn done(&mut self, step: &str) {
        self.verdict(step, Direction::Do, None);
    }

    fn undone(&mut self, step: &str) {
        self.verdict(step, Direction::Undo, None);
    }

    fn refuse(&mut self, step: &str, direction: Direction, code: &str) {
        let verdict = Verdict::Refused {
            code: code.into(),
            class: crate::Class::Conflict,
            message: "no".into(),
            details: Map::new(),
        };
        self.verdict(step, direction, Some(verdict));
    }

    fn hear(&mut self, word: &str) {
        self.version += 1;
        let event = match word {
            "cancel" => Event::Order(order::Event::Cancelled(order::event::Cancelled { reason: String::new() })),
            "nudge" => Event::Order(order::Event::Completed(order::event::Completed {})),
            word => Event::Order(order::Event::TagsSet(order::event::TagsSet { tags: vec![word.into()] })),
        };
        let batch = Batch {
            command_id: Uuid::max(),
            events: vec![Recorded { stream: "p".into(), version: self.version, event }],
            ..Batch::default()
        };
        self.react(Trigger::Recorded(&batch));
    }

    /// Lets the next timer fire.
    fn next_timer(&mut self) -> String {
        let timers = self.saga.state.timers.iter();
        let (timer, due_at) = timers.min_by_key(|(_, due_at)| **due_at).expect("a timer");
        let (timer, due_at) = (timer.clone(), *due_at);
        let micros = due_at.micros() - at(0).micros();
        self.now = self.now.max(u32::try_from(micros / 1_000_000).expect("fits") + 1);
        self.react(Trigger::Due { timer: &timer, due_at, evidence: None });
        timer
    }

    fn reach_the_branches(&mut self) {
        self.done("a");
        self.done("b");
    }

    /// The steps that are asked for and not answered.
    fn open(&self) -> Vec<String> {
        let pending = self.saga.pending().into_iter();
        let mut open: Vec<_> = pending
            .map(|(_, command)| match command {
                Command::Order { command: order::Command::SetTags { tags }, .. } => {
                    if tags[1] == "Undo" {
                        format!("-{}", tags[0])
                    } else {
                        tags[0].clone()
                    }
                }
                other => panic!("not asked for here: {other:?}"),
            })
            .collect();
        open.sort();
        open
    }

    fn ended(&self) -> Option<(&str, bool)> {
        let ended = self.saga.state.ended.as_ref()?;
        Some((ended.outcome.as_str(), ended.undone))
    }

    fn parked(&self) -> Option<&str> {
        Some(self.saga.state.parked.as_ref()?.reason.as_str())
    }
}

#[test]
fn it_runs_step_by_step_and_branches_side_by_side() {
    let mut bench = Bench::new();
    assert_eq!(bench.open(), ["a"]);
    bench.done("a");
    bench.done("b");
    assert_eq!(bench.open(), ["c", "d"]);
    bench.hear("done");
    assert_eq!(bench.open(), ["c"]);
    bench.done("c");
    assert_eq!(bench.open(), ["e"]);
    bench.done("e");
    bench.done("f");
    assert_eq!(bench.ended(), Some(("done", false)));
    assert!(bench.saga.state.timers.is_empty());
}

#[test]
fn each_step_that_refuses_has_what_ran_undone_in_reverse() {
    let mut bench = Bench::new();
    bench.refuse("a", Direction::Do, "no");
    assert_eq!(bench.open(), ["z"], "nothing ran, nothing is undone");

    let mut bench = Bench::new();
    bench.done("a");
    bench.refuse("b", Direction::Do, "no");
    assert_eq!(bench.open(), ["-a"]);

    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.hear("done");
    bench.done("c");
    bench.refuse("e", Direction::Do, "no");
    assert_eq!(bench.open(), ["-c", "-d"]);
    bench.undone("c");
    assert_eq!(bench.open(), ["-d"], "b rests on d as well");
    bench.hear("undone");
    assert_eq!(bench.open(), ["-b"]);
    bench.undone("b");
    bench.undone("a");
    assert_eq!(bench.open(), ["z"]);
    bench.done("z");
    assert_eq!(bench.ended(), Some(("refused", true)));
}

#[test]
fn a_branch_in_flight_settles_before_anything_is_undone() {
    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.refuse("c", Direction::Do, "no");
    assert_eq!(bench.open(), ["d"], "d is waited for");
    bench.hear("done");
    assert_eq!(bench.open(), ["-d"]);

    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.refuse("c", Direction::Do, "no");
    bench.hear("failed");
    assert_eq!(bench.open(), ["-b"], "what was not done is not undone");
}

#[test]
fn an_unknown_outcome_waits_parks_and_goes_on_with_late_evidence() {
    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.done("c");
    bench.hear("unknown");
    assert_eq!(bench.open(), ["d"]);
    bench.hear("cancel");
    assert_eq!(bench.open(), ["d"], "unknown is never undone");
    let mut looks = 0;
    while bench.parked().is_none() {
        assert_eq!(bench.next_timer(), "answer/do/d");
        looks += 1;
        assert!(looks < 20, "it looks ever more seldom");
    }
    assert_eq!(bench.parked(), Some("outcome_unknown"));
    assert!(bench.now >= 1_800, "not before its time: {}", bench.now);
    bench.hear("done");
    assert_eq!(bench.parked(), None);
    assert_eq!(bench.open(), ["-c", "-d"], "then both are undone");
}

/// Nothing else would ask again: what waits has no timer.
#[test]
fn what_waits_is_asked_for_again_when_it_is_nudged_also_while_another_step_is_parked() {
    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.refuse("c", Direction::Do, "held");
    assert_eq!(bench.open(), ["d"]);
    bench.hear("unknown");
    while bench.parked().is_none() {
        bench.next_timer();
    }
    bench.hear("nudge");
    assert_eq!((bench.open(), bench.parked()), (vec!["c".to_owned(), "d".to_owned()], Some("outcome_unknown")));
    bench.done("c");
    bench.hear("done");
    assert_eq!((bench.open(), bench.parked()), (vec!["e".to_owned()], None));
}

#[test]
fn silence_is_unknown_and_not_a_refusal() {
    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.done("c");
    bench.next_timer();
    assert_eq!(*bench.saga.state.progress("d"), Progress::Unknown);
    bench.hear("done");
    assert_eq!(bench.open(), ["e"]);
}

#[test]
fn past_the_pivot_it_goes_forwards_only() {
    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.hear("done");
    bench.done("c");
    bench.hear("cancel");
    assert!(bench.saga.state.unwinding.is_none(), "the pivot is asked for: its answer decides");
    bench.done("e");
    bench.hear("cancel");
    assert!(bench.saga.state.unwinding.is_none());
    let mut attempts = 1;
    while bench.parked().is_none() {
        bench.refuse("f", Direction::Do, "later");
        if bench.parked().is_none() {
            assert_eq!(bench.next_timer(), "retry/do/f");
            attempts += 1;
        }
    }
    assert_eq!((bench.parked(), attempts), (Some("retries_exhausted"), 12));
    assert_eq!(bench.open(), [""; 0]);
}

#[test]
fn a_cancellation_undoes_and_another_one_changes_nothing() {
    let mut bench = Bench::new();
    bench.done("a");
    bench.hear("cancel");
    assert_eq!(bench.open(), ["b"], "b is in flight");
    bench.done("b");
    assert_eq!(bench.open(), ["-b"]);
    bench.hear("cancel");
    assert_eq!(bench.open(), ["-b"]);
    bench.refuse("b", Direction::Undo, "busy");
    assert_eq!(bench.next_timer(), "retry/undo/b");
    assert_eq!(bench.open(), ["-b"]);
    bench.undone("b");
    bench.undone("a");
    bench.done("z");
    assert_eq!(bench.ended(), Some(("cancelled", true)));
    bench.hear("cancel");
    bench.hear("done");
    assert_eq!(bench.open(), [""; 0]);
}

#[test]
fn undoing_is_tried_longer_than_doing_and_then_told_a_person() {
    let mut bench = Bench::new();
    bench.done("a");
    bench.refuse("b", Direction::Do, "no");
    let mut attempts = 0;
    while bench.parked().is_none() {
        attempts += 1;
        bench.refuse("a", Direction::Undo, "busy");
        if bench.parked().is_none() {
            bench.next_timer();
        }
    }
    assert_eq!((bench.parked(), attempts), (Some("undo_failed"), 40));
}

#[test]
fn a_retry_is_a_new_attempt_with_an_id_of_its_own_and_old_evidence_does_not_answer_it() {
    let mut bench = Bench::new();
    bench.reach_the_branches();
    let first = bench.saga.state.steps["c"].forth.command_id;
    bench.refuse("c", Direction::Do, "later");
    assert_eq!(bench.next_timer(), "retry/do/c");
    let second = &bench.saga.state.steps["c"].forth;
    assert_ne!(first, second.command_id);
    assert_eq!(second.attempt, 2);
    let late = Batch { command_id: first, ..Batch::default() };
    bench.react(Trigger::Recorded(&late));
    assert_eq!(bench.open(), ["c", "d"], "the first attempt's answer is over");
}

#[test]
fn folding_its_events_again_gives_the_same_state() {
    let mut bench = Bench::new();
    bench.reach_the_branches();
    bench.hear("unknown");
    bench.hear("done");
    bench.refuse("c", Direction::Do, "no");
    let mut state = State::default();
    state.evolve(&started());
    for decision in &bench.log {
        state.evolve(decision);
    }
    assert_eq!(state, bench.saga.state);
}

#[test]
fn what_cannot_be_delivered_is_told_a_person() {
    let mut bench = Bench::new();
    let command_id = bench.saga.state.steps["a"].forth.command_id;
    bench.react(Trigger::Undeliverable { command_id, detail: "no such service" });
    assert_eq!(bench.parked(), Some("undeliverable"));
    bench.done("a");
    assert_eq!(bench.parked(), None, "its answer came after all");
    assert_eq!(bench.open(), ["b"]);
}
