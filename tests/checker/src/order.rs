//! I10, real-time order: what was acknowledged, or seen in the log, before a command was sent comes before it in the log.

use std::borrow::Cow;

use event_store::record::Position;
use uuid::Uuid;

use crate::report::{Invariant, Report, Violation};
use crate::run::{Outcome, Run, Seen, Sent};
use crate::scan::Log;

/// Something that was in the log for sure by a moment.
struct Known<'a> {
    tick: u64,
    position: Position,
    line: Line<'a>,
}

enum Line<'a> {
    Sent(&'a Sent),
    Seen(&'a Seen),
}

impl Line<'_> {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Sent(sent) => sent.to_string().into(),
            Self::Seen(seen) => seen.to_string().into(),
        }
    }
}

pub(crate) fn check(commands: &[(Uuid, Vec<&Sent>)], run: &Run, log: &Log, report: &mut Report) {
    let mut known: Vec<Known<'_>> = run
        .seen
        .iter()
        .map(|seen| Known { tick: seen.at.tick, position: seen.position, line: Line::Seen(seen) })
        .collect();
    let mut asked: Vec<(u64, Position, &Sent)> = Vec::new();
    for (id, sent) in commands {
        let [group, ..] = log.groups(*id) else {
            continue;
        };
        if let Some(first) = sent.first() {
            asked.push((first.invoked.tick, group.first, first));
        }
        known.extend(
            sent.iter()
                .filter_map(|sent| Some(Known { tick: told_at(sent)?, position: group.last, line: Line::Sent(sent) })),
        );
    }
    known.sort_by_key(|known| known.tick);
    asked.sort_by_key(|(tick, ..)| *tick);
    let mut known = known.into_iter().peekable();
    let mut newest: Option<Known<'_>> = None;
    for (tick, position, sent) in asked {
        while let Some(next) = known.next_if(|known| known.tick < tick) {
            if newest.as_ref().is_none_or(|newest| newest.position < next.position) {
                newest = Some(next);
            }
        }
        if let Some(newest) = newest.as_ref().filter(|newest| newest.position >= position) {
            let what = "a command comes before what was there when it was sent";
            report.add(
                Violation::new(Invariant::I10, what)
                    .of(sent.call.command_id)
                    .at([newest.position, position])
                    .lines([newest.line.text().into_owned(), sent.to_string()]),
            );
        }
    }
}

/// When a sending was answered in a way that says that the command's group is in the log.
fn told_at(sent: &Sent) -> Option<u64> {
    match &sent.ended {
        Some((at, Outcome::Ok { .. })) if !sent.call.dry_run => Some(at.tick),
        Some((at, Outcome::Refused { told, .. })) if told.position.is_some() => Some(at.tick),
        _ => None,
    }
}
