//! Holdings as folds that wait in a file have them: JSON has no maps with such keys.

use domain::ids::{LocationId, Sku};
use domain::laws::crossing::{Holdings, Units};
use serde::{Deserialize as _, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(held: &Holdings, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(held)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Holdings, D::Error> {
    let pairs = Vec::<((LocationId, Sku), Units)>::deserialize(deserializer)?;
    Ok(pairs.into_iter().collect())
}
