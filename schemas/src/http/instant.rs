//! Instants that a caller names: each lies within bounds of the server's clock. An instant far off is a mistake, and
//! could not be corrected once it is recorded.

use domain::time::Timestamp;

use super::check::Check;

/// How far what happened may lie ahead, in seconds: a day, for clocks that are not set and dates without a zone.
pub const AHEAD_S: u32 = 24 * 60 * 60;
/// How far back a past event may lie, in seconds: ten years of 365.25 days. Older events are imported.
pub const BACK_S: u32 = 315_576_000;
/// The latest end that a hold may be given, in seconds from now: a year of 366 days.
pub const LONGEST_HOLD_S: u32 = 366 * 24 * 60 * 60;

/// What an instant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// When something happened: [`BACK_S`] back to [`AHEAD_S`] ahead.
    Happened,
    /// A future end: after now, and at most so many seconds ahead.
    Ends(u32),
    /// How long something is to last that ends already: so many seconds ahead at most.
    Lasts(u32),
}

impl Check {
    /// An instant that the caller names, where it names one.
    pub fn instant(&mut self, pointer: &str, at: Option<Timestamp>, now: Timestamp, span: Span) {
        let Some(at) = at else { return };
        match span {
            Span::Happened => {
                let (earliest, latest) = (now.minus_seconds(BACK_S), now.plus_seconds(AHEAD_S));
                if at < earliest || at > latest {
                    self.fault(
                        pointer,
                        format_args!(
                            "must be {earliest} to {latest} (it is {now}): name the instant of the event, or leave it out; \
                             import older events"
                        ),
                    );
                }
            }
            Span::Ends(most) => {
                let latest = now.plus_seconds(most);
                if at <= now || at > latest {
                    self.fault(
                        pointer,
                        format_args!(
                            "must be after now ({now}), at most {latest}: name such an instant, or leave it out"
                        ),
                    );
                }
            }
            Span::Lasts(most) => {
                let latest = now.plus_seconds(most);
                if at > latest {
                    self.fault(
                        pointer,
                        format_args!(
                            "must be at most {latest} (it is {now}): name an earlier instant, and prolong again"
                        ),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);

    fn fits(at: i64, span: Span) -> bool {
        let mut check = Check::new();
        check.instant("/at", Some(Timestamp::from_micros(at)), NOW, span);
        check.finish(()).is_ok()
    }

    #[test]
    fn each_span_takes_its_bounds_and_nothing_beyond() {
        let now = NOW.micros();
        let seconds = |s: u32| i64::from(s) * 1_000_000;
        for (span, least, most) in [
            (Span::Happened, now - seconds(BACK_S), now + seconds(AHEAD_S)),
            (Span::Ends(60), now + 1, now + seconds(60)),
            (Span::Lasts(60), 0, now + seconds(60)),
        ] {
            assert!(fits(least, span) && fits(most, span), "{span:?}");
            assert!(least == 0 || !fits(least - 1, span), "{span:?}");
            assert!(!fits(most + 1, span) && !fits(i64::MAX, span), "{span:?}");
        }
    }
}
