//! The servers start, answer, die and come back with what they had.

use servers::{Nats, Postgres};

#[test]
fn a_killed_postgres_comes_back_with_what_it_had() {
    let mut postgres = Postgres::start();
    let url = postgres.database();
    postgres.sql(&url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
    postgres.kill();
    postgres.start_again();
    assert_eq!(postgres.sql(&url, "SELECT n FROM kept"), "7");
    assert_eq!(postgres.sql(&url, "SHOW fsync"), "on");
    postgres.stop_immediately();
    postgres.start_again();
    assert_eq!(postgres.sql(&url, "SELECT n FROM kept"), "7");
}

#[test]
fn a_broker_comes_back_and_three_make_a_cluster() {
    let mut nats = Nats::start();
    nats.kill();
    assert!(!nats.healthy());
    nats.start_again();
    assert!(nats.healthy());
    let mut cluster = Nats::cluster();
    cluster[0].kill();
    assert!(cluster[1].healthy() || cluster[2].healthy());
}
