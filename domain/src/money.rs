//! Money: integer minor units of one currency. The only place that rounds; a part is never computed twice.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount in minor units (pence, cents; yen for JPY). Between -10^15 and 10^15, which the edge sees to.
pub type Minor = i64;

/// The largest amount that any command may name or lead to.
pub const LARGEST: Minor = 1_000_000_000_000_000;

/// An ISO 4217 currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

/// A text that is no currency that anything can be paid in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a currency: use the ISO 4217 code of money, such as GBP; metals, funds and units of account are none"
)]
pub struct NotACurrency(String);

impl Currency {
    /// Pounds sterling.
    pub const GBP: Self = Self(iso_currency::Currency::GBP);
    /// Euros.
    pub const EUR: Self = Self(iso_currency::Currency::EUR);
    /// Yen, which have no minor unit.
    pub const JPY: Self = Self(iso_currency::Currency::JPY);
    /// Kuwaiti dinars, which have three decimals.
    pub const KWD: Self = Self(iso_currency::Currency::KWD);

    /// Its three letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals its minor unit stands for: 2 for GBP, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

/// By their codes.
impl Ord for Currency {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code().cmp(other.code())
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self::GBP
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;

    /// As it comes from outside: money only.
    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        match iso_currency::Currency::from_code(text) {
            Some(code) if !code.is_special() && !code.is_fund() => Ok(Self(code)),
            _ => Err(NotACurrency(shortened(text))),
        }
    }
}

/// As it is stored: every code that the list has.
impl TryFrom<String> for Currency {
    type Error = NotACurrency;

    fn try_from(text: String) -> Result<Self, NotACurrency> {
        iso_currency::Currency::from_code(&text).map(Self).ok_or_else(|| NotACurrency(shortened(&text)))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(16).collect()
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$" })
    }
}

/// An amount with its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// In minor units.
    pub amount: Minor,
    /// Of this currency.
    pub currency: Currency,
}

/// How halves are rounded. Recorded with each order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the even neighbour (the default): no drift over many lines.
    #[default]
    HalfEven,
    /// Away from zero.
    HalfUp,
}

/// An amount beyond what any order may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is beyond {LARGEST} minor units")]
pub struct TooLarge;

/// The sum of two amounts.
///
/// # Errors
/// If it is beyond [`LARGEST`].
pub fn add(a: Minor, b: Minor) -> Result<Minor, TooLarge> {
    within(i128::from(a) + i128::from(b))
}

/// The difference of two amounts.
///
/// # Errors
/// If it is beyond [`LARGEST`].
pub fn subtract(a: Minor, b: Minor) -> Result<Minor, TooLarge> {
    within(i128::from(a) - i128::from(b))
}

/// The sum of many amounts.
///
/// # Errors
/// If it is beyond [`LARGEST`].
pub fn sum(amounts: impl IntoIterator<Item = Minor>) -> Result<Minor, TooLarge> {
    amounts.into_iter().try_fold(0, add)
}

/// The decimal `digits / 10^scale` of the currency's major unit, in minor units, rounded once.
///
/// # Errors
/// If it is beyond [`LARGEST`], or the scale is beyond 18.
pub fn from_decimal(digits: i128, scale: u32, currency: Currency, rounding: Rounding) -> Result<Minor, TooLarge> {
    let exponent = currency.exponent();
    if scale > 18 {
        return Err(TooLarge);
    }
    let minor = if exponent >= scale {
        digits.checked_mul(10_i128.pow(exponent - scale)).ok_or(TooLarge)?
    } else {
        divide(digits, 10_i128.pow(scale - exponent), rounding)
    };
    within(minor)
}

/// The tax on an amount: in it if `included`, on top of it otherwise. Rounded once.
///
/// # Errors
/// If it is beyond [`LARGEST`].
pub fn tax(net: Minor, basis_points: u32, included: bool, rounding: Rounding) -> Result<Minor, TooLarge> {
    let rate = i128::from(basis_points);
    let whole = if included { 10_000 + rate } else { 10_000 };
    within(divide(i128::from(net) * rate, whole, rounding))
}

