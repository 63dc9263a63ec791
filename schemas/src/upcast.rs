//! Converts stored schema versions to the newest one, one version at a time. A step is total: it never refuses stored
//! data.

use serde_json::Value;

/// Turns the data of one schema version into that of the next.
pub(crate) type Step = fn(Value) -> Value;

/// For each type with more than one version: the step from version 1 to 2, from 2 to 3 and so on. A type's newest
/// version is the number of its steps plus one, so every version has a path to the newest.
const STEPS: &[(&str, &[Step])] = &[];

/// The steps of a type.
fn steps(kind: &str) -> &'static [Step] {
    of(STEPS, kind)
}

fn of(table: &'static [(&'static str, &'static [Step])], kind: &str) -> &'static [Step] {
    table.iter().find(|(known, _)| *known == kind).map_or(&[], |(_, steps)| steps)
}

/// The newest schema version of a type: the one that is written.
#[expect(clippy::cast_possible_truncation, reason = "there will never be four billion schema versions")]
pub(crate) fn newest(kind: &str) -> u32 {
    steps(kind).len() as u32 + 1
}

/// Brings data of an older version, from 1, to the newest one.
pub(crate) fn bring(kind: &str, version: u32, data: Value) -> Value {
    apply(steps(kind), version, data)
}

fn apply(steps: &[Step], version: u32, data: Value) -> Value {
    steps.iter().skip(version.saturating_sub(1) as usize).fold(data, |data, step| step(data))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mark(step: &'static str, mut data: Value) -> Value {
        data[step] = true.into();
        data
    }

    const TABLE: &[(&str, &[Step])] = &[("Thing", &[|data| mark("to_2", data), |data| mark("to_3", data)])];

    #[test]
    fn each_version_goes_through_the_steps_that_it_lacks() {
        let steps = of(TABLE, "Thing");
        assert_eq!(apply(steps, 1, json!({})), json!({"to_2": true, "to_3": true}));
        assert_eq!(apply(steps, 2, json!({})), json!({"to_3": true}));
        assert_eq!(apply(steps, 3, json!({})), json!({}));
        assert!(of(TABLE, "Other").is_empty());
    }

    #[test]
    fn every_type_with_steps_is_a_type_that_is_stored() {
        for (kind, steps) in STEPS {
            assert!(crate::registry::kinds().any(|known| known == *kind), "{kind}");
            assert!(!steps.is_empty(), "{kind}");
        }
    }
}
