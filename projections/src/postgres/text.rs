//! Encodes texts for PostgreSQL. It cannot store NUL, so NUL and U+0001 are written as two characters each. No text's
//! encoding is a prefix of another's, and encodings sort like their texts, so equality, ranges and sorting are those of
//! the texts.

use std::borrow::Cow;

const MARK: char = '\u{1}';

/// A text as it is kept.
pub(super) fn kept(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte <= 1) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len() + 4);
    for letter in text.chars() {
        match letter {
            '\0' => kept.extend([MARK, MARK]),
            MARK => kept.extend([MARK, '\u{2}']),
            letter => kept.push(letter),
        }
    }
    Cow::Owned(kept)
}

/// The text that is kept so.
pub(super) fn meant(kept: String) -> String {
    if !kept.contains(MARK) {
        return kept;
    }
    let mut letters = kept.chars();
    let mut text = String::with_capacity(kept.len());
    while let Some(letter) = letters.next() {
        text.push(match letter {
            MARK if letters.next() == Some(MARK) => '\0',
            letter => letter,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_go_back_to_their_texts_hold_no_nul_and_stand_in_their_order() {
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            let longer = texts
                .iter()
                .flat_map(|text| ['\0', '\u{1}', '\u{2}', 'a', '\u{10ffff}'].map(|letter| format!("{text}{letter}")));
            texts = std::iter::once(String::new()).chain(longer).collect();
        }
        texts.sort();
        let forms: Vec<_> = texts.iter().map(|text| kept(text).into_owned()).collect();
        assert!(forms.is_sorted_by(|a, b| a < b));
        for (form, text) in forms.into_iter().zip(texts) {
            assert!(!form.contains('\0'));
            assert_eq!(meant(form), text);
        }
    }
}
