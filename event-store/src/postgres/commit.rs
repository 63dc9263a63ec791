//! One group in one transaction: lock the head, look up, judge, insert, move the head, commit. The lock and the
//! look-ups are separate statements, because a statement sees what was committed before it began: a statement that
//! waited for the lock itself would miss the group before. A failure before the commit is sent means that nothing was
//! written; a later failure leaves the outcome unknown.

use std::sync::atomic::Ordering;

use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Row};
use uuid::Uuid;

use super::connect::{is_lost, within};
use super::group::{Care, Commands, Found, Judge, Judged, Questions};
use super::queue::Job;
use super::row_writer::Rows;
use super::rows::{self, HeadRow, LOCK_HEAD, unsigned};
use super::shared::Shared;
use crate::append::Receipt;
use crate::heads::StreamHead;
use crate::placing::place;
use crate::record::{Micros, Record};
use crate::store::Head;

/// Why a group is not in the log, or may not be.
pub(super) enum Failure {
    /// It is not in the log; either the connection is unusable, or a retry may succeed.
    Again(String),
    /// It is not in the log: a row exists that was not looked up.
    Clash(String),
    /// It is not in the log, and an immediate retry will hardly help: for example, the disk is full or the session may
    /// not write.
    NotNow(String),
    /// It may or may not be: the commands that were accepted, with their first events.
    Unknown(String, Vec<(Uuid, Uuid)>),
    /// The log is not the one that was opened.
    Foreign(String),
}

/// A group that is durable.
pub(super) struct Written {
    pub(super) judged: Judged,
    pub(super) head: Head,
    /// The store's time when the head was locked.
    pub(super) now: Micros,
    pub(super) receipts: Vec<Receipt>,
    pub(super) records: Vec<Record>,
}

/// Looks up the heads of streams and the positions of commands in one statement. Each is found by its index, for any
/// number of them.
const LOOK_UP: &str = "
SELECT false, k.n, e.version, e.event_id
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) WITH ORDINALITY AS k (tenant, category, stream_id, n)
CROSS JOIN LATERAL (
  SELECT version, event_id FROM daybook.events
  WHERE tenant = k.tenant AND category = k.category AND stream_id = k.stream_id ORDER BY version DESC LIMIT 1) e
UNION ALL
SELECT true, k.n, e.position, e.event_id
FROM unnest($4::uuid[]) WITH ORDINALITY AS k (command_id, n)
CROSS JOIN LATERAL (
  SELECT position, event_id FROM daybook.events
  WHERE command_id = k.command_id AND fingerprint IS NOT NULL LIMIT 1) e";

/// Judges and writes the jobs of a group.
pub(super) async fn commit(
    connection: &mut PgConnection,
    shared: &Shared,
    judge: &mut Judge,
    jobs: &[Job],
    care: Care,
) -> Result<Written, Failure> {
    let stall = shared.options.stall;
    let before = async {
        let locked = lock(connection, shared, judge, care).await?;
        let questions = judge.questions(jobs, care);
        let mut commands = look_up(connection, judge, questions).await?;
        let mut judged = judge.judge(jobs, &commands);
        let unsure = Questions { commands: judge.unsure(jobs, &judged, care), ..Questions::default() };
        let found = look_up(connection, judge, unsure).await?;
        if !found.is_empty() {
            // A batch that is refused leaves no trace, so for the others nothing is different.
            judge.heads.roll_back();
            commands.extend(found);
            judged = judge.judge(jobs, &commands);
        }
        let placed = write(connection, shared, &locked, jobs, &judged).await?;
        Ok((judged, placed, shared.clock.recording(&locked)))
    };
    let done = within_failure(stall + super::connect::CONNECT * 2, before).await;
    let (judged, placed, now) = match done {
        Ok(done) => done,
        Err(failure) => {
            judge.heads.roll_back();
            return Err(failure);
        }
    };
    // Sent alone, in the simple protocol: no later statement can make a successful commit look failed.
    let wrote = !judged.accepted.is_empty();
    let end = if wrote { "COMMIT" } else { "ROLLBACK" };
    if let Err(error) = within(stall, sqlx::raw_sql(end).execute(connection)).await {
        judge.heads.roll_back();
        return Err(if wrote {
            let accepted = judged.accepted.iter().filter_map(|accepted| first(&jobs[accepted.job]));
            Failure::Unknown(format!("the commit was not answered: {error}"), accepted.collect())
        } else {
            Failure::Again(error.to_string())
        });
    }
    let Placed { head, receipts, records } = placed;
    Ok(Written { judged, head, now, receipts, records })
}

/// A batch's command and its first event.
fn first(job: &Job) -> Option<(Uuid, Uuid)> {
    let Job::Append(prepared) = job else {
        return None;
    };
    let mut events = prepared.batch.writes.iter().flat_map(|write| &write.events);
    Some((prepared.batch.command_id, events.next()?.event_id))
}

async fn within_failure<T>(
    limit: std::time::Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Failure::Again("the server did not answer".into())))
}

