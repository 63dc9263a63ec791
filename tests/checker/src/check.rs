//! The check as a whole: what the history needs to know of the log, one pass over the log, then the comparisons.

use std::collections::HashMap;

use event_store::{Error, EventStore};
use uuid::Uuid;

use crate::history::History;
use crate::report::{Counts, Report};
use crate::run::{Outcome, Run, Sent};
use crate::scan::{Wanted, scan};
use crate::{commands, observations, order, reads};

/// Holds a history against the log, from the first record to the head as it stands when the pass gets there. Asked while the system
/// rests: a command that is still under way is of unknown outcome.
///
/// Memory: what the history holds, once more; about 64 bytes for each stream of the log; two times what [`crate::distinct`] says.
///
/// # Errors
/// If the log cannot be read, or there is no room for temporary files. A log that is found damaged is no error but a violation.
pub async fn check(history: &History, store: &dyn EventStore) -> Result<Report, Error> {
    let run = history.snapshot();
    let commands = by_command(&run);
    let mut report = Report { counts: counts(&run, &commands), ..Report::default() };
    let log = scan(store, Wanted::of(&run), &mut report).await?;
    for (id, sent) in &commands {
        commands::check(*id, sent, &log, &mut report);
    }
    observations::check(&run, &log, &mut report);
    order::check(&commands, &run, &log, &mut report);
    reads::check(&run, &log, &mut report);
    Ok(report)
}

/// The sendings of each command, in the order in which commands were first sent.
fn by_command(run: &Run) -> Vec<(Uuid, Vec<&Sent>)> {
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    let mut commands: Vec<(Uuid, Vec<&Sent>)> = Vec::new();
    for sent in &run.sent {
        let id = sent.call.command_id;
        let place = *places.entry(id).or_insert_with(|| {
            commands.push((id, Vec::new()));
            commands.len() - 1
        });
        commands[place].1.push(sent);
    }
    commands
}

fn counts(run: &Run, commands: &[(Uuid, Vec<&Sent>)]) -> Counts {
    let mut counts = Counts {
        commands: commands.len() as u64,
        invocations: run.sent.len() as u64,
        reads: run.reads.len() as u64,
        reads_unanswered: run.unanswered_reads,
        observations: run.seen.len() as u64,
        ..Counts::default()
    };
    for sent in &run.sent {
        match &sent.ended {
            Some((_, Outcome::Ok { replayed, .. })) => {
                counts.ok += 1;
                counts.replayed += u64::from(*replayed);
            }
            Some((_, Outcome::Refused { replayed, .. })) => {
                counts.refused += 1;
                counts.replayed += u64::from(*replayed);
            }
            Some((_, Outcome::Unknown(_))) | None => counts.unknown += 1,
        }
    }
    counts
}
