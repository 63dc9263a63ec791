//! The file of the read models is a projection of the log: whatever happens to it, it is rebuilt, and wrong data is
//! never served.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::shop::Shop;
use super::workers::{Dump, dumped, fresh};
use crate::sqlite::FILE;
use crate::store::{ReadStore, Statement};
use crate::{Error, Options, Projections, Snapshot, models};

/// Opens the read models, projects the missing records and reads every row, again after each damage: that may happen at
/// most twice.
async fn served(shop: &Shop, folder: &Path) -> Dump {
    for _ in 0..3 {
        let projections = Projections::open(Options::new(folder), shop.log()).await.unwrap();
        let posted = projections.catch_up(None).await;
        let read = match posted {
            Ok(()) => read_all(&projections.parts.rows).await,
            failed => failed,
        };
        projections.close().await.unwrap();
        match read {
            Ok(()) => return dumped(&Snapshot::of_file(folder).await.unwrap()).await,
            Err(Error::Damaged(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    panic!("it stays damaged")
}

async fn read_all(rows: &Arc<dyn ReadStore>) -> Result<(), Error> {
    for table in models::all().iter().flat_map(|model| model.spec().tables) {
        // In order of key as well: a row may be whole, and its place in the index that queries take not.
        let key: Vec<_> = table.columns[..table.key].iter().map(|column| column.name).collect();
        for order in [String::new(), format!(" ORDER BY {} LIMIT 1000000", key.join(", "))] {
            rows.read(vec![Statement::new(format!("SELECT * FROM {}{order}", table.name), Vec::new())]).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_set_aside_and_posted_again() {
    let mut shop = Shop::open();
    shop.trade(30).await;
    let wanted = fresh(&shop, "whole").await;
    let whole = fs::read(shop.folder.path().join("whole").join(FILE)).unwrap();
    let pages = whole.len() / 4_096;
    let folder = shop.folder.path().join("damaged");
    let mut damage: Vec<(String, Vec<u8>)> = vec![
        ("no database at all".into(), b"this is no database, and long enough to be one, if only just".to_vec()),
        ("cut in the middle".into(), whole[..whole.len() / 2].to_vec()),
        ("cut in its first page".into(), whole[..700].to_vec()),
    ];
    for page in (0..pages).step_by((pages / 12).max(1)) {
        let mut bytes = whole.clone();
        bytes[page * 4_096..(page + 1) * 4_096].fill(0xA5);
        damage.push((format!("page {page} of {pages}"), bytes));
    }
    for at in [16, 44, 60] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        damage.push((format!("byte {at} of the header"), bytes));
    }
    for (what, bytes) in damage {
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(FILE), &bytes).unwrap();
        assert!(served(&shop, &folder).await == wanted, "{what}");
    }
}

#[tokio::test]
async fn what_was_set_aside_is_kept_where_the_damage_is_met_after_opening() {
    let mut shop = Shop::open();
    shop.trade(3).await;
    let wanted = fresh(&shop, "late").await;
    let folder = shop.folder.path().join("late");
    let file = rusqlite::Connection::open(folder.join(FILE)).unwrap();
    // It is not read before the models are checked against the log.
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'held' AND type = 'table'";
    let root: usize = file.query_row(root, [], |row| row.get(0)).unwrap();
    drop(file);
    let mut bytes = fs::read(folder.join(FILE)).unwrap();
    bytes[(root - 1) * 4_096..root * 4_096].fill(0xA5);
    fs::write(folder.join(FILE), bytes).unwrap();
    let projections = Projections::open(Options::new(&folder), shop.log()).await.unwrap();
    projections.catch_up(None).await.unwrap();
    projections.close().await.unwrap();
    assert!(dumped(&Snapshot::of_file(&folder).await.unwrap()).await == wanted);
    let aside = fs::read(folder.join("read.sqlite.damaged")).unwrap();
    assert!(aside[(root - 1) * 4_096..root * 4_096].iter().all(|byte| *byte == 0xA5), "it can still be looked at");
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused_and_left_as_it_is() {
    let mut shop = Shop::open();
    shop.trade(3).await;
    let wanted = fresh(&shop, "later").await;
    let folder = shop.folder.path().join("later");
    let file = rusqlite::Connection::open(folder.join(FILE)).unwrap();
    let layout: i64 = file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    file.pragma_update(None, "user_version", layout + 1).unwrap();
    let refused = Projections::open(Options::new(&folder), shop.log()).await.unwrap_err();
    assert!(refused.to_string().contains("later version"), "{refused}");
    assert!(!folder.join("read.sqlite.damaged").exists());
    file.pragma_update(None, "user_version", layout).unwrap();
    drop(file);
    assert!(dumped(&Snapshot::of_file(&folder).await.unwrap()).await == wanted, "every row is there");
}

#[tokio::test]
async fn what_is_held_and_cannot_be_read_is_an_error_and_not_nothing() {
    let shop = Shop::open();
    fresh(&shop, "held").await;
    let folder = shop.folder.path().join("held");
    let file = rusqlite::Connection::open(folder.join(FILE)).unwrap();
    file.execute("INSERT INTO held VALUES ('order_list', 'live', 'acme', 'order', 'x', 1, 1, 'k', 'r', 'no id')", [])
        .unwrap();
    let held = Snapshot::of_file(&folder).await.unwrap().held("order_list").await;
    assert!(held.is_err(), "{held:?}");
    file.execute_batch("DROP TABLE held; CREATE TABLE held (name TEXT)").unwrap();
    let held = Snapshot::of_file(&folder).await.unwrap().held("order_list").await;
    assert!(held.is_err(), "{held:?}");
    file.execute_batch("DROP TABLE held").unwrap();
    let held = Snapshot::of_file(&folder).await.unwrap().held("order_list").await;
    assert!(held.unwrap().is_empty(), "a file from before there was such a thing");
}
