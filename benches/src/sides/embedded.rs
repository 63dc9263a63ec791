//! Daybook as one process, its store in a folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{Log, Name, Places, Side, verify};

pub(super) struct Embedded {
    process: Process,
    daybook: PathBuf,
    folder: TempDir,
}

impl Embedded {
    pub(super) fn start(places: &Places) -> anyhow::Result<Self> {
        let folder = servers::folder::within(&places.folder, "embedded");
        let log = folder.path().join("log");
        let data = folder.path().join("data").display().to_string();
        let process = Process::start(&places.daybook, &["serve", "--data", &data], &BTreeMap::new(), &log)?;
        Ok(Self { process, daybook: places.daybook.clone(), folder })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

#[async_trait]
impl Side for Embedded {
    fn name(&self) -> Name {
        Name::Embedded
    }

    fn about(&self) -> String {
        "`daybook serve` with the store in a folder".into()
    }

    fn commands(&self) -> Vec<String> {
        vec![self.process.address()]
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.process.pid()]
    }

    fn log(&self) -> Option<Log> {
        Some(Log::Folder(self.data()))
    }

    async fn end(self: Box<Self>) -> anyhow::Result<Option<Value>> {
        let data = self.data().display().to_string();
        let Self { process, daybook, folder: _folder } = *self;
        process.end()?;
        let environment = BTreeMap::from([("DAYBOOK_STORE__DATA".to_owned(), data)]);
        verify(&daybook, &environment).map(Some)
    }
}