/// Spreads an amount over weights by largest remainder; of equal remainders the lower index comes first. The parts sum to the amount
/// exactly; none is larger than its weight if the amount is not larger than all of them. Nothing is spread over weights of nothing.
#[must_use]
pub fn spread(amount: Minor, weights: &[Minor]) -> Vec<Minor> {
    let of = |weight: &Minor| i128::from((*weight).max(0));
    let whole: i128 = weights.iter().map(of).sum();
    if whole == 0 {
        return vec![0; weights.len()];
    }
    let shares = || weights.iter().map(|w| i128::from(amount) * of(w));
    let mut parts: Vec<i128> = shares().map(|share| share.div_euclid(whole)).collect();
    let left = i128::from(amount) - parts.iter().sum::<i128>();
    let mut by_remainder: Vec<(i128, usize)> = shares().map(|s| s.rem_euclid(whole)).zip(0..).collect();
    by_remainder.sort_by_key(|(remainder, index)| (std::cmp::Reverse(*remainder), *index));
    for (_, index) in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        if let Some(part) = parts.get_mut(index) {
            *part += 1;
        }
    }
    parts.into_iter().map(saturated).collect()
}

/// A value that is given out in parts, unit by unit or many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The value of all units.
    pub total: Minor,
    /// All units.
    pub units: u32,
    /// The value assigned until now.
    pub given: Minor,
    /// The units that it was given out for.
    pub done: u32,
}

impl Shared {
    /// The value of the next `units`: `round(total × (done + units) / all) − given`. So the last unit takes the rest, and however the units
    /// are grouped, the parts sum to the total. Never below 0.
    #[must_use]
    pub fn next(self, units: u32, rounding: Rounding) -> Minor {
        let done = u64::from(self.done) + u64::from(units);
        let upto = if done >= u64::from(self.units) {
            i128::from(self.total)
        } else {
            divide(i128::from(self.total) * i128::from(done), i128::from(self.units), rounding)
        };
        saturated(upto - i128::from(self.given)).max(0)
    }
}

/// The quotient, rounded. The denominator is above 0.
fn divide(numerator: i128, denominator: i128, rounding: Rounding) -> i128 {
    let denominator = denominator.max(1);
    let quotient = numerator.div_euclid(denominator);
    let twice = numerator.rem_euclid(denominator) * 2;
    let up = match (twice.cmp(&denominator), rounding) {
        (std::cmp::Ordering::Less, _) => false,
        (std::cmp::Ordering::Greater, _) => true,
        (std::cmp::Ordering::Equal, Rounding::HalfEven) => quotient % 2 != 0,
        // Away from zero: of a negative number the half is the lower neighbour.
        (std::cmp::Ordering::Equal, Rounding::HalfUp) => numerator >= 0,
    };
    quotient + i128::from(up)
}

fn within(amount: i128) -> Result<Minor, TooLarge> {
    match Minor::try_from(amount) {
        Ok(amount) if (-LARGEST..=LARGEST).contains(&amount) => Ok(amount),
        _ => Err(TooLarge),
    }
}

