//! Log lines at warn and error: each says what happened and, after a semicolon, whether Daybook continues by itself or what an operator
//! has to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The crates that write log lines. The domain writes none, and the tests' own programs are not operated.
const CRATES: [&str; 9] =
    ["command-api", "daybook", "domain", "event-store", "event-stream", "projections", "query-api", "sagas", "streams"];
/// The longest message, in characters.
const LONGEST: usize = 140;
/// How a message names a section of the operator's document.
const SECTION: &str = "see docs/operations.md, '";
/// What a line says where nobody has to act.
const GOES_ON: [&str; 2] = ["it is retried", "nothing to do"];
/// What an operator is asked to do. Each is a word of command with its object, so that it does not occur by chance.
const TO_DO: [&str; 10] = [
    SECTION,
    "run `",
    "check the ",
    "check that ",
    "restart the process",
    "restart this process",
    "remove index.sqlite",
    "remove it before the next start",
    "do not set the clock back",
    "raise the ",
];

/// A message of a call, and the line on which the call begins.
type Message = (usize, String);

/// The messages of all calls of `tracing::warn!` and `tracing::error!` in a source. A call without a literal at its end has an empty one.
fn messages(source: &str) -> Vec<Message> {
    let mut found = Vec::new();
    for call in ["warn!", "error!"] {
        for (at, _) in source.match_indices(call) {
            let (before, arguments) = (&source[..at], &source[at + call.len()..]);
            let longer = before.ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | ':'));
            let ours = before.ends_with("tracing::") || !longer;
            if ours && arguments.starts_with('(') {
                found.push((before.lines().count(), last_literal(arguments).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

/// The literal that is the last argument of a call, with its continued lines joined. The text begins at the bracket of the call.
fn last_literal(call: &str) -> Option<String> {
    let mut literal = None;
    let mut depth = 0_usize;
    let mut letters = call.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                let (text, rest) = text(letters.as_str())?;
                literal = Some(text);
                letters = rest.chars();
            }
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' if depth == 1 => return literal,
            ')' | '}' | ']' => {
                depth = depth.checked_sub(1)?;
                literal = None;
            }
            ',' => {}
            letter if letter.is_whitespace() => {}
            // Something stands behind the literal: it is not the last argument.
            _ => literal = None,
        }
    }
    None
}

/// A literal from behind its first quotation mark, and what follows it.
fn text(source: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut letters = source.chars();
    loop {
        match letters.next()? {
            '"' => return Some((text, letters.as_str())),
            '\\' => match letters.next()? {
                '\n' => letters = letters.as_str().trim_start().chars(),
                escaped => text.push(escaped),
            },
            letter => text.push(letter),
        }
    }
}

/// What is wrong with a message; `None` if it says what follows.
fn fault(message: &str, sections: &BTreeSet<String>) -> Option<String> {
    let length = message.chars().count();
    if length > LONGEST {
        return Some(format!("it has {length} characters, and {LONGEST} are allowed"));
    }
    // The phrase counts behind the first half of the sentence only: what happened is no advice.
    let Some((what, follows)) = message.split_once("; ") else {
        return Some("it has no second half (`what happened; what follows`)".to_owned());
    };
    if what.is_empty() || !GOES_ON.iter().chain(&TO_DO).any(|phrase| follows.contains(*phrase)) {
        return Some("its second half says neither that Daybook goes on nor what an operator does".to_owned());
    }
    let named = follows.split(SECTION).nth(1)?.strip_suffix('\'').unwrap_or_default();
    (!sections.contains(named)).then(|| format!("docs/operations.md has no section '{named}'"))
}

/// The headings of the operator's document.
fn sections() -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("docs/operations.md")).unwrap();
    let headings = text.lines().filter(|line| line.starts_with("##"));
    headings.map(|line| line.trim_start_matches('#').trim().to_owned()).collect()
}

/// The sources of the product, without its tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| Path::new(ROOT).join(name).join("src")).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "tests") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((path.strip_prefix(ROOT).unwrap().to_owned(), product));
            }
        }
    }
    found
}

#[test]
fn every_line_at_warn_or_error_says_what_follows() {
    let sections = sections();
    let (mut looked_at, mut faults) = (0, Vec::new());
    for (path, source) in sources() {
        for (line, message) in messages(&source) {
            looked_at += 1;
            if let Some(why) = fault(&message, &sections) {
                faults.push(format!("{}:{line}: `{message}`: {why}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(looked_at > 100, "{looked_at} lines were looked at");
}

#[test]
fn a_line_that_does_not_say_what_follows_is_found() {
    let sections = BTreeSet::from(["The disk is full".to_owned()]);
    let source = r#"
        tracing::warn!(%error, "the cup is empty");
        tracing::error!(
            cups = cups.len(),
            why = word("a; it is retried"),
            "the cup is broken; \
             it is retried"
        );
        tracing::warn!("it is retried");
        tracing::error!(%error, "nothing to do; the cup is lost");
        tracing::warn!("the cup is full; see docs/operations.md, 'The disk is full'");
        tracing::warn!("the cup is full; see docs/operations.md, 'The cup is full'");
        tracing::error!("the cup is full; it is retried", cup);
        tracing::error!(why = word("the cup is full; it is retried"));
        tracing::info!("the cup is washed");
    "#;
    let found = messages(source);
    let told: Vec<_> = found.iter().map(|(line, message)| (*line, fault(message, &sections).is_some())).collect();
    assert_eq!(
        told,
        [(2, true), (3, false), (9, true), (10, true), (11, false), (12, true), (13, true), (14, true)],
        "{found:?}"
    );
    assert_eq!(found[1].1, "the cup is broken; it is retried");
    let long = format!("{}; nothing to do", "x".repeat(LONGEST));
    assert!(fault(&long, &sections).is_some(), "a line is one short sentence");
}
