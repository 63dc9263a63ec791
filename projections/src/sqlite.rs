//! Read models in a SQLite file of their own: one writing thread, a bounded set of readers. The file is a posting of the log and
//! nothing else: deleting it loses nothing but the time to post it again.

mod checkpoints;
mod reader;
mod schema;
mod snapshot;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use uuid::Uuid;

use crate::board::Stop;
use crate::dump::Snapshot;
use crate::store::{Checkpoint, Error, Exclusive, Making, Part, ReadStore, Slot, Statement, Takeover};
use crate::value::{Row, Spec};

/// The file's name in its folder.
pub const FILE: &str = "read.sqlite";

/// Read models in a SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Option<Arc<writer::Writer>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    readers: Arc<reader::Readers>,
}

impl Snapshot {
    /// Takes hold of the state of the file in a folder as it is now; nothing is written, so it works beside a running server.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub async fn of_file(folder: &Path) -> Result<Self, Error> {
        snapshot::open(folder).await
    }
}

impl Sqlite {
    /// Opens the file in a folder, or makes it.
    ///
    /// # Errors
    /// If it is not ours, is of a later layout, or cannot be written.
    pub async fn open(folder: &Path, readers: usize) -> Result<Arc<Self>, Error> {
        let path = folder.join(FILE);
        let file = path.clone();
        let connection = tokio::task::spawn_blocking(move || open(&file))
            .await
            .map_err(|error| Error::Write(error.to_string()))??;
        let (writer, thread) = writer::Writer::start(connection).map_err(|error| Error::Write(error.to_string()))?;
        Ok(Arc::new(Self {
            readers: Arc::new(reader::Readers::new(&path, readers)),
            path,
            writer: Mutex::new(Some(Arc::new(writer))),
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self) -> Result<Arc<writer::Writer>, Error> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)
    }
}

#[async_trait]
impl ReadStore for Sqlite {
    async fn checkpoints(&self, name: Option<&str>, slot: Slot) -> Result<Vec<Checkpoint>, Error> {
        let name = name.map(str::to_owned);
        self.readers.run(move |connection| checkpoints::read(connection, name.as_deref(), slot)).await
    }

    async fn create(&self, making: Making) -> Result<Vec<Checkpoint>, Error> {
        self.writer()?.run(move |transaction| checkpoints::create(transaction, &making)).await
    }

    async fn acquire(&self, name: &str, slot: Slot, partition: u32, owner: Uuid) -> Result<Checkpoint, Error> {
        let name = name.to_owned();
        self.writer()?.run(move |transaction| checkpoints::acquire(transaction, &name, slot, partition, owner)).await
    }

    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
        self.writer()?.run(move |transaction| writer::commit(transaction, slot, &parts)).await
    }

    async fn stop(&self, name: &str, partition: u32, epoch: u64, stop: &Stop) -> Result<(), Error> {
        let (name, stop) = (name.to_owned(), stop.clone());
        self.writer()?.run(move |transaction| checkpoints::stop(transaction, &name, partition, epoch, &stop)).await
    }

    async fn take_over(&self, spec: &'static Spec, owner: Uuid, partitions: u32) -> Result<Takeover, Error> {
        self.writer()?.run(move |transaction| checkpoints::take_over(transaction, spec, owner, partitions)).await
    }

    async fn discard(&self, spec: &'static Spec, owner: Option<Uuid>) -> Result<(), Error> {
        self.writer()?.run(move |transaction| checkpoints::discard(transaction, spec, owner)).await
    }

    /// One process has the file, and its one writing thread does one thing after the other.
    async fn exclusive(&self) -> Result<Exclusive, Error> {
        Ok(Exclusive::alone())
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        self.readers.run(move |connection| reader::read(connection, &statements)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        let folder = self.path.parent().unwrap_or(&self.path).to_owned();
        snapshot::open(&folder).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.readers.close();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                return Err(Error::Write("the writing thread did not end well".into()));
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Connection, Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::Write(error.to_string()))?;
    }
    let connection = Connection::open(path).map_err(write_error)?;
    let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(write_error)?;
    if layout > schema::LAYOUT {
        return Err(Error::Write(format!("{} was written by a later version", path.display())));
    }
    connection.execute_batch(schema::WRITER).map_err(write_error)?;
    if layout == 1 {
        connection.execute_batch(schema::FROM_1).map_err(write_error)?;
    }
    connection.execute_batch(schema::CHECKPOINT).map_err(write_error)?;
    connection.execute_batch(schema::HELD).map_err(write_error)?;
    connection.pragma_update(None, "user_version", schema::LAYOUT).map_err(write_error)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(connection)
}

fn write_error(error: rusqlite::Error) -> Error {
    Error::Write(error.to_string())
}