/// For parts of amounts that are within bounds: they cannot be outside of them.
fn saturated(amount: i128) -> Minor {
    Minor::try_from(amount).unwrap_or(if amount < 0 { Minor::MIN } else { Minor::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every currency that was ever taken; one is added with each version of the list, and none is ever removed.
    const EVER: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD \
        CDF CHF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
        GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD \
        KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK \
        NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS \
        SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST \
        XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL";

    fn rounding() -> impl Strategy<Value = Rounding> {
        prop_oneof![Just(Rounding::HalfEven), Just(Rounding::HalfUp)]
    }

    #[test]
    fn halves_go_to_the_even_neighbour_or_away_from_zero() {
        let cases = [
            (5, 0, 1),
            (15, 2, 2),
            (25, 2, 3),
            (-5, 0, -1),
            (-15, -2, -2),
            (-25, -2, -3),
            (26, 3, 3),
            (24, 2, 2),
            (-26, -3, -3),
        ];
        for (tenths, even, up) in cases {
            assert_eq!(divide(tenths, 10, Rounding::HalfEven), even, "{tenths}");
            assert_eq!(divide(tenths, 10, Rounding::HalfUp), up, "{tenths}");
        }
    }

    #[test]
    fn only_money_is_taken_and_every_code_that_is_stored_is_read() {
        for code in ["XXX", "XTS", "XAU", "XAG", "XDR", "CLF", "USN", "gbp", "GB", "ÄÖÜ", ""] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
        for code in ["GBP", "EUR", "JPY", "KWD", "XOF", "XCD", "BGN"] {
            assert_eq!(code.parse::<Currency>().map(Currency::code), Ok(code));
        }
        // Removing one of these from the list would make accepted data unreadable.
        assert!(Currency::try_from("XXX".to_owned()).is_ok());
        let known = EVER.split(' ').map(|code| code.parse::<Currency>().map(Currency::code));
        for (known, code) in known.zip(EVER.split(' ')) {
            assert_eq!(known, Ok(code));
        }
    }

    #[test]
    fn a_decimal_becomes_minor_units_of_its_own_currency() {
        let half_even = Rounding::HalfEven;
        assert_eq!(from_decimal(2_550, 3, Currency::GBP, half_even), Ok(255));
        assert_eq!(from_decimal(1, 3, Currency::GBP, half_even), Ok(0));
        assert_eq!(from_decimal(1_500, 0, Currency::JPY, half_even), Ok(1_500));
        assert_eq!(from_decimal(25, 1, Currency::JPY, half_even), Ok(2));
        assert_eq!(from_decimal(25, 1, Currency::JPY, Rounding::HalfUp), Ok(3));
        assert_eq!(from_decimal(1, 0, Currency::KWD, half_even), Ok(1_000));
        assert_eq!(from_decimal(i128::from(LARGEST), 0, Currency::GBP, half_even), Err(TooLarge));
        assert_eq!(from_decimal(i128::MAX, 0, Currency::KWD, half_even), Err(TooLarge));
    }

    #[test]
    fn tax_is_in_the_price_or_on_top_of_it() {
        assert_eq!(tax(1_000, 2_000, false, Rounding::HalfEven), Ok(200));
        assert_eq!(tax(1_200, 2_000, true, Rounding::HalfEven), Ok(200));
        assert_eq!(tax(0, 2_000, true, Rounding::HalfEven), Ok(0));
        assert_eq!(tax(25, 1_000, false, Rounding::HalfEven), Ok(2));
        assert_eq!(tax(25, 1_000, false, Rounding::HalfUp), Ok(3));
    }

    #[test]
    fn what_is_left_of_a_discount_goes_to_the_largest_remainder_then_to_the_lower_line() {
        assert_eq!(spread(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(spread(5, &[10, 20, 0, 20]), [1, 2, 0, 2]);
        assert_eq!(spread(1, &[1, 5, 4]), [0, 1, 0]);
        assert_eq!(spread(7, &[]), Vec::<Minor>::new());
        assert_eq!(spread(7, &[0, 0]), [0, 0]);
    }

    #[test]
    fn sums_beyond_the_largest_amount_are_errors() {
        assert_eq!(add(LARGEST, 1), Err(TooLarge));
        assert_eq!(subtract(-LARGEST, 1), Err(TooLarge));
        assert_eq!(sum([LARGEST, 1, -1]), Err(TooLarge));
        assert_eq!(add(Minor::MAX, Minor::MAX), Err(TooLarge));
        assert_eq!(sum([LARGEST - 1, 1]), Ok(LARGEST));
    }

    proptest! {
        #[test]
        fn spread_parts_sum_exactly_and_stay_within_their_lines(
            weights in prop::collection::vec(0..10_000_000_i64, 1..40),
            percent in 0..=10_000_i64,
        ) {
            let whole: Minor = weights.iter().sum();
            // A discount as a percentage of the whole, as Northwind has it.
            let amount = whole * percent / 10_000;
            let parts = spread(amount, &weights);
            prop_assert_eq!(parts.iter().sum::<Minor>(), amount);
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!((0..=*weight).contains(part));
            }
        }

        #[test]
        fn shared_parts_sum_exactly_however_they_are_grouped(
            total in 0..=LARGEST,
            groups in prop::collection::vec(1..5_u32, 1..20),
            rounding in rounding(),
        ) {
            let units: u32 = groups.iter().sum();
            let mut shared = Shared { total, units, given: 0, done: 0 };
            let mut single = shared;
            for group in groups {
                let part = shared.next(group, rounding);
                shared.given += part;
                shared.done += group;
                for _ in 0..group {
                    single.given += single.next(1, rounding);
                    single.done += 1;
                }
                prop_assert!(part >= 0);
                prop_assert_eq!(shared, single);
            }
            prop_assert_eq!(shared.given, total);
        }

        #[test]
        fn tax_in_a_price_is_the_tax_on_the_rest(net in 0..1_000_000_000_i64, bp in 0..5_000_u32, rounding in rounding()) {
            let on_top = tax(net, bp, false, rounding).unwrap_or(-1);
            let inside = tax(net + on_top, bp, true, rounding).unwrap_or(-1);
            prop_assert!((on_top - inside).abs() <= 1);
        }

        #[test]
        fn rounding_is_never_off_by_more_than_a_half(n in -1_000_000_000_000_i128..1_000_000_000_000, d in 1..100_000_i128, rounding in rounding()) {
            let rounded = divide(n, d, rounding);
            prop_assert!(((rounded * d - n) * 2).abs() <= d);
        }
    }
}
