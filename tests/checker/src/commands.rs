//! I1, I2, I3 and I32: each command's answers against what it wrote, and against each other.

use std::collections::HashMap;

use event_store::record::Position;
use uuid::Uuid;

use crate::history::Stands;
use crate::report::{Invariant, Report, Violation};
use crate::run::{Outcome, Sent, Told};
use crate::scan::{Group, Log, key};

/// The answer to another request under a key.
const KEY_REUSED: &str = "idempotency-key-reused";
/// Lines of the history with one violation.
const LINES: usize = 8;

impl Sent {
    /// What was told, if something was.
    pub(crate) fn told(&self) -> Option<&Told> {
        match &self.ended {
            Some((_, Outcome::Ok { told, .. } | Outcome::Refused { told, .. })) => Some(told),
            _ => None,
        }
    }

    fn is_ok(&self) -> bool {
        matches!(self.ended, Some((_, Outcome::Ok { .. }))) && !self.call.dry_run
    }

    fn is_unknown(&self) -> bool {
        matches!(self.ended, None | Some((_, Outcome::Unknown(_)))) && !self.call.dry_run
    }

    fn is_key_reused(&self) -> bool {
        self.told().is_some_and(|told| told.code.as_deref() == Some(KEY_REUSED))
    }

    fn is_refused(&self) -> bool {
        matches!(self.ended, Some((_, Outcome::Refused { .. }))) && !self.call.dry_run && !self.is_key_reused()
    }

    /// Whether the answer is one that the key stands for from then on.
    fn is_on_record(&self) -> bool {
        self.is_ok() || self.is_refused() && self.told().is_some_and(|told| told.position.is_some())
    }

    fn is_first_hand(&self) -> bool {
        self.is_on_record()
            && matches!(
                self.ended,
                Some((_, Outcome::Ok { replayed: false, .. } | Outcome::Refused { replayed: false, .. }))
            )
    }
}

/// One command: all its sendings, and what it wrote.
struct Command<'a> {
    id: Uuid,
    sent: &'a [&'a Sent],
    groups: &'a [Group],
    log: &'a Log,
    report: &'a mut Report,
}

pub(crate) fn check(id: Uuid, sent: &[&Sent], log: &Log, report: &mut Report) {
    let mut command = Command { id, sent, groups: log.groups(id), log, report };
    command.count();
    command.once();
    for sent in command.sent {
        if sent.is_ok() {
            command.acknowledged(sent);
        } else if sent.is_refused() {
            command.refused(sent);
        } else if sent.is_key_reused() {
            command.key_reused(sent);
        }
    }
    command.one_request();
    command.one_answer();
}

