//! `backup`: copies an embedded store as it is at one moment into another folder, beside a running server or without
//! one; then proves the copy, because an unread copy is not a backup. Indexes and read models are not copied: they
//! follow from the log.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use event_store::sqlite;
use serde::Serialize;

use crate::cli::Backup;
use crate::config::Config;
use crate::console;
use crate::roles;
use crate::verify::{self, Proof};

/// The log, and what its position leads to.
const LOG: &str = "log.sqlite";
/// The copied files: the log first, because the sandbox may then know more requests than the log, but never fewer.
const FILES: [&str; 2] = [LOG, roles::BOOK];

/// A file of the copy.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// Its name in the folder.
    pub file: &'static str,
    /// Its size.
    pub bytes: u64,
}

/// A backup, and the result of its proof.
#[derive(Debug, Serialize)]
pub struct BackedUp {
    /// Where it is.
    pub folder: String,
    /// The copied files.
    pub files: Vec<Copied>,
    /// How long the copying took, in seconds.
    pub seconds: f64,
    /// The result of the copy's proof.
    pub proof: Proof,
}

impl BackedUp {
    /// The backup as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Copied { file, bytes } in &self.files {
            let bytes = console::grouped(i64::try_from(*bytes).unwrap_or(i64::MAX));
            text.push_str(&format!("{file}: {bytes} bytes\n"));
        }
        let (folder, Proof { position, hash, .. }) = (&self.folder, &self.proof);
        let verdict = if !self.proof.intact {
            "IT IS NOT A VALID BACKUP."
        } else if self.proof.holds {
            "It can be restored."
        } else if self.proof.stopped.is_empty() {
            "It can be restored. The violations above are in the store as well."
        } else {
            "It can be restored: its log is whole. Not everything else could be checked; run `verify` later."
        };
        text.push_str(&format!("copied to {folder} in {:.1} s; the copy:\n\n{}\n", self.seconds, self.proof.text()));
        text.push_str(&format!(
            "{verdict} Keep this, in another place: verify --data {folder} --expect {position}:{hash}\n"
        ));
        text
    }
}

/// Copies the store of a configuration into an empty folder, and proves the copy.
///
/// # Errors
/// If the log is in a database, the folder holds anything, or a file can be neither read nor written.
pub async fn back_up(config: &Config, asked: &Backup) -> anyhow::Result<BackedUp> {
    if config.store.url.is_set() {
        bail!("the log is in {}: back it up with the tools of its server, see docs/operations.md", config.store.url);
    }
    let (from, to) = (&config.store.data, &asked.to);
    if !from.join(LOG).exists() {
        bail!("there is no store in {}", from.display());
    }
    prepare(to).with_context(|| format!("{} cannot take a backup", to.display()))?;
    let begun = Instant::now();
    let mut files = Vec::new();
    for file in FILES {
        let (source, target) = (from.join(file), to.join(file));
        if !source.exists() {
            continue;
        }
        let bar = console::bar(0, file);
        let moved = bar.clone();
        let copy = move || {
            sqlite::back_up(&source, &target, |copied, pages| {
                moved.set_length(pages);
                moved.set_position(copied);
            })
            .and_then(|()| Ok(target.metadata()?.len()))
        };
        let bytes = tokio::task::spawn_blocking(copy).await?.with_context(|| format!("{file} cannot be copied"))?;
        bar.finish_and_clear();
        files.push(Copied { file, bytes });
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut copy = config.clone();
    copy.store.data.clone_from(to);
    let proof = verify::prove(&copy, None, &[]).await?;
    Ok(BackedUp { folder: to.display().to_string(), files, seconds, proof })
}

/// Creates the folder, or accepts an empty one: existing files are never overwritten.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    if std::fs::read_dir(folder)?.next().is_some() {
        bail!("the folder is not empty");
    }
    Ok(())
}
