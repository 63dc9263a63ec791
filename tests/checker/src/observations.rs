//! I9: what anybody saw of the log is still there, unchanged and at the same place. The second half of I4: who reads everything sees every
//! position.

use std::iter::Peekable;
use std::vec::IntoIter;

use event_store::record::{Position, Record};

use crate::line::hex;
use crate::report::{Invariant, Report, Violation};
use crate::run::{Run, Seen, Sight};
use crate::scan::Log;

/// Compares what was seen up to a record's position with the record. `seen` is in order of position.
pub(crate) fn compare(seen: &mut Peekable<IntoIter<Seen>>, record: &Record, report: &mut Report) {
    while let Some(sight) = seen.next_if(|sight| sight.position <= record.position) {
        let wrong = if sight.position < record.position {
            Some("a position that was seen is not there".to_owned())
        } else {
            differs(&sight.sight, record)
        };
        if let Some(what) = wrong {
            add(what, &sight, report);
        }
    }
}

fn differs(sight: &Sight, record: &Record) -> Option<String> {
    match sight {
        Sight::Hash(hash) if *hash != record.hash => {
            Some(format!("a record that was seen is another one now, with hash {}", hex(&record.hash)))
        }
        Sight::Event(id) if *id != record.event_id => {
            Some(format!("an event that was seen is another one now: {}", record.event_id))
        }
        _ => None,
    }
}

/// What was seen beyond the end.
pub(crate) fn lost(seen: Peekable<IntoIter<Seen>>, head: Position, report: &mut Report) {
    for sight in seen {
        add(format!("a position that was seen is lost: the log ends at {head}"), &sight, report);
    }
}

fn add(what: String, sight: &Seen, report: &mut Report) {
    let violation = Violation::new(Invariant::I9, what).at([sight.position]);
    report.add(violation.lines([sight.to_string()]));
}

/// Readers that did not see everything, and reads that showed what the log does not have.
pub(crate) fn check(run: &Run, log: &Log, report: &mut Report) {
    for jump in &run.jumps {
        let what = format!("{} reads everything and saw {} after {}", jump.client, jump.saw, jump.after);
        report.add(Violation::new(Invariant::I4, what).at([jump.after, jump.saw]));
    }
    for read in &run.reads {
        let last = log.last_version(&read.stream);
        if read.version > last {
            let what = format!("a version that was shown is lost: {last} is the last");
            report.add(Violation::new(Invariant::I9, what).lines([read.to_string()]));
        }
        if let Some(position) = read.position.filter(|position| *position > log.head) {
            let what = format!("a position that was shown is lost: the log ends at {}", log.head);
            let violation = Violation::new(Invariant::I9, what).at([position]);
            report.add(violation.lines([read.to_string()]));
        }
    }
}