/// Locks the head. What was read of it before stays right as long as no other process writes.
async fn lock(
    connection: &mut PgConnection,
    shared: &Shared,
    judge: &mut Judge,
    care: Care,
) -> Result<HeadRow, Failure> {
    let row = sqlx::raw_sql(LOCK_HEAD).fetch_one(connection).await.map_err(|error| not_written(&error))?;
    let locked = rows::head(&row).map_err(|error| not_written(&error))?;
    if locked.incarnation != shared.incarnation {
        return Err(Failure::Foreign("the database holds another log now".into()));
    }
    let (found, known) = (locked.head, judge.known);
    if found.position < known.position || (found.position == known.position && found.hash != known.hash) {
        return Err(Failure::Foreign(format!(
            "the log ends at position {} now, after it was seen at {}: it was restored from a backup, or a standby \
             that lacks its end took over",
            found.position, known.position
        )));
    }
    if found.position != known.position || care == Care::Full {
        judge.forget();
    }
    Ok(locked)
}

/// Finds what the judge does not know.
async fn look_up(
    connection: &mut PgConnection,
    judge: &mut Judge,
    questions: Questions<'_>,
) -> Result<Commands, Failure> {
    let mut commands = Commands::new();
    if questions.streams.is_empty() && questions.commands.is_empty() {
        return Ok(commands);
    }
    metrics::counter!("daybook_store_head_lookups_total").increment(questions.streams.len() as u64);
    let part = |name: fn(&crate::record::StreamId) -> &str| {
        let names = questions.streams.iter();
        names.map(|stream| name(stream).as_bytes()).collect::<Vec<_>>()
    };
    let found = sqlx::query::<Postgres>(LOOK_UP)
        .bind(part(|stream| &stream.tenant))
        .bind(part(|stream| &stream.category))
        .bind(part(|stream| &stream.id))
        .bind(&questions.commands)
        .fetch_all(connection)
        .await
        .map_err(|error| not_written(&error))?;
    for row in found {
        let mut read = || {
            let (place, number) = (unsigned(&row, 1)? as usize - 1, unsigned(&row, 2)?);
            let event_id = row.try_get(3)?;
            if row.try_get(0)? {
                let found = Found { first: number, event_id };
                commands.insert(questions.commands[place], found);
            } else {
                let head = StreamHead { version: number, event_id };
                judge.heads.keep(questions.keys[place], head);
            }
            Ok(())
        };
        read().map_err(|error: sqlx::Error| not_written(&error))?;
    }
    Ok(commands)
}

/// What the accepted batches of a group became, and the head after them.
struct Placed {
    head: Head,
    receipts: Vec<Receipt>,
    records: Vec<Record>,
}

/// Inserts the accepted batches in the open transaction and moves the head.
async fn write(
    connection: &mut PgConnection,
    shared: &Shared,
    locked: &HeadRow,
    jobs: &[Job],
    judged: &Judged,
) -> Result<Placed, Failure> {
    // Nothing is recorded at an instant that this handle has answered, even if the clock is set back. An instant that
    // is only queried is not written: other processes use the server's clock, which was past the instant when the head
    // was locked for the answer.
    let asked = judged.asked.unwrap_or(Micros::MIN);
    let answered_to = locked.answered_to.max(shared.answered_to.fetch_max(asked, Ordering::AcqRel)).max(asked);
    let mut placed = Placed { head: locked.head, receipts: Vec::new(), records: Vec::new() };
    if judged.accepted.is_empty() {
        return Ok(placed);
    }
    let Placed { head, receipts, records } = &mut placed;
    let now = shared.clock.recording(locked);
    head.recorded_at = now.max(locked.head.recorded_at + 1).max(answered_to.saturating_add(1));
    for accepted in &judged.accepted {
        if let Job::Append(prepared) = &jobs[accepted.job] {
            let starts = &judged.starts[accepted.starts_at..];
            receipts.push(place(&prepared.batch, &prepared.leaves, starts, head, records));
        }
    }
    let rows = Rows::of(records);
    rows.write(connection, locked.head, *head, answered_to).await.map_err(|error| not_written(&error))?;
    Ok(placed)
}

/// Keeps the latest instant that this handle has answered, for the process that opens the log next.
pub(super) async fn keep_answered(connection: &mut PgConnection, shared: &Shared) -> sqlx::Result<()> {
    let answered_to = shared.answered_to.load(Ordering::Acquire);
    if answered_to == Micros::MIN {
        return Ok(());
    }
    let kept = sqlx::query("UPDATE daybook.head SET answered_to = $1 WHERE answered_to < $1").bind(answered_to);
    within(shared.options.stall, kept.execute(connection)).await.map(drop)
}

/// A failure before the commit was sent: nothing was written.
fn not_written(error: &sqlx::Error) -> Failure {
    let code = match error {
        sqlx::Error::Database(error) => error.code().unwrap_or_default().into_owned(),
        _ => String::new(),
    };
    let why = format!("the log cannot be written: {error}");
    match code.as_str() {
        "23505" => Failure::Clash(why),
        // The lock was not available in time, or the server aborted this transaction to resolve a deadlock.
        "55P03" | "40001" | "40P01" => Failure::Again(why),
        _ if is_lost(error) => Failure::Again(why),
        _ => Failure::NotNow(why),
    }
}
