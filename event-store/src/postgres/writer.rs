//! The one task of a process that writes the log: takes waiting batches, writes them in one transaction, and publishes
//! and answers them only after the commit. As a separate task it cannot be cancelled half-way by a dropped caller. If a
//! commit was not answered, it appends the same batches again under the lock: batches that are already in the log are
//! then found by their command ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::commit::{Failure, Written, commit, keep_answered};
use super::connect::{connect_to_write, within};
use super::group::{Care, Found, Judge, Verdict};
use super::open::OpenError;
use super::queue::{Job, Prepared};
use super::reader;
use super::rows;
use super::shared::Shared;
use crate::append::Outcome;
use crate::limits::Weight;
use crate::store::{Error, Head, Trouble};

/// The first pause before something is tried again; each later one is twice as long, up to the longest.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Option<PgConnection>,
    pub(super) judge: Judge,
}

/// Ensures that no caller waits forever, however the writer ends.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the writer panicked");
        }
        for job in self.0.queue.abandon() {
            job.refuse(&Error::Closed);
        }
    }
}

/// The commands whose commit was not answered, with their first events.
type Doubt = HashMap<Uuid, Uuid>;

impl Writer {
    pub(super) async fn run(mut self) {
        let _ends = Ends(Arc::clone(&self.shared));
        let shared = Arc::clone(&self.shared);
        let bound = Weight { events: shared.options.group_events, bytes: shared.options.group_bytes };
        while let Some(jobs) = shared.queue.take(bound).await {
            if !self.write_group(jobs).await {
                return;
            }
        }
        if let Some(mut connection) = self.connection.take() {
            if let Err(error) = keep_answered(&mut connection, &shared).await {
                tracing::warn!(%error, "the latest queried instant could not be stored; do not set the clock back");
            }
            let _ = within(Duration::from_secs(1), connection.close()).await;
        }
    }

