//! Every read model there is, each in its own file. A new one is added here and nowhere else.

use std::sync::Arc;

use crate::projection::Projection;
use crate::{open_quantity, order_detail, order_list, order_timeline, payments, stock_ledger, stock_levels};

/// All of them, in order of name.
pub(crate) fn all() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(open_quantity::OpenQuantity),
        Arc::new(order_detail::OrderDetail),
        Arc::new(order_list::OrderList),
        Arc::new(order_timeline::OrderTimeline),
        Arc::new(payments::Payments),
        Arc::new(stock_ledger::StockLedger),
        Arc::new(stock_levels::StockLevels),
    ]
}

/// The one of a name.
pub(crate) fn by_name(name: &str) -> Option<Arc<dyn Projection>> {
    all().into_iter().find(|model| model.spec().name == name)
}

/// A value that serialises as one word, as that word.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    json.trim_matches('"').to_owned()
}

/// The value that a word was written from.
pub(crate) fn from_word<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}
