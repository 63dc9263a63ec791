//! Daybook as one process without a broker, its store on a PostgreSQL server of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use async_trait::async_trait;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{Log, Name, Places, Side, verify};

pub(super) struct OnPostgres {
    process: Process,
    server: servers::Postgres,
    url: String,
    environment: BTreeMap<String, String>,
    daybook: PathBuf,
    _folder: TempDir,
}

impl OnPostgres {
    pub(super) fn start(places: &Places) -> anyhow::Result<Self> {
        let folder = servers::folder::within(&places.folder, "onpostgres");
        let server = super::server(places);
        let url = server.database();
        let environment = BTreeMap::from([
            ("DAYBOOK_STORE__URL".to_owned(), url.clone()),
            // The book of the sandbox gateway is a file on this side as well.
            ("DAYBOOK_STORE__DATA".to_owned(), folder.path().join("data").display().to_string()),
        ]);
        let made = Command::new(&places.daybook).arg("migrate").envs(&environment).output()?;
        if !made.status.success() {
            bail!("migrate: {}", String::from_utf8_lossy(&made.stderr));
        }
        let process = Process::start(&places.daybook, &["serve"], &environment, &folder.path().join("log"))?;
        Ok(Self { process, server, url, environment, daybook: places.daybook.clone(), _folder: folder })
    }
}

#[async_trait]
impl Side for OnPostgres {
    fn name(&self) -> Name {
        Name::Postgres
    }

    fn about(&self) -> String {
        "`daybook serve`, all roles in one process, log and read models in PostgreSQL, no broker".into()
    }

    fn commands(&self) -> Vec<String> {
        vec![self.process.address()]
    }

    fn pids(&self) -> Vec<u32> {
        [self.process.pid()].into_iter().chain(self.server.pid()).collect()
    }

    fn log(&self) -> Option<Log> {
        Some(Log::Database(self.url.clone()))
    }

    fn database(&self) -> Option<String> {
        Some(self.url.clone())
    }

    async fn end(self: Box<Self>) -> anyhow::Result<Option<Value>> {
        let Self { process, server: _server, environment, daybook, _folder, .. } = *self;
        process.end()?;
        verify(&daybook, &environment).map(Some)
    }
}