    /// Writes a group and answers its callers, with retries within the patience. False: the log is not the one that was
    /// opened.
    async fn write_group(&mut self, jobs: Vec<Job>) -> bool {
        let begun = Instant::now();
        let (mut doubt, mut care, mut pause) = (Doubt::new(), Care::Usual, PAUSE);
        loop {
            let why = match self.attempt(&jobs, care).await {
                Ok(written) => {
                    self.finish(jobs, written, doubt, begun);
                    return true;
                }
                Err(Failure::Clash(_)) if care == Care::Usual => {
                    metrics::counter!("daybook_store_clashes_total").increment(1);
                    care = Care::Full;
                    continue;
                }
                Err(Failure::Clash(why) | Failure::NotNow(why)) => {
                    self.give_up(jobs, &doubt, &why);
                    return true;
                }
                Err(Failure::Foreign(why)) => {
                    self.shared.fail(&why);
                    self.give_up(jobs, &doubt, &why);
                    return false;
                }
                Err(Failure::Again(why)) => why,
                Err(Failure::Unknown(why, accepted)) => {
                    tracing::warn!(
                        error = why,
                        batches = accepted.len(),
                        "a commit was not answered; its outcome is being looked up, nothing to do"
                    );
                    metrics::counter!("daybook_store_unknown_commits_total").increment(1);
                    doubt.extend(accepted);
                    care = Care::Full;
                    why
                }
            };
            self.shared.trouble.send_replace(Trouble::now(&why));
            // A store that is being closed waits once, and not once for each group.
            let since = self.shared.queue.closed().map_or(begun, |closed| closed.min(begun));
            if since.elapsed() + pause > self.shared.options.patience {
                self.give_up(jobs, &doubt, &why);
                return true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One transaction. A connection with any failure is discarded: its pending answers are ignored, and the server
    /// rolls back the open transaction.
    async fn attempt(&mut self, jobs: &[Job], care: Care) -> Result<Written, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        let mut written = commit(&mut connection, &self.shared, &mut self.judge, jobs, care).await?;
        self.connection = Some(connection);
        self.judge.commit(written.head);
        self.shared.recent.put(std::mem::take(&mut written.records));
        self.shared.publish(written.head);
        self.shared.trouble.send_if_modified(|trouble| trouble.take().is_some());
        Ok(written)
    }

    /// A new connection, to a server that is safe to write to and holds the log that was opened.
    async fn reconnect(&mut self) -> Result<PgConnection, Failure> {
        let again = |error: &dyn std::fmt::Display| Failure::Again(error.to_string());
        let mut connection = connect_to_write(&self.shared.address, self.shared.options.patience).await.map_err(
            |error| match error {
                OpenError::Postgres(error) => again(&error),
                other => again(&other),
            },
        )?;
        let known = self.judge.known;
        if known.position > 0 {
            let asked = sqlx::query("SELECT hash FROM daybook.events WHERE position = $1")
                .bind(rows::signed(known.position))
                .fetch_optional(&mut connection);
            let found = within(self.shared.options.stall, asked).await.map_err(|error| again(&error))?;
            let hash =
                found.map(|row| row.try_get(0).and_then(rows::hash)).transpose().map_err(|error| again(&error))?;
            if hash != Some(known.hash) {
                return Err(Failure::Foreign(format!(
                    "position {} holds another record than before, or none: the log was restored, or a standby that lacks its end \
                     took over",
                    known.position
                )));
            }
        }
        tracing::debug!("the writer has a new connection");
        Ok(connection)
    }

    /// Answers a group that is durable.
    fn finish(&self, jobs: Vec<Job>, written: Written, mut doubt: Doubt, begun: Instant) {
        let Written { judged, head, now, receipts, .. } = written;
        if !judged.accepted.is_empty() {
            self.shared.moved.notify_one();
            measure(&judged, begun, self.shared.queue.len());
        }
        for (job, verdict) in jobs.into_iter().zip(judged.verdicts) {
            let prepared = match job {
                Job::Barrier { reply, .. } => {
                    let _ = reply.send(Ok((head, now)));
                    continue;
                }
                Job::Append(prepared) => prepared,
            };
            match verdict {
                Verdict::Accepted(place) => {
                    prepared.answer(Ok(Outcome::Appended(receipts[place].clone())));
                }
                Verdict::Repeated(place) => {
                    let outcome = receipts[place].clone().repeated(&prepared.batch.fingerprint);
                    prepared.answer(Ok(outcome));
                }
                Verdict::Conflict(outcome) => {
                    metrics::counter!("daybook_store_conflicts_total").increment(1);
                    prepared.answer(Ok(outcome));
                }
                Verdict::Found(found) => {
                    // The first job of a command that was in doubt is the one that put it there; those after it repeat it.
                    let own = doubt.remove(&prepared.batch.command_id) == Some(found.event_id);
                    self.answer_found(prepared, found, own);
                }
                Verdict::Barrier => {}
            }
        }
    }

    /// Reads the events of an earlier command, beside the writer, and answers.
    fn answer_found(&self, prepared: Prepared, found: Found, own: bool) {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            let outcome = match reader::receipt(&shared, found.first).await {
                Ok(receipt) if own => Ok(Outcome::Appended(receipt)),
                Ok(receipt) => Ok(receipt.repeated(&prepared.batch.fingerprint)),
                Err(damaged @ Error::Damaged { .. }) if !own => Err(damaged),
                Err(error) => Err(Error::Unknown(format!(
                    "the command is in the log at position {}, but its receipt could not be read: {error}",
                    found.first
                ))),
            };
            prepared.answer(outcome);
        });
    }

    /// Reports to all callers of a group that it was not written, or may not have been.
    fn give_up(&mut self, jobs: Vec<Job>, doubt: &Doubt, why: &str) {
        tracing::warn!(
            error = why,
            batches = jobs.len(),
            doubtful = doubt.len(),
            "a group was not committed; its requests are answered 503, see docs/operations.md, 'PostgreSQL is away'"
        );
        metrics::counter!("daybook_store_group_failures_total").increment(1);
        self.shared.trouble.send_replace(Trouble::now(why));
        self.judge.forget();
        for job in jobs {
            let doubtful = match &job {
                Job::Append(prepared) => doubt.contains_key(&prepared.batch.command_id),
                Job::Barrier { .. } => false,
            };
            job.refuse(&if doubtful { Error::Unknown(why.to_owned()) } else { Error::NotNow(why.to_owned()) });
        }
    }
}

fn measure(judged: &super::group::Judged, begun: Instant, queued: usize) {
    metrics::counter!("daybook_store_group_commits_total").increment(1);
    metrics::counter!("daybook_store_events_total").increment(judged.events as u64);
    metrics::counter!("daybook_store_bytes_total").increment(judged.bytes as u64);
    metrics::histogram!("daybook_store_group_events").record(judged.events as f64);
    metrics::histogram!("daybook_store_commit_seconds").record(begun.elapsed().as_secs_f64());
    metrics::gauge!("daybook_store_queue_depth").set(queued as f64);
}

/// Where a store that was just opened begins.
pub(super) fn judge(shared: &Shared, head: Head) -> Judge {
    let now = (crate::clock::system_clock())() / 1_000;
    Judge::new(shared.options.heads, head, u64::try_from(now).unwrap_or(0))
}
