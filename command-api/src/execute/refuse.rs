//! One refusal out of many: a command over several streams is refused once, with all that stands against it.

use domain::Class;
use serde_json::{Map, Value, json};

use super::Expected;
use super::done::Refused;

/// The code whose numbers are always a list, one entry for each stock that falls short.
const OUT_OF_STOCK: &str = "out-of-stock";

/// The list's name.
const SHORTFALLS: &str = "shortfalls";

/// How many refusals of one command are listed; the others are counted. They are recorded as one event, and an event's
/// size is limited.
const MOST_TOLD: usize = 100;
/// How many there are beyond those.
const MORE: &str = "more";

/// Combines the refusals of one batch; `None` if there are none. Refusals that more stock could not fix come before
/// shortages; among those, the first in the order of the plan wins.
pub(super) fn combine(refusals: Vec<Refused>) -> Option<Refused> {
    let (short, mut other): (Vec<_>, Vec<_>) = refusals.into_iter().partition(|refused| refused.code == OUT_OF_STOCK);
    if other.is_empty() {
        return shortfalls(short);
    }
    let mut said = other.remove(0);
    let rest = other.len() + short.len();
    if rest > 0 {
        let told: Vec<Value> = other.iter().chain(&short).take(MOST_TOLD).map(told).collect();
        count_more(&mut said.details, rest);
        said.details.insert("also".to_owned(), told.into());
    }
    Some(said)
}

fn shortfalls(short: Vec<Refused>) -> Option<Refused> {
    let first = short.first()?;
    let class = first.class;
    let message = match short.len() {
        1 => first.message.clone(),
        many => format!("{}; {} more fall short", first.message, many - 1),
    };
    let mut list = Vec::with_capacity(short.len());
    for mut refused in short {
        match refused.details.remove(SHORTFALLS) {
            Some(Value::Array(several)) => list.extend(several),
            _ => list.push(Value::Object(refused.details)),
        }
    }
    let mut details = Map::new();
    count_more(&mut details, list.len());
    list.truncate(MOST_TOLD);
    details.insert(SHORTFALLS.to_owned(), list.into());
    Some(Refused { class, code: OUT_OF_STOCK.to_owned(), message, details })
}

fn count_more(details: &mut Map<String, Value>, all: usize) {
    if all > MOST_TOLD {
        details.insert(MORE.to_owned(), (all - MOST_TOLD).into());
    }
}

fn told(refused: &Refused) -> Value {
    let mut told = refused.details.clone();
    told.insert("code".to_owned(), refused.code.clone().into());
    told.insert("message".to_owned(), refused.message.clone().into());
    Value::Object(told)
}

/// The caller named a version that differs from the stream's. Recorded like any other refusal: the same key always gets
/// this answer, and a client that has merged the newer events sends the new version under a new key.
pub(crate) fn stale(expected: Expected, actual: u64) -> Refused {
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
        assert_eq!(two.message, "no A; 1 more fall short");
        assert_eq!(
            Value::Object(two.details),
            json!({"shortfalls": [{"sku": "A", "wanted": 1}, {"sku": "B", "wanted": 2}]})
        );
    }

    #[test]
    fn the_first_hundred_are_told_and_the_others_are_counted() {
        let long = "\u{10FFFF}".repeat(64);
        let many = |count: u32| (0..count).map(|n| short(&format!("{long}{n}"), 1)).collect::<Vec<_>>();
        let said = combine(many(2_000)).expect("refused");
        assert_eq!(said.details["shortfalls"].as_array().map(Vec::len), Some(100));
        assert_eq!((&said.details["more"], said.message.contains("1999 more")), (&json!(1_900), true));
        let gone = Refused::new(Class::Absent, "not-found", long.clone(), &json!({"code": "not-found"}));
        let said = combine(many(1_000).into_iter().chain(vec![gone; 1_000]).collect()).expect("refused");
        assert_eq!(said.details["also"].as_array().map(Vec::len), Some(100));
        assert_eq!(said.details["more"], json!(1_899));
        let size = serde_json::to_vec(&said.details).map(|bytes| bytes.len());
        assert!(size.is_ok_and(|size| size < 128 * 1024));
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
