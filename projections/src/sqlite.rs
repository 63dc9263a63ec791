//! Read models in a separate SQLite file: one writing thread, a bounded set of readers. The file is a projection of the
//! log: deleting it loses only the time to rebuild it.

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

/// Layouts are counted by ones: a file that says more has a damaged header.
const MOST_LAYOUTS: i64 = 1_000;
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
    /// A snapshot of the file in a folder; nothing is written, so it works beside a running server.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub async fn of_file(folder: &Path) -> Result<Self, Error> {
        snapshot::open(folder).await
    }
}

impl Sqlite {
    /// Opens the file in a folder, or creates it. A damaged file is set aside and replaced by a new one.
    ///
    /// # Errors
    /// If it cannot be written, or a later version has written it.
    pub async fn open(folder: &Path, readers: usize) -> Result<Arc<Self>, Error> {
        let path = folder.join(FILE);
        let file = path.clone();
        let connection = tokio::task::spawn_blocking(move || open_whole(&file))
            .await
            .map_err(|error| Error::Write(error.to_string()))??;
        let (writer, thread) =
            writer::Writer::start(connection, &path).map_err(|error| Error::Write(error.to_string()))?;
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

    /// Marks a file whose damage was found at run time, so that the next start sets it aside and rebuilds it.
    fn noticed<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Damaged(why)) = &done
            && let Err(error) = std::fs::write(mark(&self.path), why)
        {
            tracing::error!(
                %error,
                file = %self.path.display(),
                "a damaged file cannot be marked; remove it before the next start"
            );
        }
        done
    }

    fn writer(&self) -> Result<Arc<writer::Writer>, Error> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)
    }
}

#[async_trait]
impl ReadStore for Sqlite {
    async fn checkpoints(&self, name: Option<&str>, slot: Slot) -> Result<Vec<Checkpoint>, Error> {
        let name = name.map(str::to_owned);
        let done = self.readers.run(move |connection| checkpoints::read(connection, name.as_deref(), slot)).await;
        self.noticed(done)
    }

    async fn create(&self, making: Making) -> Result<Vec<Checkpoint>, Error> {
        let done = self.writer()?.run(move |transaction| checkpoints::create(transaction, &making)).await;
        self.noticed(done)
    }

    async fn acquire(&self, name: &str, slot: Slot, partition: u32, owner: Uuid) -> Result<Checkpoint, Error> {
        let name = name.to_owned();
        let done = self
            .writer()?
            .run(move |transaction| checkpoints::acquire(transaction, &name, slot, partition, owner))
            .await;
        self.noticed(done)
    }

    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
        let done = self.writer()?.run(move |transaction| writer::commit(transaction, slot, &parts)).await;
        self.noticed(done)
    }

    async fn stop(&self, name: &str, partition: u32, epoch: u64, stop: &Stop) -> Result<(), Error> {
        let (name, stop) = (name.to_owned(), stop.clone());
        let done =
            self.writer()?.run(move |transaction| checkpoints::stop(transaction, &name, partition, epoch, &stop)).await;
        self.noticed(done)
    }

    async fn take_over(&self, spec: &'static Spec, owner: Uuid, partitions: u32) -> Result<Takeover, Error> {
        let done =
            self.writer()?.run(move |transaction| checkpoints::take_over(transaction, spec, owner, partitions)).await;
        self.noticed(done)
    }

    async fn discard(&self, spec: &'static Spec, owner: Option<Uuid>) -> Result<(), Error> {
        let done = self.writer()?.run(move |transaction| checkpoints::discard(transaction, spec, owner)).await;
        self.noticed(done)
    }

    /// One process has the file, and its one writing thread does one thing after the other.
    async fn exclusive(&self) -> Result<Exclusive, Error> {
        Ok(Exclusive::alone())
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        let done = self.readers.run(move |connection| reader::read(connection, &statements)).await;
        self.noticed(done)
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
                return Err(Error::Write("the writing thread panicked".into()));
            }
        }
        Ok(())
    }
}

/// The file beside one whose damage was met at work.
fn mark(path: &Path) -> PathBuf {
    path.with_extension("sqlite.is-damaged")
}

/// Opens the file; a damaged one is set aside first.
fn open_whole(path: &Path) -> Result<Connection, Error> {
    let mark = mark(path);
    if let Ok(why) = std::fs::read_to_string(&mark) {
        set_aside(path, &why)?;
        std::fs::remove_file(&mark).map_err(|error| Error::Write(error.to_string()))?;
    }
    match open(path) {
        Err(Error::Damaged(why)) => {
            set_aside(path, &why)?;
            open(path)
        }
        opened => opened,
    }
}

/// Moves a damaged file out of the way.
fn set_aside(path: &Path, why: &str) -> Result<(), Error> {
    let aside = event_store::sqlite::set_aside(path)
        .map_err(|error| Error::Write(format!("the damaged {} cannot be set aside: {error}", path.display())))?;
    tracing::error!(
        file = %path.display(),
        aside = %aside.display(),
        why,
        "the file of the read models is damaged and was set aside; all of them are rebuilt from the log, check the disk"
    );
    metrics::counter!("daybook_projection_files_damaged_total").increment(1);
    Ok(())
}

fn open(path: &Path) -> Result<Connection, Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::Write(error.to_string()))?;
    }
    let connection = Connection::open(path).map_err(write_error)?;
    let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(write_error)?;
    if layout > MOST_LAYOUTS {
        return Err(Error::Damaged(format!("its header has layout {layout}, which no version uses")));
    }
    if layout > schema::LAYOUT {
        return Err(Error::Write(format!(
            "{} was written by a later version (layout {layout}, this one knows {}): run that version, or remove the file, and the read \
             models are rebuilt from the log",
            path.display(),
            schema::LAYOUT
        )));
    }
    connection.execute_batch(schema::WRITER).map_err(write_error)?;
    if layout == 1 {
        connection.execute_batch(schema::FROM_1).map_err(write_error)?;
    }
    connection.execute_batch(schema::CHECKPOINT).map_err(write_error)?;
    connection.execute_batch(schema::HELD).map_err(write_error)?;
    connection.pragma_update(None, "user_version", schema::LAYOUT).map_err(write_error)?;
    connection.set_prepared_statement_cache_capacity(256);
    // Reads every page of the tree that everything begins with, and of the checkpoints.
    for sql in ["SELECT count(*) FROM sqlite_schema", "SELECT count(*) FROM checkpoint"] {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(write_error)?;
    }
    Ok(connection)
}

fn write_error(error: rusqlite::Error) -> Error {
    damage(&error).unwrap_or_else(|| Error::Write(error.to_string()))
}

/// The damage, if the error means that the file is unusable.
fn damage(error: &rusqlite::Error) -> Option<Error> {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let damaged = matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase));
    damaged.then(|| Error::Damaged(error.to_string()))
}