impl Command<'_> {
    fn any(&self, wanted: impl Fn(&Sent) -> bool) -> bool {
        self.sent.iter().any(|sent| wanted(sent))
    }

    fn count(&mut self) {
        if self.any(Sent::is_unknown) {
            let counts = &mut self.report.counts;
            if self.sent.iter().any(|sent| sent.told().is_some()) {
                counts.resolved += 1;
            } else if self.groups.is_empty() {
                counts.unknown_absent += 1;
            } else {
                counts.unknown_written += 1;
            }
        }
    }

    /// With the lines of the whole command.
    fn add(&mut self, invariant: Invariant, what: impl Into<String>) {
        let positions: Vec<Position> = self.groups.iter().map(|group| group.last).collect();
        let lines = self.sent.iter().take(LINES).map(ToString::to_string);
        let violation = Violation::new(invariant, what).of(self.id).at(positions).lines(lines);
        self.report.add(violation);
    }

    /// What an acknowledgement is held to: more is promised after an unknown outcome, and by its own name.
    fn acknowledgement(&self) -> Invariant {
        if self.any(Sent::is_unknown) { Invariant::I3 } else { Invariant::I1 }
    }

    fn once(&mut self) {
        if self.groups.len() > 1 {
            let invariant = if self.any(Sent::is_ok) || self.any(Sent::is_unknown) {
                self.acknowledgement()
            } else {
                Invariant::I2
            };
            let what = format!("a command wrote {} groups", self.groups.len());
            self.add(invariant, what);
        }
        let only_dry = self.sent.iter().all(|sent| sent.call.dry_run);
        if only_dry && !self.groups.is_empty() {
            self.add(Invariant::I2, "a dry run wrote something");
        }
    }

    fn acknowledged(&mut self, sent: &Sent) {
        let Some(told) = sent.told() else { return };
        let invariant = self.acknowledgement();
        let Some(group) = self.groups.first() else {
            self.add(invariant, "an acknowledged command is not in the log");
            return;
        };
        if let Some(code) = group.settled.as_ref().and_then(|settled| settled.code.clone()) {
            let what = format!("an acknowledged command is in the log as refused: {code}");
            self.add(invariant, what);
        }
        let wrong = match (told.position, told.stands) {
            (None, _) => Some("the answer names no position".to_owned()),
            (Some(position), Stands::Commit) if position != group.last => {
                Some(format!("the answer names position {position}, the commit ends at {}", group.last))
            }
            (Some(position), Stands::Later) if position < group.last => {
                Some(format!("the answer stands at {position}, before its own commit's end at {}", group.last))
            }
            (Some(position), _) if position > self.log.head => {
                Some(format!("the answer stands at {position}, the log ends at {}", self.log.head))
            }
            _ => None,
        };
        if let Some(what) = wrong {
            self.add(invariant, what);
        }
        self.versions(told, invariant);
        self.expectation(sent, group);
    }

    fn versions(&mut self, told: &Told, invariant: Invariant) {
        let Some(position) = told.position else {
            return;
        };
        for (stream, version) in &told.versions {
            let was = self.log.version_at(position, stream);
            if was != *version {
                let what = format!(
                    "the answer shows version {version} of {stream:?}, which was at {was} at position {position}"
                );
                self.add(invariant, what);
            }
        }
    }

    /// I6 as the client sees it: what it asked to rest on is what it rests on.
    fn expectation(&mut self, sent: &Sent, group: &Group) {
        let Some((stream, expected)) = &sent.call.expects else {
            return;
        };
        let key = key(stream);
        if let Some((_, first, _)) = group.streams.iter().find(|(name, ..)| *name == key)
            && *first != expected + 1
        {
            let what = format!("the command was to change version {expected} of {stream:?} and wrote version {first}");
            self.add(Invariant::I6, what);
        }
    }

    fn refused(&mut self, sent: &Sent) {
        let Some(told) = sent.told() else { return };
        let Some(group) = self.groups.first() else {
            if told.position.is_some() {
                self.add(Invariant::I2, "a refusal on record is not in the log");
            }
            return;
        };
        // Another request under the key may have written what is there; then this refusal was not about the command.
        let others = self.any(|other| other.call.request != sent.call.request);
        if told.position.is_none() && others {
            return;
        }
        if !group.is_settled_only() {
            self.add(Invariant::I2, "a refused command left events");
            return;
        }
        if let Some(position) = told.position.filter(|position| *position != group.last) {
            let what = format!("the refusal names position {position}, it is on record at {}", group.last);
            self.add(Invariant::I2, what);
        }
        let recorded = group.settled.as_ref().and_then(|settled| settled.code.as_deref());
        if recorded != told.code.as_deref() {
            let what = format!("the refusal is on record as {recorded:?}");
            self.add(Invariant::I2, what);
        }
    }

    fn key_reused(&mut self, sent: &Sent) {
        if self.groups.is_empty() {
            self.add(Invariant::I32, "a key is said to stand for another request and stands for none");
        } else if !self.any(|other| other.call.request != sent.call.request) {
            self.add(Invariant::I32, "a key is said to stand for another request, and none was sent");
        }
    }

    fn one_request(&mut self) {
        let mut on_record = self.sent.iter().filter(|sent| sent.is_on_record());
        if let Some(first) = on_record.next()
            && on_record.any(|other| other.call.request != first.call.request)
        {
            self.add(Invariant::I32, "two different requests were answered under one key");
        }
    }

    /// The same answer for ever. Of the verdicts that were waited for those are compared that stand at the same place.
    fn one_answer(&mut self) {
        let first_hand = self.sent.iter().filter(|sent| sent.is_first_hand()).count();
        if first_hand > 1 {
            let what = format!("{first_hand} answers of one command say that they are the first");
            self.add(Invariant::I32, what);
        }
        let mut first: HashMap<(u128, Stands, Option<Position>), &Told> = HashMap::new();
        let on_record: Vec<&Sent> = self.sent.iter().copied().filter(|sent| sent.is_on_record()).collect();
        for sent in on_record {
            let Some(told) = sent.told() else { continue };
            let place = match told.stands {
                Stands::Commit => None,
                Stands::Later => told.position,
            };
            let first = *first.entry((sent.call.request, told.stands, place)).or_insert(told);
            if first != told {
                let what = format!("a replay differs from the first answer: {told}, first {first}");
                self.add(Invariant::I32, what);
                return;
            }
        }
    }
}
