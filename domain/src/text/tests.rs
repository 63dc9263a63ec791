//! Over all of Unicode: accepted text is stored and read unchanged, and accepting it again changes nothing.

use std::fmt::{Debug, Display};

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::ids::{Channel, CustomerRef, ExternalRef, LocationId, Sku, Tenant};

/// What the edge takes is read as it was stored, is within its bound, and is taken as it is the second time.
fn holds<T>(text: &str, longest: usize)
where
    T: FromStr<Err: Debug> + Display + Debug + Eq + Serialize + DeserializeOwned,
{
    let Ok(taken) = text.parse::<T>() else {
        return;
    };
    let stored = serde_json::to_string(&taken).expect("has a form");
    let read = serde_json::from_str::<T>(&stored);
    assert!(read.as_ref().is_ok_and(|read| *read == taken), "{text:?} is stored as {stored} and read as {read:?}");
    let shown = taken.to_string();
    assert!((1..=longest).contains(&shown.chars().count()), "{text:?} is kept as {shown:?}");
    let again = shown.parse::<T>();
    assert!(again.as_ref().is_ok_and(|again| *again == taken), "{shown:?} is taken as {again:?} the second time");
}

fn every_character<T>(longest: usize)
where
    T: FromStr<Err: Debug> + Display + Debug + Eq + Serialize + DeserializeOwned,
{
    for c in char::MIN..=char::MAX {
        holds::<T>(&format!("a{c}"), longest);
        let mut form = nfc(c.encode_utf8(&mut [0; 4]));
        form.extend(c.to_uppercase());
        if form.chars().count() > 2 || form.len() > 2 * c.len_utf8() {
            // A character that grows, repeated so often that the result may be too long.
            for times in [longest / 3, longest / 2, longest - 1, longest] {
                holds::<T>(&c.to_string().repeat(times), longest);
            }
        }
    }
}

// One of the names that are made upper-case, one of those that are made lower-case, and one of those that are kept: the others have the same
// code.

#[test]
fn every_character_of_a_location_is_read_as_it_was_taken() {
    every_character::<LocationId>(LocationId::LONGEST);
}

#[test]
fn every_character_of_a_sku_is_read_as_it_was_taken() {
    every_character::<Sku>(Sku::LONGEST);
}

#[test]
fn every_character_of_an_external_reference_is_read_as_it_was_taken() {
    every_character::<ExternalRef>(ExternalRef::LONGEST);
}

proptest! {
    #[test]
    fn names_of_any_characters_are_read_as_they_were_taken(text in any_text()) {
        holds::<Tenant>(&text, Tenant::LONGEST);
        holds::<Sku>(&text, Sku::LONGEST);
        holds::<LocationId>(&text, LocationId::LONGEST);
        holds::<Channel>(&text, Channel::LONGEST);
        holds::<ExternalRef>(&text, ExternalRef::LONGEST);
        holds::<CustomerRef>(&text, CustomerRef::LONGEST);
    }
}

/// Letters, marks that combine with them, and anything else.
fn any_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        3 => prop::char::range('a', 'z'),
        2 => prop::char::range('\u{300}', '\u{36F}'),
        2 => prop::char::range('\u{C0}', '\u{24F}'),
        1 => prop::char::range('\u{1E00}', '\u{1FFF}'),
        1 => prop::char::range('\u{AC00}', '\u{D7A3}'),
        1 => any::<char>(),
    ];
    prop::collection::vec(character, 0..140).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn lines_and_prose_are_taken_as_they_are_the_second_time(text in any_text()) {
        if let Ok(taken) = line(&text, 1, 100) {
            prop_assert_eq!(line(&taken, 1, 100), Ok(taken));
        }
        if let Ok(taken) = prose(&text, 100) {
            prop_assert_eq!(prose(&taken, 100), Ok(taken));
        }
        let cleaned = cleaned_line(&text, 50);
        prop_assert!(cleaned.is_empty() || line(&cleaned, 1, 50) == Ok(cleaned.clone()), "{cleaned:?}");
    }
}

fn sku(text: &str) -> Result<String, String> {
    Sku::try_new(text).map(String::from).map_err(|bad| bad.to_string())
}

