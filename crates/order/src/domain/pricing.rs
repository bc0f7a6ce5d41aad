//! What an order costs. Lines are rounded half-up to the currency's minor unit, one by one; sums of
//! rounded lines need no rounding.
//! *Invariant:* all amounts are ten-thousandths and fit; what does not is refused, never wrapped.

/// A line as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedLine {
    pub(crate) line_id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) units: u32,
    pub(crate) unit_price: i64,
    /// Off the whole line, positive.
    pub(crate) discount: i64,
    /// Ten-thousandths of a per cent: 140,000 is 14 %.
    pub(crate) tax_rate: i64,
}

/// A line with its sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) line_id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) units: u32,
    pub(crate) unit_price: i64,
    pub(crate) discount: i64,
    pub(crate) tax_rate: i64,
    pub(crate) line_total: i64,
    pub(crate) tax: i64,
}

/// How an order is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    /// Cash on delivery.
    #[default]
    Cod,
    Prepaid,
}

impl Method {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Cod => "cod",
            Self::Prepaid => "prepaid",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "cod" => Some(Self::Cod),
            "prepaid" => Some(Self::Prepaid),
            _ => None,
        }
    }
}

/// How an order is paid, and what of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) method: Method,
    pub(crate) paid: i64,
}

/// The sums of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) goods: i64,
    pub(crate) discount: i64,
    pub(crate) shipping: i64,
    pub(crate) tax: i64,
    pub(crate) total: i64,
    pub(crate) cod_due: i64,
}

/// What is agreed beside the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The currency's smallest coin, in ten-thousandths: 100 for EGP, 10 for KWD, 10,000 for JPY.
    pub(crate) minor_unit: i64,
    pub(crate) shipping_fee: i64,
    pub(crate) discount: i64,
    pub(crate) prices_include_tax: bool,
    pub(crate) payment: Payment,
}

/// Why there is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PricingError {
    #[error("the discount is larger than the line")]
    LineDiscount { index: usize },
    #[error("the amount is too large")]
    LineTooLarge { index: usize },
    #[error("the discount is larger than the goods")]
    Discount,
    #[error("more is paid than the order costs")]
    Overpaid,
    #[error("the order's sum is too large")]
    TooLarge,
}

/// Largest sum, a hundred billion: far above any order, and products of two such sums still fit.
const LARGEST: i128 = 1_000_000_000_000_000;
const WHOLE: i128 = 1_000_000;

/// Prices `lines` under `terms`. All amounts given are non-negative.
pub(crate) fn price(
    lines: Vec<AskedLine>,
    terms: &Terms,
) -> Result<(Vec<Line>, Totals), PricingError> {
    let lines = lines
        .into_iter()
        .enumerate()
        .map(|(index, line)| price_line(index, line, terms))
        .collect::<Result<Vec<_>, _>>()?;
    let sum = |of: fn(&Line) -> i64| lines.iter().map(|line| i128::from(of(line))).sum::<i128>();
    let goods = sum(|line| line.line_total);
    let gross_tax = sum(|line| line.tax);
    let discount = i128::from(terms.discount);
    if discount > goods {
        return Err(PricingError::Discount);
    }
    // The order discount lowers the taxed sum in proportion.
    let tax = match goods {
        0 => 0,
        _ => round(gross_tax * (goods - discount), goods, terms.minor_unit),
    };
    let on_top = if terms.prices_include_tax { 0 } else { tax };
    let total = goods - discount + i128::from(terms.shipping_fee) + on_top;
    let paid = i128::from(terms.payment.paid);
    if paid > total {
        return Err(PricingError::Overpaid);
    }
    let cod_due = match terms.payment.method {
        Method::Cod => total - paid,
        Method::Prepaid => 0,
    };
    let fit = |amount: i128| fit(amount).ok_or(PricingError::TooLarge);
    let totals = Totals {
        goods: fit(goods)?,
        discount: terms.discount,
        shipping: terms.shipping_fee,
        tax: fit(tax)?,
        total: fit(total)?,
        cod_due: fit(cod_due)?,
    };
    Ok((lines, totals))
}

