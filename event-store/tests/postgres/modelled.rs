//! The store on PostgreSQL is what the model says. What dies there are sessions, and other tests say what becomes of that.

use std::sync::Arc;

use async_trait::async_trait;
use event_store::EventStore;
use event_store::postgres::Store;
use event_store::sqlite::Step;
use proptest::prelude::*;
use servers::Postgres;

use crate::model::{Place, ops, run};
use crate::options;

struct Database(String);

#[async_trait]
impl Place for Database {
    async fn open(&self) -> Arc<dyn EventStore> {
        let mut options = options(&self.0);
        (options.heads, options.group_events, options.recent_bytes) = (4, 32, 8_192);
        Store::open(options).await.unwrap()
    }

    fn arm(&self, _step: Option<Step>) -> bool {
        false
    }

    fn is_armed(&self) -> bool {
        false
    }

    fn fill(&self, _full: bool) -> bool {
        false
    }

    fn lose_index(&self) {}

    async fn on_disk(&self) -> Arc<dyn EventStore> {
        let mut options = options(&self.0);
        options.recent_bytes = 0;
        Store::open_read_only(options).await.unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_the_model_says(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(&Database(Postgres::shared().database()), ops));
    }
}
