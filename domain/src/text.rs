//! Text from outside: normalised first, then checked, then stored. Stored text is accepted unchanged and never judged
//! again, so that the tables of another Unicode version change nothing that was accepted.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

#[cfg(test)]
mod tests;

/// The fault of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Too few or too many characters.
    #[error("must have {least} to {longest} characters")]
    Length {
        /// The fewest.
        least: usize,
        /// The most.
        longest: usize,
    },
    /// White space at an end, where none may be.
    #[error("must not begin or end with a space")]
    Ends,
    /// A character that has no place in it.
    #[error("must not hold U+{:04X}, which is {why}", u32::from(*.found))]
    Character {
        /// The character.
        found: char,
        /// What it is.
        why: Unwanted,
    },
}

/// Why a character has no place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    /// A control character, a line break among them.
    #[error("a control character")]
    Control,
    /// A character that changes the direction of the text around it.
    #[error("a character that changes the direction of text")]
    Direction,
    /// Nothing is shown for it.
    #[error("an invisible character")]
    Invisible,
    /// For private use.
    #[error("a character for private use")]
    Private,
    /// Unicode does not know it.
    #[error("not an assigned character")]
    Unassigned,
}

/// A text of one line: a title, a reason, a tag. In NFC, of `least` to `longest` characters, without control characters and line breaks
/// and without characters that override the direction of text.
///
/// # Errors
/// If it has too few or too many characters, or one that has no place in it.
pub fn line(text: &str, least: usize, longest: usize) -> Result<String, BadText> {
    checked(nfc(text), least, longest, in_line)
}

/// A text of any number of lines: a note, evidence. Line breaks become LF; in NFC, of 1 to `longest` characters, with
/// no control characters other than line breaks and tabs.
///
/// # Errors
/// If it has too few or too many characters, or one that is not allowed.
pub fn prose(text: &str, longest: usize) -> Result<String, BadText> {
    let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() };
    checked(nfc(&text), 1, longest, in_prose)
}

/// A text of one line from a file with weaker checks: forbidden characters are removed, and the text is cut at the
/// maximal length.
#[must_use]
pub fn cleaned_line(text: &str, longest: usize) -> String {
    // A text without some of its characters may compose further; cutting the end changes nothing before it.
    let left: String = text.chars().filter(|c| in_line(*c).is_none()).collect();
    nfc(&left).chars().take(longest).collect()
}

/// Whether names that differ only in letter case are different, and the stored case if they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Kept,
    Upper,
    Lower,
}

/// A name, which identifies something: in NFC, of 1 to `longest` characters, none of them unassigned, for private use,
/// a control character, invisible or one that changes the direction of text, and without white space at the ends. Byte
/// order marks and zero-width spaces at the ends come from pasting, and are removed.
pub(crate) fn name(text: &str, longest: usize, case: Case) -> Result<String, BadText> {
    let text = text.trim_matches(['\u{FEFF}', '\u{200B}']);
    let text = match case {
        Case::Kept => nfc(text),
        // Folding may bring a letter and a mark together that have a form of their own.
        Case::Upper => nfc(&nfc(text).chars().map(upper).collect::<String>()),
        Case::Lower => nfc(&nfc(text).chars().map(lower).collect::<String>()),
    };
    if text.trim().len() != text.len() {
        return Err(BadText::Ends);
    }
    checked(text, 1, longest, in_name)
}

/// In upper case, where that is one character whose lower case is this one: not ß, ŉ, ﬁ, ΐ, ı or İ.
fn upper(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    match only(c.to_uppercase()) {
        Some(up) if up.to_lowercase().eq([c]) => up,
        _ => c,
    }
}

/// In lower case, where that is one character whose upper case is this one: not İ or the Kelvin sign.
fn lower(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match only(c.to_lowercase()) {
        Some(low) if low.to_uppercase().eq([c]) => low,
        _ => c,
    }
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next();
    first.filter(|_| chars.next().is_none())
}

/// A text that is looked for among those that were taken: in their normal form, NFC.
#[must_use]
pub fn nfc(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { text.nfc().collect() }
}

fn checked(
    text: String,
    least: usize,
    longest: usize,
    unwanted: fn(char) -> Option<Unwanted>,
) -> Result<String, BadText> {
    let mut length = 0;
    for found in text.chars() {
        length += 1;
        if let Some(why) = unwanted(found) {
            return Err(BadText::Character { found, why });
        }
    }
    if (least..=longest).contains(&length) { Ok(text) } else { Err(BadText::Length { least, longest }) }
}

fn in_prose(c: char) -> Option<Unwanted> {
    (c.is_control() && c != '\n' && c != '\t').then_some(Unwanted::Control)
}

fn in_line(c: char) -> Option<Unwanted> {
    match c {
        _ if c.is_control() => Some(Unwanted::Control),
        '\u{2028}' | '\u{2029}' => Some(Unwanted::Control),
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => Some(Unwanted::Direction),
        _ => None,
    }
}

fn in_name(c: char) -> Option<Unwanted> {
    if c.is_ascii_graphic() || c == ' ' {
        return None;
    }
    let category = match c.general_category() {
        GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => {
            Some(Unwanted::Control)
        }
        GeneralCategory::Unassigned | GeneralCategory::Surrogate => Some(Unwanted::Unassigned),
        GeneralCategory::PrivateUse => Some(Unwanted::Private),
        GeneralCategory::Format if directs(c) => Some(Unwanted::Direction),
        GeneralCategory::Format => Some(Unwanted::Invisible),
        _ => None,
    };
    category.or_else(|| ignorable(c).then_some(Unwanted::Invisible))
}

fn directs(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Default-ignorable characters of Unicode other than format and unassigned characters: joiners, fillers and variation
/// selectors.
fn ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{034F}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}'
            | '\u{E0100}'..='\u{E01EF}'
    )
}

/// A value from outside. The `Deserialize` of the type itself accepts stored values; this one uses the constructor,
/// which normalises and checks. Bodies, paths, files and configurations use this type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entered<T>(pub T);

impl<T> From<T> for Entered<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Display> Serialize for Entered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Entered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}
