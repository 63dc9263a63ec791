//! Parses the behaviour that an instrument scripts (see the table there). An unknown word never counts as approval.

use std::time::Duration;

use domain::payment::abilities::Abilities;
use domain::payment::event::Verb;

/// What begins the instruments that are the sandbox's.
const OURS: &str = "sandbox:";
/// The word of an instrument with which nothing can be done but what every gateway can.
const PLAIN: &str = "plain";
/// The word of an instrument that holds money for an order once.
const ONCE: &str = "once";
/// What the word begins with that says for how many seconds money is held.
const ENDS: &str = "ends-";

/// The behaviour for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Approve,
    Decline,
    Timeout,
    Late,
    Flaky(u32),
    Busy(u32),
    Dark(u32),
    Never,
    NotOurs,
}

pub(super) fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Authorise => "authorise",
        Verb::Capture { .. } => "capture",
        Verb::Void => "void",
        Verb::Raise { .. } => "raise",
        Verb::Refund { .. } => "refund",
    }
}

pub(super) fn behaviour(instrument: &str, verb: Verb) -> Behaviour {
    let Some(script) = instrument.strip_prefix(OURS) else {
        return Behaviour::NotOurs;
    };
    let mut found = Behaviour::Approve;
    for part in script.split(',') {
        let part = part.trim();
        if part == PLAIN || part == ONCE || seconds(part).is_some() {
            continue;
        }
        let (about, what) = ["authorise", "capture", "void", "raise", "refund"]
            .into_iter()
            .find_map(|about| Some((about, part.strip_prefix(about)?.strip_prefix('-')?)))
            .unwrap_or(("authorise", part));
        let Some(behaviour) = parse(what) else {
            return Behaviour::NotOurs;
        };
        if about == word(verb) {
            found = behaviour;
        }
    }
    found
}

fn words(instrument: &str) -> impl Iterator<Item = &str> {
    instrument.trim_start_matches(OURS).split(',').map(str::trim)
}

/// The operations that the instrument's authorisation supports.
pub(super) fn abilities(instrument: &str) -> Abilities {
    if words(instrument).any(|word| word == PLAIN) { Abilities::NONE } else { Abilities::ALL }
}

/// Whether money is held for an order once with the instrument, and declined from then on.
pub(super) fn once(instrument: &str) -> bool {
    words(instrument).any(|word| word == ONCE)
}

/// For how long the instrument holds money, if it says so.
pub(super) fn window(instrument: &str) -> Option<Duration> {
    words(instrument).find_map(seconds).map(Duration::from_secs)
}

fn seconds(word: &str) -> Option<u64> {
    word.strip_prefix(ENDS)?.parse::<u32>().ok().map(u64::from)
}

fn parse(what: &str) -> Option<Behaviour> {
    let (name, times) = match what.rsplit_once('-') {
        Some((name, times)) if times.bytes().all(|b| b.is_ascii_digit()) => (name, Some(times.parse().ok()?)),
        _ => (what, None),
    };
    match (name, times) {
        ("approve", None) => Some(Behaviour::Approve),
        ("decline" | "declines", None) => Some(Behaviour::Decline),
        ("timeout" | "timeout-after-charge", None) => Some(Behaviour::Timeout),
        ("late", None) => Some(Behaviour::Late),
        ("never", None) => Some(Behaviour::Never),
        ("flaky", times) => Some(Behaviour::Flaky(times.unwrap_or(2))),
        ("busy", times) => Some(Behaviour::Busy(times.unwrap_or(2))),
        ("dark", times) => Some(Behaviour::Dark(times.unwrap_or(3))),
        _ => None,
    }
}

#[test]
fn the_table_is_what_is_done() {
    let capture = Verb::Capture { capture_id: Default::default() };
    for (instrument, verb, expected) in [
        ("sandbox:approve", Verb::Authorise, Behaviour::Approve),
        ("sandbox:decline", Verb::Authorise, Behaviour::Decline),
        ("sandbox:decline", capture, Behaviour::Approve),
        ("sandbox:timeout-after-charge", Verb::Authorise, Behaviour::Timeout),
        ("sandbox:capture-declines", capture, Behaviour::Decline),
        ("sandbox:capture-declines", Verb::Authorise, Behaviour::Approve),
        ("sandbox:late, capture-timeout", capture, Behaviour::Timeout),
        ("sandbox:late, capture-timeout", Verb::Authorise, Behaviour::Late),
        ("sandbox:void-flaky-5", Verb::Void, Behaviour::Flaky(5)),
        ("sandbox:busy", Verb::Authorise, Behaviour::Busy(2)),
        ("sandbox:dark", Verb::Authorise, Behaviour::Dark(3)),
        ("sandbox:never", Verb::Authorise, Behaviour::Never),
        ("sandbox:raise-declines", Verb::Raise { raise_id: Default::default() }, Behaviour::Decline),
        ("sandbox:raise-declines", Verb::Authorise, Behaviour::Approve),
        ("sandbox:plain", Verb::Authorise, Behaviour::Approve),
        ("sandbox:plain,capture-declines", capture, Behaviour::Decline),
        ("sandbox:capture-plain", capture, Behaviour::NotOurs),
        ("sandbox:ends-60,once", Verb::Authorise, Behaviour::Approve),
        ("sandbox:ends-60,capture-declines", capture, Behaviour::Decline),
        ("sandbox:ends-", Verb::Authorise, Behaviour::NotOurs),
        ("sandbox:ends-soon", Verb::Authorise, Behaviour::NotOurs),
        ("sandbox:aprove", Verb::Authorise, Behaviour::NotOurs),
        ("tok_visa", Verb::Authorise, Behaviour::NotOurs),
    ] {
        assert_eq!(behaviour(instrument, verb), expected, "{instrument}");
    }
    assert_eq!(abilities("sandbox:approve"), Abilities::ALL);
    assert_eq!(abilities("sandbox:late, plain"), Abilities::NONE);
    assert_eq!(window("sandbox:plain, ends-60"), Some(Duration::from_secs(60)));
    assert_eq!((window("sandbox:approve"), once("sandbox:approve"), once("sandbox:ends-5, once")), (None, false, true));
}
