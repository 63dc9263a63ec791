//! The request headers that commands know: `Idempotency-Key`, `If-Match`, `Prefer`. A header that means something here and cannot be
//! read is refused; it is never passed over, since the caller relies on it.

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;

use super::problem::Failure;

/// The header that names a command.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest key.
const LONGEST_KEY: usize = 255;
/// The longest that a request may wait for a verdict, in seconds.
pub const LONGEST_WAIT_S: u64 = 60;

/// The only value of a header, `None` if it is not there.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(malformed(name, "may be given once only"));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(malformed(name, "may have visible ASCII characters only")),
    }
}

fn malformed(name: &str, detail: &str) -> Failure {
    Failure::at("malformed-header", name, detail)
}

/// The idempotency key: 1 to 255 visible ASCII characters.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(key) = only(headers, IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let fits = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        Ok(Some(key.to_owned()))
    } else {
        Err(malformed(IDEMPOTENCY_KEY, "must have 1 to 255 visible ASCII characters and no space"))
    }
}

/// What `If-Match` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Any version.
    Any,
    /// This version.
    Version(u64),
}

/// `If-Match: "v7"` or `*`. A weak tag never matches, and a list means that the caller does not know its version: both
/// are refused.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Failure> {
    let Some(tag) = only(headers, IF_MATCH.as_str())? else {
        return Ok(None);
    };
    if tag == "*" {
        return Ok(Some(IfMatch::Any));
    }
    let version = tag
        .strip_prefix("\"v")
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok());
    match version {
        Some(version) => Ok(Some(IfMatch::Version(version))),
        None => Err(malformed(IF_MATCH.as_str(), "must be the ETag that was read, such as \"v7\", or *")),
    }
}

/// The seconds of `Prefer: wait`, at most a minute. Other preferences are ignored, as RFC 7240 requires.
pub(super) fn wait(headers: &HeaderMap) -> Option<u64> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            if !name.trim().eq_ignore_ascii_case("wait") {
                return None;
            }
            let seconds: u64 = value.trim().trim_matches('"').parse().ok()?;
            (seconds > 0).then_some(seconds.min(LONGEST_WAIT_S))
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

    use super::*;

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn an_etag_is_a_version() {
        let parsed = |text| if_match(&with("if-match", text)).ok().flatten();
        assert_eq!(parsed("\"v7\""), Some(IfMatch::Version(7)));
        assert_eq!(parsed("*"), Some(IfMatch::Any));
        for wrong in ["v7", "W/\"v7\"", "\"7\"", "\"v7\", \"v8\"", "\"v-1\"", "\"v+1\"", "\"v\""] {
            assert!(if_match(&with("if-match", wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_has_no_space_and_a_length() {
        let key = |text| idempotency_key(&with(IDEMPOTENCY_KEY, text));
        assert_eq!(key("a-1").unwrap().as_deref(), Some("a-1"));
        assert!(key("").is_err());
        assert!(key("a b").is_err());
        let long: &'static str = Box::leak("x".repeat(256).into_boxed_str());
        assert!(key(long).is_err());
        let mut twice = with(IDEMPOTENCY_KEY, "a");
        twice.append(IDEMPOTENCY_KEY, "b".parse().unwrap());
        assert!(idempotency_key(&twice).is_err());
    }

    #[test]
    fn a_wait_is_at_most_a_minute() {
        let parsed = |text| wait(&with("prefer", text));
        assert_eq!(parsed("wait=5"), Some(5));
        assert_eq!(parsed("respond-async, Wait=\"30\"; x=1"), Some(30));
        assert_eq!(parsed("wait=600"), Some(60));
        assert_eq!(parsed("wait=0"), None);
        assert_eq!(parsed("wait=soon"), None);
    }
}
