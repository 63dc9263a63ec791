//! The file of the read models is a posting of the log: whatever becomes of it, it is posted again, and nothing that is wrong is served.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::shop::Shop;
use super::workers::{Dump, dumped, fresh};
use crate::sqlite::FILE;
use crate::store::{ReadStore, Statement};
use crate::{Error, Options, Projections, Snapshot, models};

/// Opens the read models, posts what is missing and reads every row, as often as damage is met: it must be met at most twice.
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
    for at in [16, 44, 60, 63] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        damage.push((format!("byte {at} of the header"), bytes));
    }
    for (what, bytes) in damage {
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(FILE), bytes).unwrap();
        assert!(served(&shop, &folder).await == wanted, "{what}");
    }
}
