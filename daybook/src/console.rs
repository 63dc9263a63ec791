//! What the commands print: results on standard output, as text or as JSON; progress on standard error, and only on a terminal.
//! The only place that writes to standard output.

use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value.
    Json,
}

impl Output {
    /// Prints a result: as JSON, or as the text that `text` makes of it.
    pub fn print<T: Serialize>(self, result: &T, text: impl FnOnce(&T) -> String) {
        match self {
            Self::Text => line(text(result).trim_end()),
            Self::Json => line(&serde_json::to_string_pretty(result).unwrap_or_else(|error| error.to_string())),
        }
    }

    /// Says something to a person that is no result: nothing where a program reads.
    pub fn say(self, text: &str) {
        if self == Self::Text {
            line(text);
        }
    }
}

/// Prints a text unchanged. A reader that closes the pipe early is not a failure.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints an error, on standard error.
pub fn complain(text: &str) {
    eprintln!("{text}");
}

/// A bar for work of a known size, drawn on a terminal only.
#[must_use]
pub fn bar(total: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target());
    let style = ProgressStyle::with_template("{msg:26} {bar:32} {human_pos}/{human_len}  {per_sec}  {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// A number with its thousands apart.
#[must_use]
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration as a person reads it.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs_f64() {
        short if short < 0.001 => format!("{:.0} µs", short * 1e6),
        short if short < 1.0 => format!("{:.1} ms", short * 1e3),
        long if long < 120.0 => format!("{long:.1} s"),
        long => format!("{:.0} min {:.0} s", (long / 60.0).floor(), long % 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(-328_556), "-328,556");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(999), "999");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(seconds(Duration::from_micros(250)), "250 µs");
        assert_eq!(seconds(Duration::from_millis(12)), "12.0 ms");
        assert_eq!(seconds(Duration::from_secs(150)), "2 min 30 s");
    }
}
