//! Receives bodies: whole, within their size and their time. A body that does not arrive takes no place from those that
//! do.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemas::http::place::{Place, Waiting};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Failure;

/// How long the upload of bodies may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bodies {
    /// How long a body may take, and how long a period lasts in which content has to bring its bytes.
    pub patience: Duration,
    /// How many bytes a second content has to bring, judged after each period.
    pub slowest_bytes_per_s: u64,
    /// How long content may take in all.
    pub upload: Duration,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { patience: Duration::from_secs(30), slowest_bytes_per_s: 1_024, upload: Duration::from_secs(600) }
    }
}

impl Bodies {
    /// How many bytes each period has to bring.
    fn least(&self) -> u64 {
        let millis = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        (self.slowest_bytes_per_s.saturating_mul(millis) / 1_000).max(1)
    }
}

/// When a client that is turned away may come back.
const SOON: Duration = Duration::from_secs(1);
/// When there may be room for content again.
const LATER: Duration = Duration::from_secs(5);
/// What content is counted in.
const UNIT: usize = 1024 * 1024;
/// How much content may be held at once while it comes in: twice the largest, or many that are small.
const UNITS: usize = 512;

/// Does what waits for a client, without the request's place while there is nothing to do.
pub(super) async fn without_place<T>(
    place: Option<&Arc<Place>>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    if let Some(done) = work.as_mut().now_or_never() {
        return done;
    }
    // Where too many wait already, it keeps its place.
    let waiting = place.and_then(Place::wait);
    let done = work.await;
    // What failed has nothing more to do and needs no place for it.
    if done.is_err() || waiting.is_none_or(Waiting::back) { done } else { Err(crowded()) }
}

fn crowded() -> Failure {
    Failure::new("overloaded", "nothing was written: send the same request again").retry_after(SOON)
}

/// Reads a whole body.
pub(super) async fn whole(body: Body, largest: usize, within: Duration) -> Result<Bytes, Failure> {
    match timeout(within, Limited::new(body, largest).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(largest)),
        Ok(Err(_)) => Err(cut_off()),
        Err(_) => Err(too_slow(format!("all of it has to come within {} s", within.as_secs_f64()))),
    }
}

/// A body that is too large.
fn too_large(largest: usize) -> Failure {
    let failure = if largest == 0 {
        Failure::new("body-too-large", "no body is taken here")
    } else {
        Failure::new("body-too-large", format!("at most {largest} bytes are taken here"))
    };
    failure.with("largest", largest)
}

fn cut_off() -> Failure {
    Failure::at("malformed-body", "", "the body did not arrive whole")
}

fn too_slow(detail: String) -> Failure {
    Failure::new("body-too-slow", detail)
}

/// The memory limit for uploads.
pub(super) struct Uploads(Arc<Semaphore>);

impl Default for Uploads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

/// Memory reserved for an upload; released when it is dropped.
pub(super) struct Room {
    uploads: Arc<Semaphore>,
    taken: Vec<OwnedSemaphorePermit>,
}

impl Uploads {
    /// Room for content that has not come yet.
    pub(super) fn begin(&self) -> Room {
        Room { uploads: Arc::clone(&self.0), taken: Vec::new() }
    }
}

impl Room {
    /// Reserves space for this many bytes in all. Bytes that have not arrived take no space from those that have, and
    /// the first unit belongs to the connection.
    fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        while self.taken.len() < bytes / UNIT {
            let detail = "no more content is taken in at the moment: send it again later";
            let busy = || Failure::new("overloaded", detail).retry_after(LATER);
            self.taken.push(Arc::clone(&self.uploads).try_acquire_owned().map_err(|_| busy())?);
        }
        Ok(())
    }

    /// Reads whole content, that has to come fast enough.
    pub(super) async fn fill(&mut self, body: Body, largest: usize, bodies: Bodies) -> Result<Bytes, Failure> {
        let (mut body, mut parts, mut size) = (body, Vec::<Bytes>::new(), 0_usize);
        let begun = Instant::now();
        let until = begun + bodies.upload;
        let (mut ends, mut came) = (begun + bodies.patience, 0_u64);
        loop {
            match timeout_at(ends.min(until), body.frame()).await {
                Err(_) if Instant::now() >= until => {
                    return Err(too_slow(format!("all of it has to come within {} s", bodies.upload.as_secs_f64())));
                }
                Err(_) if came >= bodies.least() => (ends, came) = (Instant::now() + bodies.patience, 0),
                Err(_) => {
                    let (least, seconds) = (bodies.least(), bodies.patience.as_secs_f64());
                    return Err(too_slow(format!("at least {least} bytes have to come in {seconds} s")));
                }
                Ok(None) => return Ok(Bytes::from(parts.concat())),
                Ok(Some(Err(_))) => return Err(cut_off()),
                Ok(Some(Ok(frame))) => {
                    let Ok(part) = frame.into_data() else { continue };
                    (size, came) = (size + part.len(), came + part.len() as u64);
                    if size > largest {
                        return Err(too_large(largest));
                    }
                    self.grow(size)?;
                    parts.push(part);
                }
            }
        }
    }
}
