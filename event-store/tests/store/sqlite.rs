//! The contract on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use event_store::EventStore;
use event_store::sqlite::{Options, Store};
use tempfile::TempDir;

use crate::contract::{Backend, TestClock, contract};

/// A store in a directory that goes away with it.
pub(crate) struct Sqlite {
    dir: TempDir,
    clock: TestClock,
}

impl Default for Sqlite {
    fn default() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: TestClock::default(),
        }
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn open(&self) -> Arc<dyn EventStore> {
        Store::open(Options::new(self.dir.path()).clock(self.clock.as_clock())).unwrap()
    }

    fn clock(&self) -> &TestClock {
        &self.clock
    }
}

contract!(super::Sqlite);
