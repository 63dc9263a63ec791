//! One refusal out of many: a command over several streams is refused once, with all that stands against it.

use domain::Class;
use serde_json::{Map, Value, json};

use super::Expected;
use super::done::Refused;

/// The code whose numbers are always a list, one entry for each stock that falls short.
const OUT_OF_STOCK: &str = "out-of-stock";

/// The list's name.
const SHORTFALLS: &str = "shortfalls";

/// What is said of the refusals of one batch; `None` if there are none. What no stock could mend is said before what is short;
/// among those, the first in the order of the plan.
pub(super) fn combine(refusals: Vec<Refused>) -> Option<Refused> {
    let (short, mut other): (Vec<_>, Vec<_>) = refusals.into_iter().partition(|refused| refused.code == OUT_OF_STOCK);
    if other.is_empty() {
        return shortfalls(short);
    }
    let mut said = other.remove(0);
    let rest: Vec<Value> = other.iter().chain(&short).map(told).collect();
    if !rest.is_empty() {
        said.details.insert("also".to_owned(), rest.into());
    }
    Some(said)
}

fn shortfalls(short: Vec<Refused>) -> Option<Refused> {
    let class = short.first()?.class;
    let message = short.iter().map(|refused| refused.message.as_str()).collect::<Vec<_>>().join("; ");
    let mut list = Vec::with_capacity(short.len());
    for mut refused in short {
        match refused.details.remove(SHORTFALLS) {
            Some(Value::Array(several)) => list.extend(several),
            _ => list.push(Value::Object(refused.details)),
        }
    }
    Some(Refused {
        class,
        code: OUT_OF_STOCK.to_owned(),
        message,
        details: Map::from_iter([(SHORTFALLS.to_owned(), list.into())]),
    })
}

fn told(refused: &Refused) -> Value {
    let mut told = refused.details.clone();
    told.insert("code".to_owned(), refused.code.clone().into());
    told.insert("message".to_owned(), refused.message.clone().into());
    Value::Object(told)
}

/// The caller named a version that is not the stream's, or not its any more. Recorded like any other refusal: the same key gives this
/// answer for ever, and who has merged what happened since sends the new version under a new key.
pub(super) fn stale(expected: Expected, actual: u64) -> Refused {
    let (message, details) = match expected {
        Expected::Exists => ("there is nothing yet that could match".to_owned(), json!({ "actual": actual })),
        Expected::Version(version) => {
            let message = match actual {
                0 => format!("there is nothing yet: version {version} was never written"),
                actual if version > actual => format!("it is at version {actual}: version {version} was never written"),
                actual => format!("it is at version {actual} and not {version}"),
            };
            (message, json!({ "expected": version, "actual": actual }))
        }
    };
    Refused::new(Class::Stale, "version-mismatch", message, &details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(sku: &str, wanted: u32) -> Refused {
        let numbers = json!({"code": "out-of-stock", "sku": sku, "wanted": wanted});
        Refused::new(Class::Conflict, OUT_OF_STOCK, format!("no {sku}"), &numbers)
    }

    #[test]
    fn shortfalls_are_one_list() {
        assert_eq!(combine(vec![]), None);
        let one = combine(vec![short("A", 1)]).expect("refused");
        assert_eq!(Value::Object(one.details), json!({"shortfalls": [{"sku": "A", "wanted": 1}]}));
        let two = combine(vec![short("A", 1), short("B", 2)]).expect("refused");
        assert_eq!(two.message, "no A; no B");
        assert_eq!(
            Value::Object(two.details),
            json!({"shortfalls": [{"sku": "A", "wanted": 1}, {"sku": "B", "wanted": 2}]})
        );
    }

    #[test]
    fn what_no_stock_could_mend_is_said_first() {
        let gone = Refused::new(Class::Absent, "not-found", "gone".into(), &json!({"code": "not-found"}));
        let said = combine(vec![short("A", 1), gone]).expect("refused");
        assert_eq!((said.class, &*said.code), (Class::Absent, "not-found"));
        assert_eq!(
            Value::Object(said.details),
            json!({"also": [{"code": "out-of-stock", "message": "no A", "sku": "A", "wanted": 1}]})
        );
    }
}
