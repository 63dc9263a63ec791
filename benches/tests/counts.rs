//! What an order takes on the embedded store, held: a step that is added to the path of an order shows here, and is either meant or not.

use std::path::Path;

use benches::counts::{self, Counts};

/// Enough for the bounds; the events of every order are the same.
const ORDERS: usize = 10;

fn each(counts: &Counts, name: &str) -> f64 {
    *counts.each.get(name).unwrap_or_else(|| panic!("nobody counts {name}: {counts:#?}"))
}

#[tokio::test]
async fn an_order_takes_what_it_took() {
    let folder = servers::folder::temporary("counts");
    let daybook = Path::new(env!("CARGO_BIN_EXE_daybook-counted"));
    let counted = counts::of_embedded(daybook, folder.path(), ORDERS).await.expect("the orders are counted");

    let checkout = &counted.checkout;
    assert_eq!((each(checkout, "events"), each(checkout, "batches")), (13.0, 6.0), "{checkout:#?}");
    // A commit takes what waits, so never more than one for each batch and now and then one for a checkpoint. How many batches share
    // one hangs on the machine: two commits in a quiet release build. That they can is held by the executor's tests.
    assert!(each(checkout, "log commits") <= 7.0, "{checkout:#?}");
    assert!(each(checkout, "read-model transactions") <= 6.0, "{checkout:#?}");
    assert!(each(checkout, "read-model pages written") <= 100.0, "{checkout:#?}");
    assert!(each(checkout, "store reads") <= 8.0, "{checkout:#?}");
    assert!(each(checkout, "bytes of events") <= 16_000.0, "{checkout:#?}");
    assert!(each(checkout, "allocations") > 0.0, "{checkout:#?}");

    let fulfilled = counted.fulfilled.as_ref().expect("the orders are shipped");
    assert!(each(fulfilled, "events") > each(checkout, "events"), "{fulfilled:#?}");
}
