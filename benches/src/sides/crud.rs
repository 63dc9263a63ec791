//! The service without events, on a PostgreSQL server of its own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{Name, Places, Side};

pub(super) struct Crud {
    process: Process,
    server: servers::Postgres,
    url: String,
    _folder: TempDir,
}

impl Crud {
    pub(super) fn start(places: &Places) -> anyhow::Result<Self> {
        let folder = servers::folder::within(&places.folder, "crud");
        let server = super::server(places);
        let url = server.database();
        let data = folder.path().display().to_string();
        let own = std::env::current_exe()?;
        let process = Process::start(
            &own,
            &["crud", "--database", &url, "--data", &data],
            &BTreeMap::new(),
            &folder.path().join("log"),
        )?;
        Ok(Self { process, server, url, _folder: folder })
    }
}

#[async_trait]
impl Side for Crud {
    fn name(&self) -> Name {
        Name::Crud
    }

    fn about(&self) -> String {
        "axum, sqlx, PostgreSQL: two transactions and the same provider between them; no history, no read models".into()
    }

    fn commands(&self) -> Vec<String> {
        vec![self.process.address()]
    }

    fn metrics(&self) -> Vec<String> {
        Vec::new()
    }

    fn pids(&self) -> Vec<u32> {
        [self.process.pid()].into_iter().chain(self.server.pid()).collect()
    }

    fn database(&self) -> Option<String> {
        Some(self.url.clone())
    }

    async fn end(self: Box<Self>) -> anyhow::Result<Option<Value>> {
        // It has no graceful stop, and nothing to lose: the database has everything that was answered.
        Ok(None)
    }
}
