//! Rules of the house that no compiler knows: where a word may stand, and how a file begins.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') && name != "daybook-data" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(ROOT).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path.starts_with("domain/src/simulation")
        || path.starts_with("domain/src/simulation.rs")
        || path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
}

/// The file without its test modules.
fn product_part(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! ") || text.starts_with("#![doc"), "{} does not begin with `//!`", path.display());
    }
}

#[test]
fn the_environment_is_read_in_daybook_only() {
    for (path, text) in sources() {
        if !path.starts_with("daybook") && !is_test(&path) {
            assert!(!product_part(&text).contains("env::var"), "{} reads the environment", path.display());
        }
    }
}

#[test]
fn the_domain_has_no_clock_no_randomness_and_no_io() {
    for (path, text) in sources() {
        if path.starts_with("domain") {
            for banned in [
                "SystemTime::now",
                "Instant::now",
                "Utc::now",
                "now_v7",
                "new_v4",
                "std::fs",
                "std::net",
                "async fn",
                "println!",
            ] {
                assert!(!product_part(&text).contains(banned), "{} says {banned}", path.display());
            }
        }
    }
}

#[test]
fn nothing_is_left_open_or_switched_off() {
    for (path, text) in sources() {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for banned in ["todo!(", "unimplemented!(", "FIXME", "#[ignore", "#[allow("] {
            assert!(!text.contains(banned), "{} says {banned}", path.display());
        }
    }
}

#[test]
fn no_line_ends_in_a_space_and_no_file_is_a_hall() {
    for (path, text) in sources() {
        assert!(!text.lines().any(|line| line.ends_with([' ', '\t'])), "{} has trailing spaces", path.display());
        if !is_test(&path) {
            let lines = text.lines().count();
            assert!(lines <= 700, "{} has {lines} lines: divide it", path.display());
        }
    }
}

/// Names and currencies have two doors: `Deserialize` takes what is stored, and `Entered` goes through the constructor that judges. What a
/// request, a file or a configuration says (it refuses unknown fields, or is only ever read) holds `Entered`.
#[test]
fn what_comes_from_outside_goes_through_the_constructor_of_the_edge() {
    let names = ["Sku", "LocationId", "Channel", "ExternalRef", "CustomerRef", "Tenant", "Currency"];
    let mut looked_at = 0;
    for (path, text) in sources() {
        let outside =
            ["schemas/src/http", "command-api/src", "daybook/src"].iter().any(|folder| path.starts_with(folder));
        // An amount's currency has to be the order's or the payment's.
        if !outside || path.ends_with("schemas/src/http/money.rs") {
            continue;
        }
        let (mut attributes, mut inside) = (String::new(), false);
        for line in product_part(&text).lines().map(str::trim) {
            if line.starts_with("#[") {
                attributes.push_str(line);
            } else if line.contains("struct ") && line.ends_with('{') {
                let only_read = attributes.contains("Deserialize") && !attributes.contains("Serialize,");
                inside = attributes.contains("deny_unknown_fields") || only_read;
                attributes.clear();
                looked_at += u32::from(inside);
            } else if line.starts_with('}') {
                inside = false;
            } else if !line.starts_with("//") {
                attributes.clear();
                let Some((_, kind)) = line.split_once(": ").filter(|_| inside) else {
                    continue;
                };
                let plain = kind.replace("Option<", "").replace("Vec<", "");
                let plain = plain.trim_end_matches([',', '>']);
                assert!(
                    !names.contains(&plain),
                    "{}: `{line}` takes a text from outside as if it was stored",
                    path.display()
                );
            }
        }
    }
    assert!(looked_at > 30, "{looked_at} bodies were looked at");
}
