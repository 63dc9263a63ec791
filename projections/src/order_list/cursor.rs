//! The end of a page: the sort value and the id of its last order, bound to the filters and the sort of the query. It
//! contains nothing that the page did not show; a checksum detects a cursor that was changed by hand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::SPEC;
use super::filter::{Filter, Sort};
use super::page::BadCursor;
use crate::value::Value;

/// The position of the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) value: i64,
    pub(super) order_id: String,
}

/// What a cursor is bound to.
pub(super) struct Bound<'a> {
    pub(super) tenant: &'a str,
    pub(super) filters: &'a [Filter],
    pub(super) sort: Sort,
}

const SUM: usize = 8;

impl Cursor {
    /// As text.
    pub(super) fn encode(&self, bound: &Bound<'_>) -> String {
        let mut bytes = SPEC.version.to_be_bytes().to_vec();
        bytes.extend(self.value.to_be_bytes());
        bytes.extend(self.order_id.as_bytes());
        let sum = bound.sum(&bytes);
        bytes.extend(sum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From text.
    pub(super) fn decode(text: &str, bound: &Bound<'_>) -> Result<Self, BadCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor::Foreign)?;
        let Some((version, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(BadCursor::Foreign);
        };
        if *version != SPEC.version.to_be_bytes() {
            return Err(BadCursor::Expired);
        }
        let Some((rest, sum)) = rest.split_last_chunk::<SUM>() else {
            return Err(BadCursor::Foreign);
        };
        if *sum != bound.sum(&bytes[..bytes.len() - SUM]) {
            return Err(BadCursor::Foreign);
        }
        let Some((value, order_id)) = rest.split_first_chunk::<8>() else {
            return Err(BadCursor::Foreign);
        };
        let order_id = String::from_utf8(order_id.to_vec()).map_err(|_| BadCursor::Foreign)?;
        Ok(Self { value: i64::from_be_bytes(*value), order_id })
    }
}

impl Bound<'_> {
    fn sum(&self, bytes: &[u8]) -> [u8; SUM] {
        let mut filters: Vec<_> = self
            .filters
            .iter()
            .map(|filter| {
                let values: Vec<_> = filter.values.iter().map(shown).collect();
                format!("{}\u{1}{:?}\u{1}{}", filter.field.name, filter.op, values.join("\u{2}"))
            })
            .collect();
        filters.sort();
        let mut hash = Sha256::new();
        for part in [self.tenant, self.sort.column, if self.sort.falling { "-" } else { "+" }, &filters.join("\u{3}")] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(bytes);
        let digest: [u8; 32] = hash.finalize().into();
        let mut sum = [0; SUM];
        sum.copy_from_slice(&digest[..SUM]);
        sum
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Null | Value::Blob(_) => String::new(),
    }
}
