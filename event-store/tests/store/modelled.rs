//! The store on SQLite matches the model, wherever the process dies.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use event_store::EventStore;
use event_store::sqlite::{Step, Store};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::model::{Place, ops, run};
use crate::sqlite::cramped;

/// Files, and the step at which the process dies.
struct Files<'a> {
    dir: &'a Path,
    armed: Arc<Mutex<Option<Step>>>,
    full: Arc<AtomicBool>,
}

#[async_trait]
impl Place for Files<'_> {
    async fn open(&self) -> Arc<dyn EventStore> {
        let mut options = cramped(self.dir);
        let armed = Arc::clone(&self.armed);
        options.steps = Some(Arc::new(move |step| {
            let mut armed = armed.lock().unwrap();
            if *armed == Some(step) {
                *armed = None;
                drop(armed);
                std::panic::resume_unwind(Box::new("stopped by the test"));
            }
        }));
        let full = Arc::clone(&self.full);
        options.before_commit = Some(Arc::new(move || match full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }));
        Store::open(options).unwrap()
    }

    fn arm(&self, step: Option<Step>) -> bool {
        *self.armed.lock().unwrap() = step;
        true
    }

    fn is_armed(&self) -> bool {
        self.armed.lock().unwrap().is_some()
    }

    fn fill(&self, full: bool) -> bool {
        self.full.store(full, Ordering::SeqCst);
        true
    }

    async fn on_disk(&self) -> Arc<dyn EventStore> {
        Store::open_read_only(self.dir).unwrap()
    }

    fn lose_index(&self) {
        for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
            let _ = std::fs::remove_file(self.dir.join(file));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/store/model.regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_is_what_the_model_says(ops in ops()) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            run(&Files { dir: dir.path(), armed: Arc::default(), full: Arc::default() }, ops).await;
        });
    }
}
