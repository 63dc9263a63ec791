//! A small pool of readers. Each use is on a thread that may block, never on the runtime's own; at most as many at once as
//! there are connections.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

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
    pub(super) fn new(
        dir: PathBuf,
        most: usize,
        open: fn(&std::path::Path) -> Result<Reader, OpenError>,
    ) -> Self {
        let most = most.max(1);
        Self {
            dir,
            open,
            free: Arc::default(),
            permits: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// Runs `read` with a reader of its own.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Error::Closed)?;
        let (free, open, dir) = (Arc::clone(&self.free), self.open, self.dir.clone());
        let work = move || {
            // Held until the connection is back, also where nobody waits for the answer any more.
            let _permit = permit;
            let idle = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut reader = match idle {
                Some(reader) => reader,
                None => open(&dir).map_err(|error| Error::Read(error.to_string()))?,
            };
            let answer = read(&mut reader);
            // After an error the connection may be in any state: the next one is new.
            if answer.is_ok() && reader.log.is_autocommit() {
                free.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(reader);
            }
            answer
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(error) => Err(Error::Read(error.to_string())),
        }
    }

    /// Lets those finish that read now, then closes the connections.
    pub(super) async fn close(&self) {
        let all = self
            .permits
            .acquire_many(u32::try_from(self.most).unwrap_or(u32::MAX))
            .await;
        self.permits.close();
        drop(all);
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
