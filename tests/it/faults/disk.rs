//! A disk that is full for a while: a small file system in memory, filled to its last byte and emptied again. Mounting one takes a user who
//! may; where that is not allowed, the trial fails and says so.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::subject::Subject;
use super::trial::{Length, Trial};
use crate::harness::Server;

/// What is written at once to fill a disk.
const CHUNK: usize = 1 << 20;
/// How often it is filled again with what became free meanwhile.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a database may take to come back once its disk has room.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// A file system of its own. Unmounted when it is dropped.
struct Disk {
    path: PathBuf,
    filler: PathBuf,
}

impl Disk {
    fn mount(path: &Path, mebibytes: usize) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={mebibytes}m,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output().unwrap();
        let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
        assert!(mounted.status.success(), "a full disk takes a user who may mount one: {why}");
        Self { path: path.to_owned(), filler: path.join("filler") }
    }

    /// Takes all that is free; how many bytes that was.
    fn fill(&self) -> u64 {
        let mut filler = File::options().create(true).append(true).open(&self.filler).unwrap();
        let mut taken = 0;
        for size in [CHUNK, 4_096, 1] {
            let bytes = vec![7; size];
            loop {
                match filler.write(&bytes) {
                    Ok(count @ 1..) => taken += count as u64,
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the disk cannot be filled: {error}"),
                }
            }
        }
        taken
    }

    /// Keeps the disk full for a while; how often there was something to take again.
    async fn full_for(&self, length: Duration) -> usize {
        let begun = Instant::now();
        let first = self.fill();
        assert!(first > 0, "there was nothing to fill");
        let mut again = 0;
        while begun.elapsed() < length {
            again += usize::from(self.fill() > 0);
            tokio::time::sleep(AGAIN).await;
        }
        println!("   {first} bytes taken, {again} times again");
        again
    }

    fn empty(&self) {
        std::fs::remove_file(&self.filler).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process that is still in it does not matter any more.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

/// How often a process logged that there is no room.
fn complaints(log: &str) -> usize {
    let told = log.to_lowercase();
    ["is full", "no space", "disk full"].iter().map(|words| told.matches(words).count()).sum()
}

/// The folder of an embedded store is full: log, index and read models.
pub(crate) async fn embedded(length: Length) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let disk = Disk::mount(&data, 512);
    let subject = Subject::Embedded(Server::start(&data).await);
    let mut trial = Trial::begin("the disk of an embedded store is full", &subject, length).await;
    disk.full_for(length.fault).await;
    disk.empty();
    trial.over();
    let judged = trial.end(&subject).await;
    let (failed, of) = judged.refused();
    assert!(failed * 2 > of, "the fault did not happen: {failed} of {of} orders failed");
}

/// Only the disk of the read models is full: orders go on, and what is shown says that it is late.
pub(crate) async fn read_models(length: Length) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let disk = Disk::mount(&folder.path().join("read"), 256);
    std::fs::create_dir_all(&data).unwrap();
    std::os::unix::fs::symlink(disk.path.join("read.sqlite"), data.join("read.sqlite")).unwrap();
    let server = Server::start(&data).await;
    assert!(disk.path.join("read.sqlite").exists(), "the read models are on a disk of their own");
    let subject = Subject::Embedded(server);
    let before = complaints(&subject.told());
    let mut trial = Trial::begin("the disk of the read models is full", &subject, length).await;
    disk.full_for(length.fault).await;
    let (told, head) = (subject.told(), subject.head().await);
    disk.empty();
    trial.over();
    let judged = trial.end(&subject).await;
    let (failed, of) = judged.refused();
    assert!(complaints(&told) > before || failed * 2 > of, "the fault did not happen: {failed} of {of} orders failed");
    println!("   the log had come to {head} meanwhile");
}

/// The disk of the database is full, write-ahead log and all; one process serves on it.
pub(crate) async fn database(length: Length) {
    let folder = servers::folder::temporary("full");
    let opened = Command::new("chmod").arg("755").arg(folder.path()).status();
    assert!(opened.unwrap().success());
    let disk = Disk::mount(&folder.path().join("disk"), 768);
    let opened = Command::new("chmod").arg("777").arg(&disk.path).status();
    assert!(opened.unwrap().success());
    let mut postgres = servers::Postgres::on_disk_of(&disk.path, &["max_wal_size=64MB", "min_wal_size=32MB"]);
    let url = postgres.database();
    let data = folder.path().join("store");
    let server = Server::start_with(&data, &["--set", &format!("store.url={url}")]).await;
    let subject = Subject::Database(server, url);
    let mut trial = Trial::begin("the disk of the database is full", &subject, length).await;
    disk.full_for(length.fault).await;
    disk.empty();
    // A server that could not write its own log ends, and its service manager starts it again.
    let since = Instant::now();
    while !postgres.answers() {
        if since.elapsed() > BACK_WITHIN / 4 {
            println!("   the database had ended and is started again");
            postgres.kill();
            postgres.start_again();
        }
        assert!(since.elapsed() < BACK_WITHIN * 2, "the database does not come back: {}", postgres.log());
        tokio::time::sleep(AGAIN).await;
    }
    trial.over();
    let judged = trial.end(&subject).await;
    let (failed, of) = judged.refused();
    assert!(failed * 2 > of, "the fault did not happen: {failed} of {of} orders failed");
}
