//! What is put under load and broken: one process on a store of its own, or a scaled system. How it is reached, which processes it has, and
//! how it is proved afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::History;
use event_store::sqlite::Store;
use event_store::{EventStore, postgres};

use super::resources::Resources;
use crate::harness::Server;
use crate::harness::load::Counts;
use crate::harness::recorded::Endpoints;
use crate::scaled::system::System;

/// How long a process may hold more than it had, after nobody asks it for anything any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// What is put under load.
pub(crate) enum Subject {
    /// One process, on the SQLite store in its folder.
    Embedded(Server),
    /// One process, on a database.
    Database(Server, String),
    /// Processes by role.
    Scaled(Box<System>),
}

impl Subject {
    /// Where clients go.
    pub(crate) fn endpoints(&self) -> Endpoints {
        match self {
            Self::Embedded(server) | Self::Database(server, _) => Endpoints::of(server.address()),
            Self::Scaled(system) => system.endpoints(),
        }
    }

    /// The daybook processes, and where each listens.
    pub(crate) fn processes(&self) -> Vec<(String, String)> {
        match self {
            Self::Embedded(server) | Self::Database(server, _) => {
                vec![("daybook".to_owned(), format!("http://{}", server.address()))]
            }
            Self::Scaled(system) => {
                system.daybooks().into_iter().map(|name| (name.clone(), system.cluster.url(&name))).collect()
            }
        }
    }

    /// What each process has.
    ///
    /// # Panics
    /// If one of them does not run.
    pub(crate) fn resources(&self) -> Vec<(String, Resources)> {
        let pids = match self {
            Self::Embedded(server) | Self::Database(server, _) => vec![("daybook".to_owned(), server.pid())],
            Self::Scaled(system) => {
                let names = system.daybooks().into_iter();
                names.map(|name| (name.clone(), system.cluster.pid(&name).expect("it runs"))).collect()
            }
        };
        let of = |pid: u32| Resources::of(pid).unwrap_or_else(|| panic!("process {pid} has ended: {}", self.told()));
        pids.into_iter().map(|(name, pid)| (name, of(pid))).collect()
    }

    /// The log's last position, as a reader beside the processes sees it.
    pub(crate) async fn head(&self) -> u64 {
        let log = self.log().await;
        let head = log.head().borrow().position;
        log.close().await.unwrap();
        head
    }

    async fn log(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Embedded(server) => Store::open_read_only(server.data()).unwrap(),
            Self::Database(_, url) => {
                postgres::Store::open(postgres::Options::new(url.as_str()).role("test")).await.unwrap()
            }
            Self::Scaled(system) => system.log().await,
        }
    }

    /// The end of what was logged, for a person who looks why something is not as it should be.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Embedded(server) | Self::Database(server, _) => server.log(),
            Self::Scaled(system) => system.warnings(),
        }
    }

    /// Waits until every process is down to what it had before.
    pub(crate) async fn settled(&self, before: &[(String, Resources)]) {
        let since = Instant::now();
        loop {
            let now = self.resources();
            let more: Vec<String> = now
                .iter()
                .zip(before)
                .flat_map(|((name, now), (_, before))| {
                    now.beyond(before).into_iter().map(move |more| format!("{name}: {more}"))
                })
                .collect();
            if more.is_empty() {
                for ((name, now), (_, before)) in now.iter().zip(before) {
                    println!("   {name}: {now} (before: {before})");
                }
                return;
            }
            assert!(since.elapsed() < SETTLED_WITHIN, "what was taken is not given back: {}", more.join("; "));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Holds everything against everything once the load has ended: every order is decided and every saga at its end, what clients were
    /// told holds, and the proof says that all is as it should be.
    pub(crate) async fn prove(&self, history: &History, counts: &Counts) {
        println!("   {counts:?}");
        let unresolved: u64 = counts
            .iter()
            .filter(|(what, _)| what.ends_with("unresolved") && !what.starts_with("Read"))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(unresolved, 0, "commands whose outcome nobody tells: {counts:?}\n{}", self.told());
        let server = match self {
            Self::Embedded(server) | Self::Database(server, _) => server,
            Self::Scaled(system) => return system.prove_log(history).await,
        };
        let proof = server.ended().await;
        assert_eq!(proof["holds"], true, "{proof:#}");
        println!("   orders {}, sagas {}", proof["orders"], proof["sagas"]);
        let log = self.log().await;
        let report = checker::check(history, &*log).await.unwrap();
        println!("   {report}");
        report.assert_green();
        log.close().await.unwrap();
    }
}