#[test]
fn a_sku_that_grows_when_folded_stays_as_it_is() {
    for (text, kept) in [("ßŉﬁΐıİ", "ßŉﬁΐıİ"), ("aäñж", "AÄÑЖ"), ("ſµς", "ſµς"), ("straße", "STRAßE")]
    {
        assert_eq!(sku(text), Ok(kept.to_owned()));
    }
    let longest = format!("{}ß", "A".repeat(63));
    assert_eq!(sku(&longest), Ok(longest.clone()));
    assert_eq!(sku(&format!("{longest}A")), Err("the SKU must have 1 to 64 characters".to_owned()));
    // Three characters in NFC, so that their number is counted after it.
    assert!(sku(&"\u{1D160}".repeat(21)).is_ok());
    assert!(sku(&"\u{1D160}".repeat(22)).is_err());
}

#[test]
fn composed_and_decomposed_are_one_name() {
    assert_eq!(sku("cafe\u{301}"), sku("CAF\u{C9}"));
    assert_eq!(sku("i\u{307}"), sku("\u{130}"), "composed by the fold");
    assert_eq!(ExternalRef::try_new("e\u{301}"), ExternalRef::try_new("\u{E9}"));
    assert_ne!(ExternalRef::try_new("a-1"), ExternalRef::try_new("A-1"));
    assert_ne!(CustomerRef::try_new("a-1"), CustomerRef::try_new("A-1"));
    assert_eq!(LocationId::try_new("North"), LocationId::try_new("NORTH"));
}

#[test]
fn what_cannot_be_seen_or_read_by_others_is_refused_in_names() {
    for (c, why) in [
        ('\u{200B}', "an invisible character"),
        ('\u{AD}', "an invisible character"),
        ('\u{FE0F}', "an invisible character"),
        ('\u{3164}', "an invisible character"),
        ('\u{E0041}', "an invisible character"),
        ('\u{202E}', "a character that changes the direction of text"),
        ('\u{2066}', "a character that changes the direction of text"),
        ('\u{200F}', "a character that changes the direction of text"),
        ('\u{E000}', "a character for private use"),
        ('\u{10FFFD}', "a character for private use"),
        ('\u{378}', "not an assigned character"),
        ('\u{FFFE}', "not an assigned character"),
        ('\0', "a control character"),
        ('\u{85}', "a control character"),
        ('\u{2028}', "a control character"),
    ] {
        let expected = format!("the SKU must not hold U+{:04X}, which is {why}", u32::from(c));
        assert_eq!(sku(&format!("A{c}B")), Err(expected));
    }
    for text in ["", " ", " A", "A ", "\u{A0}A", "\u{200B}", "\u{FEFF} A"] {
        assert!(sku(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_pasting_leaves_at_the_ends_of_a_name_is_left_out() {
    assert_eq!(sku("\u{FEFF}A-1\u{200B}"), Ok("A-1".to_owned()));
    assert_eq!(sku("\u{200B}\u{FEFF}a b"), Ok("A B".to_owned()));
}

#[test]
fn prose_has_line_breaks_of_one_kind() {
    assert_eq!(prose("one\r\ntwo\rthree\n\tfour", 4_000).as_deref(), Ok("one\ntwo\nthree\n\tfour"));
    assert_eq!(prose("\r\n\r\n", 2).as_deref(), Ok("\n\n"));
    assert!(prose("", 10).is_err());
    assert!(prose("a\u{8}", 10).is_err());
    assert!(prose("a\0", 10).is_err());
}

#[test]
fn a_line_has_no_controls_and_keeps_its_direction() {
    assert_eq!(line("cafe\u{301}", 1, 4).as_deref(), Ok("caf\u{E9}"));
    for text in ["a\nb", "a\tb", "a\u{2028}b", "\u{202E}a", "\u{2067}a", "", "\u{7F}"] {
        assert!(line(text, 1, 10).is_err(), "{text:?}");
    }
    assert!(line("a", 2, 60).is_err());
    // Marks of languages that are written from right to left, and joiners, belong to titles.
    assert!(line("\u{5D0}\u{200F}!\u{200D}", 1, 10).is_ok());
    assert_eq!(cleaned_line("two\nlines\u{202E}", 6), "twolin");
}
