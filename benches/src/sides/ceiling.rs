//! The same HTTP stack that stores nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::process::Process;
use super::{Name, Places, Side};

pub(super) struct Ceiling {
    process: Process,
    bytes: usize,
}

impl Ceiling {
    pub(super) fn start(places: &Places, bytes: usize) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let log = places.folder.join("ceiling.log");
        let process = Process::start(&own, &["ceiling", "--bytes", &bytes.to_string()], &BTreeMap::new(), &log)?;
        Ok(Self { process, bytes })
    }
}

#[async_trait]
impl Side for Ceiling {
    fn name(&self) -> Name {
        Name::Ceiling
    }

    fn about(&self) -> String {
        format!("axum: parses the same body, answers about {} bytes, stores nothing", self.bytes)
    }

    fn commands(&self) -> Vec<String> {
        vec![self.process.address()]
    }

    fn metrics(&self) -> Vec<String> {
        Vec::new()
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.process.pid()]
    }

    async fn end(self: Box<Self>) -> anyhow::Result<Option<Value>> {
        Ok(None)
    }
}