fn price_line(index: usize, line: AskedLine, terms: &Terms) -> Result<Line, PricingError> {
    let gross = i128::from(line.units) * i128::from(line.unit_price);
    let net = gross - i128::from(line.discount);
    if net < 0 {
        return Err(PricingError::LineDiscount { index });
    }
    let line_total = round(net, 1, terms.minor_unit);
    let rate = i128::from(line.tax_rate);
    let tax = if terms.prices_include_tax {
        round(line_total * rate, WHOLE + rate, terms.minor_unit)
    } else {
        round(line_total * rate, WHOLE, terms.minor_unit)
    };
    let too_large = || PricingError::LineTooLarge { index };
    Ok(Line {
        line_total: fit(line_total).ok_or_else(too_large)?,
        tax: fit(tax).ok_or_else(too_large)?,
        line_id: line.line_id,
        sku: line.sku,
        name: line.name,
        units: line.units,
        unit_price: line.unit_price,
        discount: line.discount,
        tax_rate: line.tax_rate,
    })
}

/// `numerator / denominator`, both non-negative, rounded half-up to a multiple of `unit`.
fn round(numerator: i128, denominator: i128, unit: i64) -> i128 {
    let unit = i128::from(unit.max(1));
    let step = denominator.max(1) * unit;
    (2 * numerator + step) / (2 * step) * unit
}

fn fit(amount: i128) -> Option<i64> {
    if amount > LARGEST { None } else { i64::try_from(amount).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(units: u32, unit_price: i64) -> AskedLine {
        AskedLine {
            line_id: "1".to_owned(),
            sku: "MUG-RED".to_owned(),
            name: "Red mug".to_owned(),
            units,
            unit_price,
            discount: 0,
            tax_rate: 0,
        }
    }

    fn egp() -> Terms {
        Terms {
            minor_unit: 100,
            shipping_fee: 0,
            discount: 0,
            prices_include_tax: false,
            payment: Payment::default(),
        }
    }

    #[test]
    fn a_tenth_of_a_piastre_is_rounded_half_up_per_line() {
        let (lines, totals) = price(vec![line(4, 10), line(5, 10), line(1, 0)], &egp()).unwrap();
        let line_totals: Vec<_> = lines.iter().map(|line| line.line_total).collect();
        assert_eq!(line_totals, [0, 100, 0]);
        assert_eq!(totals.total, 100);
    }

    #[test]
    fn tax_on_top_and_tax_included_come_to_the_same_goods() {
        let taxed = |price| AskedLine { tax_rate: 140_000, ..line(1, price) };
        let (_, on_top) = price(vec![taxed(1_000_000)], &egp()).unwrap();
        assert_eq!((on_top.goods, on_top.tax, on_top.total), (1_000_000, 140_000, 1_140_000));
        let included = Terms { prices_include_tax: true, ..egp() };
        let (_, included) = price(vec![taxed(1_140_000)], &included).unwrap();
        assert_eq!((included.goods, included.tax, included.total), (1_140_000, 140_000, 1_140_000));
    }

    #[test]
    fn cod_due_is_the_total_less_what_is_paid() {
        let payment = Payment { method: Method::Cod, paid: 200_000 };
        let terms = Terms { shipping_fee: 500_000, discount: 100_000, payment, ..egp() };
        let (_, totals) = price(vec![line(2, 1_499_000)], &terms).unwrap();
        assert_eq!((totals.total, totals.cod_due), (3_398_000, 3_198_000));
        let prepaid = Payment { method: Method::Prepaid, paid: 0 };
        let (_, totals) =
            price(vec![line(1, 10_000)], &Terms { payment: prepaid, ..egp() }).unwrap();
        assert_eq!(totals.cod_due, 0);
    }

    #[test]
    fn a_discount_above_the_goods_and_sums_out_of_range_are_refused() {
        let much = AskedLine { discount: 20_000, ..line(1, 10_000) };
        assert_eq!(price(vec![much], &egp()), Err(PricingError::LineDiscount { index: 0 }));
        let terms = Terms { discount: 20_000, ..egp() };
        assert_eq!(price(vec![line(1, 10_000)], &terms), Err(PricingError::Discount));
        let huge = vec![line(u32::MAX, i64::MAX)];
        assert_eq!(price(huge, &egp()), Err(PricingError::LineTooLarge { index: 0 }));
    }

    proptest! {
        #[test]
        fn a_line_total_is_within_half_a_minor_unit(
            units in 1_u32..100_000,
            unit_price in 0_i64..10_000_000,
            unit in prop::sample::select(vec![1_i64, 10, 100, 10_000]),
        ) {
            let terms = Terms { minor_unit: unit, ..egp() };
            let (lines, totals) = price(vec![line(units, unit_price)], &terms).unwrap();
            let exact = i64::from(units) * unit_price;
            prop_assert!((2 * (lines[0].line_total - exact)).abs() <= unit);
            prop_assert_eq!(lines[0].line_total % unit, 0);
            prop_assert_eq!(totals.total, lines[0].line_total);
        }
    }
}
