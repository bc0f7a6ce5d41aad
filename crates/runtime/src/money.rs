//! Money of the outer contract: a decimal text and a currency; inside, an i64 in ten-thousandths.

use iso_currency::Currency;

/// Ten-thousandths in one unit of a currency.
pub const SCALE: i64 = 10_000;

/// Why a text is not an amount.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAmount {
    /// Not a plain decimal.
    #[error("\"{0}\" is not an amount: write it like \"149.90\"")]
    NotDecimal(String),
    /// More than four decimals.
    #[error("\"{0}\" has more than 4 decimals")]
    TooPrecise(String),
    /// Beyond what an order can hold.
    #[error("\"{0}\" is too large an amount")]
    TooLarge(String),
}

/// Reads a decimal text with at most four decimals as ten-thousandths.
///
/// # Errors
/// [`BadAmount`] says what is wrong with the text.
pub fn parse_amount(text: &str) -> Result<i64, BadAmount> {
    let not_decimal = || BadAmount::NotDecimal(text.to_owned());
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err(not_decimal());
    }
    if fraction.len() > 4 {
        return Err(BadAmount::TooPrecise(text.to_owned()));
    }
    let too_large = || BadAmount::TooLarge(text.to_owned());
    let whole: i64 = whole.parse().map_err(|_| too_large())?;
    let fraction: i64 = format!("{fraction:0<4}").parse().map_err(|_| not_decimal())?;
    let amount = whole.checked_mul(SCALE).and_then(|n| n.checked_add(fraction));
    // A hundred milliards: sums of 2,000 such lines still fit.
    let amount = amount.filter(|n| *n <= 1_000_000_000_000_000).ok_or_else(too_large)?;
    Ok(if negative { -amount } else { amount })
}

/// Writes ten-thousandths with at least the currency's usual decimals and no needless zero beyond.
#[must_use]
pub fn format_amount(ten_thousandths: i64, currency: &str) -> String {
    let decimals = minor_digits(currency).unwrap_or(2);
    let sign = if ten_thousandths < 0 { "-" } else { "" };
    let absolute = ten_thousandths.unsigned_abs();
    let (whole, fraction) = (absolute / 10_000, absolute % 10_000);
    let mut fraction = format!("{fraction:04}");
    while fraction.len() > decimals && fraction.ends_with('0') {
        fraction.pop();
    }
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Decimals of the currency's minor unit; `None` when it is no ISO 4217 code.
#[must_use]
pub fn minor_digits(currency: &str) -> Option<usize> {
    let digits = Currency::from_code(currency)?.exponent().unwrap_or(2);
    Some(usize::from(digits).min(4))
}

/// Rounds half away from zero to the currency's minor unit.
#[must_use]
pub fn round_to_minor_unit(ten_thousandths: i64, currency: &str) -> i64 {
    let drop = 4 - minor_digits(currency).unwrap_or(2);
    let unit = 10_i64.pow(u32::try_from(drop).unwrap_or_default());
    let half = if ten_thousandths < 0 { -unit / 2 } else { unit / 2 };
    (ten_thousandths + half) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_back_as_they_were_written() {
        for text in ["149.90", "0.001", "-3.50", "74215.00", "0.00"] {
            assert_eq!(format_amount(parse_amount(text).unwrap(), "EGP"), text);
        }
        assert_eq!(format_amount(parse_amount("5").unwrap(), "JPY"), "5");
    }

    #[test]
    fn what_is_no_amount_is_refused_with_its_reason() {
        for bad in ["", "1,5", "1.", ".5", "1e3", "٣", "--1"] {
            assert_eq!(parse_amount(bad), Err(BadAmount::NotDecimal(bad.to_owned())));
        }
        assert_eq!(parse_amount("0.00001"), Err(BadAmount::TooPrecise("0.00001".to_owned())));
        assert!(matches!(parse_amount("99999999999999999"), Err(BadAmount::TooLarge(_))));
    }

    #[test]
    fn rounding_goes_half_up_to_the_minor_unit() {
        assert_eq!(round_to_minor_unit(10_050, "EGP"), 10_100);
        assert_eq!(round_to_minor_unit(10_049, "EGP"), 10_000);
        assert_eq!(round_to_minor_unit(-10_050, "EGP"), -10_100);
        assert_eq!(round_to_minor_unit(15_000, "JPY"), 20_000);
        assert_eq!(round_to_minor_unit(10_005, "KWD"), 10_010);
    }
}
