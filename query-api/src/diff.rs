//! The differences between two documents: each place as a JSON Pointer (RFC 6901) with its old and its new value. Equal
//! places are left out.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One place that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Where: a JSON Pointer.
    #[schema(example = "/lines/0/shipped")]
    pub pointer: String,
    /// The old value; left out if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The new value; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Every place that differs, in the order of the documents.
#[must_use]
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            for name in names {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                compare(&format!("{pointer}/{escaped}"), a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                compare(&format!("{pointer}/{at}"), a.get(at), b.get(at), found);
            }
        }
        (before, after) => {
            found.push(Change { pointer: pointer.to_owned(), before: before.cloned(), after: after.cloned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_that_differs_is_told_once_with_both_values() {
        let before = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}, "gone": true, "same": [1]});
        let after = json!({"a": 2, "b": {"c": [1, 3, 4], "d": "x"}, "same": [1], "n/e~w": null});
        let told: Vec<_> = changes(&before, &after).into_iter().map(|c| (c.pointer, c.before, c.after)).collect();
        assert_eq!(
            told,
            [
                ("/a".to_owned(), Some(json!(1)), Some(json!(2))),
                ("/b/c/1".to_owned(), Some(json!(2)), Some(json!(3))),
                ("/b/c/2".to_owned(), None, Some(json!(4))),
                ("/gone".to_owned(), Some(json!(true)), None),
                ("/n~1e~0w".to_owned(), None, Some(json!(null))),
            ]
        );
        assert!(changes(&after, &after).is_empty());
    }
}
