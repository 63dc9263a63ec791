//! One request over a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::bail;

/// The answer, if it says that all is well.
pub(super) fn request(address: &str, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let body = body.unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(answer);
    }
    bail!("{method} {path}: {}", answer.lines().next().unwrap_or_default())
}

/// A header of an answer.
pub(super) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines().map_while(|line| line.split_once(": ").or((!line.is_empty()).then_some((line, ""))));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
