//! From the stored name of a stream to the domain's. Names are made in `domain::stream`, never here.

use domain::stream::{IMPORT, ORDER, OUTCOME, PAYMENT, REFERENCE, RESERVATION, SAGA, STOCK, StreamName};

/// Every category there is.
pub const CATEGORIES: [&str; 8] = [ORDER, PAYMENT, STOCK, RESERVATION, SAGA, REFERENCE, OUTCOME, IMPORT];

/// The domain's name of a stored stream, `None` if there is no such category.
#[must_use]
pub fn name(category: &str, id: &str) -> Option<StreamName> {
    let category = CATEGORIES.into_iter().find(|known| *known == category)?;
    Some(StreamName { category, id: id.to_owned() })
}

#[test]
fn a_stored_name_is_the_domains_name_again() {
    let stream = domain::stream::order(domain::ids::OrderId::default());
    assert_eq!(name(stream.category, &stream.id), Some(stream));
    assert_eq!(name("orders", "1"), None);
}
