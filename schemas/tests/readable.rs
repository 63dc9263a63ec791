//! Everything that the edge accepts can be read again: for every event type, any value that is built through the
//! constructors of the edge encodes and decodes to itself. Values are made from the stored schema of each type, so a
//! new type is covered as soon as it is added.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use domain::ids::{Channel, CustomerRef, ExternalRef, LocationId, Sku, Tenant};
use domain::text;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schemas::registry;
use serde_json::{Map, Value, json};

/// Characters of all kinds, the troublesome ones often.
fn any_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::char::range('\u{20}', '\u{7E}'),
        2 => prop::char::range('\u{C0}', '\u{24F}'),
        1 => prop::char::range('\u{300}', '\u{36F}'),
        1 => prop::char::range('\u{1D15E}', '\u{1D164}'),
        1 => prop::char::range('\u{FB00}', '\u{FB4F}'),
        1 => any::<char>(),
    ];
    vec(character, 0..140).prop_map(String::from_iter)
}

/// As the edge takes it; something plain where it takes none of it.
fn name<T: std::str::FromStr + Into<String>>(text: &str, longest: usize) -> Value {
    let shortened = || text.chars().take(longest / 4).collect::<String>().parse::<T>();
    let taken = text.parse::<T>().or_else(|_| shortened()).or_else(|_| "plain".parse());
    let Ok(taken) = taken else { panic!("a plain name is taken") };
    Value::String(taken.into())
}

struct Maker<'a> {
    definitions: &'a Map<String, Value>,
    texts: std::vec::IntoIter<String>,
    numbers: std::vec::IntoIter<u64>,
}

impl Maker<'_> {
    fn number(&mut self) -> u64 {
        self.numbers.next().unwrap_or(1)
    }

    fn text(&mut self) -> String {
        self.texts.next().unwrap_or_else(|| "plain".to_owned())
    }

    fn make(&mut self, schema: &Value) -> Value {
        let Some(schema) = schema.as_object() else {
            return json!({ "any": self.text() });
        };
        if let Some(reference) = schema.get("$ref") {
            let reference = reference.as_str().unwrap().rsplit('/').next().unwrap();
            return self.named(reference);
        }
        let alternatives = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.as_array());
        let mut made = match (schema.get("const"), schema.get("enum"), alternatives) {
            (Some(only), ..) => return only.clone(),
            (_, Some(values), _) => {
                let values = values.as_array().unwrap();
                return values[self.number() as usize % values.len()].clone();
            }
            (.., Some(alternatives)) => {
                let at = self.number() as usize % alternatives.len();
                self.make(&alternatives[at])
            }
            _ => Value::Null,
        };
        if let Some(kind) = self.kind(schema) {
            let own = self.of_kind(&kind, schema);
            match (&mut made, own) {
                (Value::Object(made), Value::Object(own)) => made.extend(own),
                (made, own) => *made = own,
            }
        }
        made
    }

    fn kind(&mut self, schema: &Map<String, Value>) -> Option<String> {
        match schema.get("type")? {
            Value::Array(kinds) => {
                let at = self.number() as usize % kinds.len();
                kinds[at].as_str().map(str::to_owned)
            }
            kind => kind.as_str().map(str::to_owned),
        }
    }

    fn of_kind(&mut self, kind: &str, schema: &Map<String, Value>) -> Value {
        match (kind, schema.get("format").and_then(Value::as_str)) {
            ("null", _) => Value::Null,
            ("boolean", _) => self.number().is_multiple_of(2).into(),
            ("integer", Some("uint32")) => (self.number() % (1 << 32)).into(),
            ("integer", Some("uint64")) => self.number().into(),
            ("integer", Some("uint8")) => (self.number() % (1 << 8)).into(),
            ("integer", _) => (self.number() as i64).into(),
            ("number", _) => panic!("a stored number with a fraction: {schema:?}"),
            ("string", Some("uuid")) => uuid::Uuid::from_u64_pair(self.number(), self.number()).to_string().into(),
            ("string", _) => {
                let text = self.text();
                let cleaned = text::cleaned_line(&text, 100);
                text::prose(&text, 4_000).unwrap_or(cleaned).into()
            }
            ("array", _) => {
                let items = schema.get("items").cloned().unwrap_or(Value::Bool(true));
                let length = self.number() % 4;
                (0..length).map(|_| self.make(&items)).collect()
            }
            ("object", _) => self.object(schema),
            _ => panic!("a kind of value that nothing is known of: {schema:?}"),
        }
    }

    fn object(&mut self, schema: &Map<String, Value>) -> Value {
        let mut made = Map::new();
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if required.contains(&json!(name)) || self.number().is_multiple_of(2) {
                made.insert(name.clone(), self.make(property));
            }
        }
        if let Some(more) = schema.get("additionalProperties").filter(|more| **more != json!(false)) {
            made.insert(text::cleaned_line(&self.text(), 40), self.make(more));
        }
        Value::Object(made)
    }

    /// The types whose constructors judge are made by them; all others by their schema.
    fn named(&mut self, definition: &str) -> Value {
        match definition {
            "Tenant" => name::<Tenant>(&self.text(), Tenant::LONGEST),
            "Sku" => name::<Sku>(&self.text(), Sku::LONGEST),
            "LocationId" => name::<LocationId>(&self.text(), LocationId::LONGEST),
            "Channel" => name::<Channel>(&self.text(), Channel::LONGEST),
            "ExternalRef" => name::<ExternalRef>(&self.text(), ExternalRef::LONGEST),
            "CustomerRef" => name::<CustomerRef>(&self.text(), CustomerRef::LONGEST),
            "Currency" => ["GBP", "JPY", "KWD", "XOF"][self.number() as usize % 4].into(),
            "Timestamp" => {
                let at = domain::time::Timestamp::from_micros((self.number() >> 4) as i64);
                String::from(at).into()
            }
            "UnitPrice" => format!("{}.{}", self.number() % 1_000_000_000_000, self.number() % 100_000_000).into(),
            _ => {
                let schema = self.definitions.get(definition).unwrap_or_else(|| panic!("{definition} is defined"));
                self.make(schema)
            }
        }
    }
}

#[test]
fn any_event_of_any_type_that_the_edge_can_lead_to_is_read_as_it_was_written() {
    let mut kinds: Vec<&str> = registry::kinds().collect();
    kinds.sort_unstable();
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let what = (vec(any_text(), 64), vec(any::<u64>(), 256));
    for kind in kinds {
        let (schema, version) = (registry::schema(kind).unwrap(), registry::newest_version(kind).unwrap());
        let definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
        let held = runner.run(&what, |(texts, numbers)| {
            let mut maker = Maker { definitions: &definitions, texts: texts.into_iter(), numbers: numbers.into_iter() };
            let made = maker.make(schema.as_value());
            let event = registry::decode(kind, version, made.to_string().as_bytes());
            let event = event.map_err(|error| TestCaseError::fail(format!("{error:?} of {made}")))?;
            let stored = registry::encode(&event).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!((&*stored.kind, stored.schema_version), (kind, version));
            let read = registry::decode(kind, version, &stored.data);
            prop_assert_eq!(read.map_err(|error| TestCaseError::fail(format!("{error:?}")))?, event);
            Ok(())
        });
        assert!(held.is_ok(), "{kind}: {}", held.unwrap_err());
    }
}
