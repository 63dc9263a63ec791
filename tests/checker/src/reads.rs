//! I29: a read shows at least the position that was asked for and at least the one that it says it shows; a session never goes back.

use std::collections::HashMap;

use crate::report::{Invariant, Report, Violation};
use crate::run::{Read, Run};
use crate::scan::{Log, key};

pub(crate) fn check(run: &Run, log: &Log, report: &mut Report) {
    for read in &run.reads {
        alone(read, log, report);
    }
    sessions(run, report);
}

fn alone(read: &Read, log: &Log, report: &mut Report) {
    let mut older = |what: String| {
        let positions = [read.min_position, read.position].into_iter().flatten();
        let violation = Violation::new(Invariant::I29, what).at(positions);
        report.add(violation.lines([read.to_string()]));
    };
    if let (Some(wanted), Some(shown)) = (read.min_position, read.position)
        && shown < wanted
    {
        older(format!("{wanted} was asked for and {shown} was shown"));
    }
    for position in [read.min_position, read.position].into_iter().flatten() {
        let version = log.version_at(position, &read.stream);
        if read.version < version {
            older(format!("version {} was shown, and at {position} it was version {version}", read.version));
        }
    }
}

/// What a client was shown before a read began is the least that the read may show.
fn sessions(run: &Run, report: &mut Report) {
    let mut sessions: HashMap<(&str, u128), Vec<&Read>> = HashMap::new();
    for read in &run.reads {
        let session = (&*read.client, key(&read.stream));
        sessions.entry(session).or_default().push(read);
    }
    for reads in sessions.into_values() {
        let mut begun = reads.clone();
        begun.sort_by_key(|read| read.invoked.tick);
        let mut ended = reads;
        ended.sort_by_key(|read| read.ended.tick);
        let mut ended = ended.into_iter().peekable();
        let mut newest: Option<&Read> = None;
        for read in begun {
            while let Some(before) = ended.next_if(|before| before.ended.tick < read.invoked.tick) {
                if newest.is_none_or(|newest| newest.version < before.version) {
                    newest = Some(before);
                }
            }
            if let Some(newest) = newest.filter(|newest| newest.version > read.version) {
                let what = "a session went back";
                report.add(Violation::new(Invariant::I29, what).lines([newest.to_string(), read.to_string()]));
            }
        }
    }
}
