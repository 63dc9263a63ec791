//! Counters of a side: of its processes, its database and its brokers. They only grow; what lies between two readings counts.

use std::collections::BTreeMap;
use std::fs;

use crate::client::Client;
use crate::sides::{self, Side};

/// What a metric of the product counts here.
const METRICS: &[(&str, &str)] = &[
    ("log commits", "daybook_store_group_commits_total"),
    ("bytes of the log", "daybook_store_bytes_total"),
    ("heads looked up", "daybook_store_head_lookups_total"),
    ("aggregates loaded", "daybook_aggregate_lookups_total{found=\"loaded\"}"),
    ("store reads", "daybook_store_reads_total"),
    ("read-model transactions", "daybook_projection_commit_seconds_count"),
    ("read-model pages written", "daybook_projection_pages_written_total"),
    ("commands sent", "daybook_commands_sent_total"),
    ("records published", "daybook_relay_published_total"),
    ("allocations", super::ALLOCATIONS),
    ("bytes allocated", super::ALLOCATED_BYTES),
];

/// What a database or the system writes when it is time to.
const IN_LEAPS: &[&str] = &[WRITE_AHEAD, TO_DISK];
const WRITE_AHEAD: &str = "bytes of the write-ahead log";
const TO_DISK: &str = "bytes to the disk";

/// One reading, or the difference of two.
#[derive(Clone, Debug)]
pub(super) struct Meters(BTreeMap<&'static str, f64>);

impl Meters {
    /// Reads all that a side has.
    pub(super) async fn read(side: &dyn Side) -> anyhow::Result<Self> {
        let mut all = BTreeMap::new();
        for address in side.metrics() {
            let answer = Client::connect(&address).await?.get("/metrics").await?;
            of_product(&String::from_utf8_lossy(&answer.body), &mut all);
        }
        if let Some(url) = side.database() {
            of_database(&url, &mut all)?;
        }
        for address in side.brokers() {
            let told = Client::connect(&address).await?.get("/varz").await?.json()?;
            // A newer server tells what its clients sent; an older one counts what other nodes sent with it.
            let sent = told["in_client_msgs"].as_f64().or(told["in_msgs"].as_f64());
            *all.entry("messages").or_default() += sent.unwrap_or(0.0);
        }
        of_system(&side.pids(), &mut all);
        Ok(Self(all))
    }

    /// What came since another reading.
    pub(super) fn since(&self, before: &Self) -> Self {
        let since = |(name, value): (&&'static str, &f64)| (*name, value - before.0.get(name).unwrap_or(&0.0));
        Self(self.0.iter().map(since).collect())
    }

    /// The same without what comes in leaps, a checkpoint say: there, an idle time says nothing of another time.
    pub(super) fn steady(&self) -> Self {
        let steady = self.0.iter().filter(|(name, _)| !IN_LEAPS.contains(name));
        Self(steady.map(|(name, value)| (*name, *value)).collect())
    }

    /// So many times.
    pub(super) fn times(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|(name, value)| (*name, value * factor)).collect())
    }

    /// All of them, none below nothing.
    pub(super) fn all(self) -> BTreeMap<&'static str, f64> {
        self.0.into_iter().map(|(name, value)| (name, value.max(0.0))).collect()
    }
}

/// Adds what a process tells of itself. A metric that is not there yet is not counted at all.
fn of_product(text: &str, all: &mut BTreeMap<&'static str, f64>) {
    for (name, metric) in METRICS {
        let of = |line: &str| {
            let rest = line.strip_prefix(metric)?;
            let rest = rest.strip_prefix(' ').or_else(|| rest.starts_with('{').then(|| rest.rsplit(' ').next())?)?;
            rest.trim().parse::<f64>().ok()
        };
        for value in text.lines().filter_map(of) {
            *all.entry(name).or_default() += value;
        }
    }
}

fn of_database(url: &str, all: &mut BTreeMap<&'static str, f64>) -> anyhow::Result<()> {
    let told = sides::sql(url, "SELECT pg_current_wal_lsn() - '0/0'")?;
    all.insert(WRITE_AHEAD, told.parse()?);
    // The commits of `pg_stat_database` come when a session has been idle for a while; these are there at once.
    let counted = sides::sql(
        url,
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; \
         SELECT sum(calls), coalesce(sum(calls) FILTER (WHERE query = 'COMMIT'), 0) FROM pg_stat_statements",
    );
    let counted = counted.unwrap_or_default();
    let values = counted.split('|').filter_map(|text| text.parse::<f64>().ok());
    for (name, value) in ["statements", "database commits"].into_iter().zip(values) {
        all.insert(name, value);
    }
    Ok(())
}

/// Adds what the system counts of a side's own processes; a database's children have numbers of their own, and come and go.
fn of_system(pids: &[u32], all: &mut BTreeMap<&'static str, f64>) {
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(": ") else {
                continue;
            };
            let name = match key {
                "syscw" => "write calls",
                "write_bytes" => TO_DISK,
                _ => continue,
            };
            *all.entry(name).or_default() += value.parse::<f64>().unwrap_or(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let text = "# TYPE daybook_store_bytes_total counter\ndaybook_store_bytes_total 10\ndaybook_store_bytes_total_more 5\n\
                    daybook_aggregate_lookups_total{found=\"cached\"} 9\ndaybook_aggregate_lookups_total{found=\"loaded\"} 2\n\
                    daybook_projection_commit_seconds_count{projection=\"a\"} 1\n\
                    daybook_projection_commit_seconds_count{projection=\"b\"} 2\n";
        let mut all = BTreeMap::new();
        of_product(text, &mut all);
        let wanted = [("aggregates loaded", 2.0), ("bytes of the log", 10.0), ("read-model transactions", 3.0)];
        assert_eq!(all, BTreeMap::from(wanted));
    }
}
