//! Unit prices as files write them: decimals that may be negative on corrections. Exact, never a float.

use domain::money::{self, Currency, LARGEST, Minor, Rounding, Shared};
use domain::order::line::UnitPrice;

/// How many decimals beyond the minor unit are kept.
const BEYOND: u32 = 4;

/// A unit price in ten-thousandths of a minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(i64);

impl Price {
    /// Reads a decimal.
    ///
    /// # Errors
    /// With a readable message, if it is not a decimal, is too large, or has more than four decimals beyond the minor
    /// unit.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, String> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = fraction.trim_end_matches('0');
        let scale = currency.exponent() + BEYOND;
        let decimals = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
        let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !numeric(whole) || !numeric(fraction) || digits.ends_with('.') {
            return Err(format!("`{}` is no decimal", shorten(text)));
        }
        if decimals > scale {
            return Err(format!("`{}` has more than {scale} decimals", shorten(text)));
        }
        if whole.len() > 10 {
            return Err(format!("`{}` is too large", shorten(text)));
        }
        let number: i64 =
            format!("{whole}{fraction}").parse().map_err(|_| format!("`{}` is too large", shorten(text)))?;
        let scaled = 10_i64.checked_pow(scale - decimals).and_then(|factor| number.checked_mul(factor));
        let scaled = scaled.ok_or_else(|| format!("`{}` is too large", shorten(text)))?;
        Ok(Self(if text.starts_with('-') { -scaled } else { scaled }))
    }

    /// Whether it is below 0.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The price of `units` in ten-thousandths of a minor unit, `None` if that is too large to count.
    #[must_use]
    pub fn raw(self, units: i64) -> Option<i64> {
        self.0.checked_mul(units)
    }
}

/// Ten-thousandths of a minor unit as minor units, halves to the even neighbour: how every line of an import is rounded.
#[must_use]
pub fn round(raw: i64) -> Minor {
    let currency = Currency::GBP;
    let scale = currency.exponent() + BEYOND;
    money::from_decimal(raw.into(), scale, currency, Rounding::HalfEven).unwrap_or(LARGEST)
}

/// The value of `units` out of `of` units that are worth `amount` together, when `before` of them have been valued already:
/// cumulative, so that the parts sum to the whole.
#[must_use]
pub fn share(amount: Minor, before: u32, units: u32, of: u32) -> Minor {
    let whole = Shared { total: amount, units: of, given: 0, done: 0 };
    let given = if before == 0 { 0 } else { whole.next(before, Rounding::HalfEven) };
    Shared { given, done: before, ..whole }.next(units, Rounding::HalfEven)
}

/// The unit price as an order stores it.
///
/// # Errors
/// If the domain refuses it.
pub fn unit_price(text: &str) -> Result<UnitPrice, String> {
    UnitPrice::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// At most 40 characters of a text that came from a file.
#[must_use]
pub fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    fn rounded(price: &str, units: i64) -> Minor {
        round(Price::parse(price, Currency::GBP).unwrap().raw(units).unwrap())
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        assert_eq!(rounded("0.005", 1), 0);
        assert_eq!(rounded("0.015", 1), 2);
        assert_eq!(rounded("0.025", 1), 2);
        assert_eq!(rounded("0.005", 3), 2);
        assert_eq!(rounded("-0.015", 1), -2);
        assert_eq!(rounded("0.001", 5), 0);
        assert_eq!(rounded("2.55", -6), -1530);
    }

    #[test]
    fn what_is_no_price_is_told() {
        for text in ["", ".5", "1.", "1e3", "1,5", "1.0000001", "99999999999", "--1", "1.2.3"] {
            assert!(Price::parse(text, Currency::GBP).is_err(), "{text}");
        }
        assert!(Price::parse("1.50000000", Currency::GBP).is_ok());
        assert!(Price::parse("-11062.06", Currency::GBP).unwrap().is_negative());
    }

    #[test]
    fn shares_sum_to_the_whole() {
        let parts: Vec<Minor> = (0..7).map(|done| share(1000, done, 1, 7)).collect();
        assert_eq!(parts.iter().sum::<Minor>(), 1000);
        assert_eq!(share(1000, 2, 5, 7), parts[2..].iter().sum::<Minor>());
    }
}
