//! A small pool of readers. Each use is on a thread that may block, never on the runtime's own; at most as many at once as
//! there are connections.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::open::OpenError;
use super::reader::Reader;
use crate::store::Error;

pub(super) struct Readers {
    dir: PathBuf,
    open: fn(&std::path::Path) -> Result<Reader, OpenError>,
    free: Arc<Mutex<Vec<Reader>>>,
    permits: Arc<Semaphore>,
    most: usize,
}

impl Readers {
    pub(super) fn new(dir: PathBuf, most: usize, open: fn(&std::path::Path) -> Result<Reader, OpenError>) -> Self {
        let most = most.max(1);
        Self { dir, open, free: Arc::default(), permits: Arc::new(Semaphore::new(most)), most }
    }

    /// Runs `read` with a reader on a separate thread.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permits = Arc::clone(&self.permits);
        let (free, open, dir) = (Arc::clone(&self.free), self.open, self.dir.clone());
        let work = move |permit| {
            // Held until the connection is back, even if the caller has stopped waiting.
            let _permit: OwnedSemaphorePermit = permit;
            let idle = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut reader = match idle {
                Some(reader) => reader,
                None => open(&dir).map_err(|error| Error::Read(error.to_string()))?,
            };
            let answer = read(&mut reader);
            // After an error the connection may be in any state: the next one is new.
            if answer.is_ok() && reader.log.is_autocommit() {
                free.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            }
            answer
        };
        // A separate task waits for the connection. A caller that reads many things at once may leave some of its
        // futures unpolled while it waits for another read; if one of those had received the last connection, all reads
        // would block forever.
        let task = tokio::spawn(async move {
            let permit = permits.acquire_owned().await.map_err(|_| Error::Closed)?;
            match tokio::task::spawn_blocking(move || work(permit)).await {
                Ok(answer) => answer,
                Err(error) => Err(Error::Read(error.to_string())),
            }
        });
        task.await.unwrap_or_else(|error| Err(Error::Read(error.to_string())))
    }

    /// Lets those finish that read now, then closes the connections.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(u32::try_from(self.most).unwrap_or(u32::MAX)).await;
        self.permits.close();
        drop(all);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use crate::record::StreamId;
    use crate::sqlite::{Options, Store};
    use crate::{Direction, EventStore};

    #[tokio::test]
    async fn reads_that_nobody_polls_keep_no_other_from_reading() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path());
        options.readers = 1;
        let store = Store::open(options).unwrap();
        let stream = StreamId::new("t", "order", "1");
        let read = || store.read_stream(&stream, 1, Direction::Forwards, 1);
        let mut begun: Vec<_> = (0..4).map(|_| read()).collect();
        for read in &mut begun {
            poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_ready())).await;
        }
        let last = tokio::time::timeout(Duration::from_secs(10), read()).await;
        assert!(last.is_ok(), "a read waits for those that nobody polls");
        store.close().await.unwrap();
    }
}
