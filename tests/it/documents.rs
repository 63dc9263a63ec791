//! The documents say what is: every problem code, with its status.

use std::collections::BTreeMap;

fn listed() -> BTreeMap<String, u16> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/http-api.md")).unwrap();
    let codes = text.split("| code | status |").nth(1).unwrap();
    codes
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(code, rest)| Some((code.to_owned(), rest.split(' ').next()?.parse().ok()?)))
        .collect()
}

#[test]
fn every_problem_code_is_documented_with_its_status() {
    let codes = schemas::http::code::CODES.iter().map(|code| (code.code.to_owned(), code.status));
    assert_eq!(listed(), codes.collect());
}
