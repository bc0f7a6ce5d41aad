//! Requests as values: parsed once, everything that is wrong in one answer.

use nexus_proto::common::v1 as common;
use nexus_proto::order::v1 as proto;
use nexus_runtime::{Violations, money};

use super::Rules;
use crate::domain::Consent;
use crate::domain::order::Placed;
use crate::domain::pricing::{self, AskedLine, Line, Method, Payment, PricingError, Terms, Totals};
use crate::phone;

/// Lines an order may have.
const MAX_LINES: usize = 2_000;
const MAX_UNITS: u32 = 1_000_000;
const MAX_NAME: usize = 200;
const MAX_TEXT: usize = 4_000;
const MAX_NOTES: usize = 50;
const MAX_ADDRESSES: usize = 20;
pub(super) const CHANNELS: &[&str] = &["whatsapp", "sms", "email"];
pub(super) const LANGUAGES: &[&str] = &["ar", "en"];

/// A contact that is known by its own words.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) profile: proto::ContactProfile,
    pub(super) external_reference: String,
    pub(super) language: String,
    pub(super) consents: Vec<Consent>,
}

/// Who orders.
pub(super) enum Who {
    Known(String),
    Draft(Box<Draft>),
}

/// An order to create; its lines have no product names yet.
pub(super) struct NewOrder {
    pub(super) who: Who,
    pub(super) lines: Vec<Line>,
    pub(super) totals: Totals,
    pub(super) payment: Payment,
    pub(super) currency: String,
    pub(super) prices_include_tax: bool,
    pub(super) address: common::Address,
    pub(super) notes: Vec<String>,
    pub(super) external_reference: String,
}

pub(super) fn phone(wrong: &mut Violations, field: &str, text: &str, rules: &Rules) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    phone::parse(text, rules.country).unwrap_or_else(|no| {
        wrong.add(field, no.to_string());
        String::new()
    })
}

pub(super) fn email(wrong: &mut Violations, field: &str, text: &str) -> String {
    let email = wrong.optional_text(field, text, 254);
    let parts = email.split_once('@');
    let fits = parts.is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !email.contains(char::is_whitespace)
    });
    if !email.is_empty() && !fits {
        wrong.add(field, "is no e-mail address");
    }
    email
}

pub(super) fn address(
    wrong: &mut Violations,
    field: &str,
    address: &common::Address,
    rules: &Rules,
) -> common::Address {
    let mut optional =
        |name: &str, text: &str| wrong.optional_text(&format!("{field}.{name}"), text, MAX_NAME);
    let mut parsed = common::Address {
        country: optional("country", &address.country).to_uppercase(),
        governorate: optional("governorate", &address.governorate),
        city: optional("city", &address.city),
        district: optional("district", &address.district),
        line1: optional("line1", &address.line1),
        line2: optional("line2", &address.line2),
        building: optional("building", &address.building),
        floor: optional("floor", &address.floor),
        apartment: optional("apartment", &address.apartment),
        postal_code: optional("postal_code", &address.postal_code),
    };
    if parsed.country.is_empty() {
        parsed.country.clone_from(&rules.country_code);
    }
    if parsed.country.len() != 2 || !parsed.country.bytes().all(|b| b.is_ascii_uppercase()) {
        wrong.add(format!("{field}.country"), "must be two letters of ISO 3166-1, like EG");
    }
    for (name, text) in [("city", &parsed.city), ("line1", &parsed.line1)] {
        if text.is_empty() {
            wrong.add(format!("{field}.{name}"), "is required");
        }
    }
    parsed
}

pub(super) fn language(wrong: &mut Violations, field: &str, text: &str, rules: &Rules) -> String {
    if text.is_empty() { rules.language.clone() } else { wrong.one_of(field, text, LANGUAGES) }
}

/// A contact in its own words; `path` is empty or ends in a dot.
pub(super) fn draft(
    wrong: &mut Violations,
    path: &str,
    asked: &proto::CreateContactRequest,
    rules: &Rules,
) -> Draft {
    let at = |field: &str| format!("{path}{field}");
    let phone = phone(wrong, &at("phone"), &asked.phone, rules);
    let reference = wrong.optional_text(&at("external_reference"), &asked.external_reference, 128);
    if asked.phone.trim().is_empty() && reference.is_empty() {
        wrong.add(at("phone"), "is required, or an external_reference");
    }
    if asked.addresses.len() > MAX_ADDRESSES {
        wrong.add(at("addresses"), format!("are more than {MAX_ADDRESSES}"));
    }
    let addresses = asked.addresses.iter().take(MAX_ADDRESSES).enumerate();
    let addresses = addresses
        .map(|(nth, it)| address(wrong, &at(&format!("addresses[{nth}]")), it, rules))
        .collect();
    let consents = asked.consents.iter().take(CHANNELS.len() * 2).enumerate();
    let consents = consents.map(|(nth, it)| consent(wrong, &at(&format!("consents[{nth}].")), it));
    let consents = consents.collect();
    Draft {
        profile: proto::ContactProfile {
            name: wrong.text(&at("name"), &asked.name, MAX_NAME),
            phone,
            email: email(wrong, &at("email"), &asked.email),
            addresses,
        },
        external_reference: reference,
        language: language(wrong, &at("language"), &asked.language, rules),
        consents,
    }
}

pub(super) fn consent(wrong: &mut Violations, path: &str, asked: &common::Consent) -> Consent {
    Consent {
        channel: wrong.one_of(&format!("{path}channel"), &asked.channel, CHANNELS),
        granted: asked.granted,
        source: wrong.optional_text(&format!("{path}source"), &asked.source, MAX_NAME),
    }
}

pub(super) fn note(wrong: &mut Violations, field: &str, text: &str) -> String {
    wrong.text(field, text, MAX_TEXT)
}

/// The currency's code and its smallest coin in ten-thousandths.
fn currency(wrong: &mut Violations, code: &str) -> (String, i64) {
    let digits = money::minor_digits(code).and_then(|digits| u32::try_from(digits).ok());
    if digits.is_none() {
        wrong.add("currency", format!("is \"{code}\", it must be an ISO 4217 code like EGP"));
    }
    (code.to_owned(), 10_i64.pow(4_u32.saturating_sub(digits.unwrap_or(2))))
}

fn amount(
    wrong: &mut Violations,
    field: &str,
    value: Option<&common::Money>,
    currency: &str,
) -> i64 {
    value.map_or(0, |value| wrong.money(field, value, currency))
}

fn lines(wrong: &mut Violations, asked: &[proto::NewOrderLine], currency: &str) -> Vec<AskedLine> {
    if asked.is_empty() || asked.len() > MAX_LINES {
        let count = asked.len();
        wrong.add("lines", format!("are {count}, an order has 1 to {MAX_LINES}"));
        return Vec::new();
    }
    let lines = asked.iter().enumerate();
    lines.map(|(nth, line)| asked_line(wrong, nth, line, currency)).collect()
}

fn asked_line(
    wrong: &mut Violations,
    nth: usize,
    line: &proto::NewOrderLine,
    currency: &str,
) -> AskedLine {
    let at = |field: &str| format!("lines[{nth}].{field}");
    if line.unit_price.is_none() {
        wrong.add(at("unit_price"), "is required");
    }
    let tax_rate = match line.tax_rate.as_str() {
        "" => 0,
        rate => wrong.amount(&at("tax_rate"), rate),
    };
    if tax_rate > 1_000_000 {
        wrong.add(at("tax_rate"), format!("is {}, at most 100 is allowed", line.tax_rate));
    }
    AskedLine {
        line_id: (nth + 1).to_string(),
        sku: wrong.text(&at("sku"), &line.sku, 128),
        name: String::new(),
        units: wrong.units(&at("units"), line.units, MAX_UNITS),
        unit_price: amount(wrong, &at("unit_price"), line.unit_price.as_ref(), currency),
        discount: amount(wrong, &at("discount"), line.discount.as_ref(), currency),
        tax_rate,
    }
}

fn payment(wrong: &mut Violations, asked: Option<&proto::Payment>, currency: &str) -> Payment {
    let Some(asked) = asked else {
        wrong.add("payment", "is required: {\"method\": \"cod\"} or {\"method\": \"prepaid\"}");
        return Payment::default();
    };
    wrong.one_of("payment.method", &asked.method, &["cod", "prepaid"]);
    Payment {
        method: Method::parse(&asked.method).unwrap_or_default(),
        paid: amount(wrong, "payment.paid", asked.paid.as_ref(), currency),
    }
}

fn unpriced(wrong: &mut Violations, error: &PricingError) {
    let field = match error {
        PricingError::LineDiscount { index } => format!("lines[{index}].discount"),
        PricingError::LineTooLarge { index } => format!("lines[{index}].unit_price"),
        PricingError::Discount => "discount".to_owned(),
        PricingError::Overpaid => "payment.paid".to_owned(),
        PricingError::TooLarge => "lines".to_owned(),
    };
    wrong.add(field, format!("is wrong: {error}"));
}

/// An order as asked for.
pub(super) fn new_order(
    asked: &proto::CreateOrderRequest,
    rules: &Rules,
) -> Result<NewOrder, tonic::Status> {
    let mut wrong = Violations::default();
    let who = who(&mut wrong, asked, rules);
    let (currency, minor_unit) = currency(&mut wrong, &asked.currency);
    let lines = lines(&mut wrong, &asked.lines, &currency);
    let payment = payment(&mut wrong, asked.payment.as_ref(), &currency);
    let terms = Terms {
        minor_unit,
        shipping_fee: amount(&mut wrong, "shipping_fee", asked.shipping_fee.as_ref(), &currency),
        discount: amount(&mut wrong, "discount", asked.discount.as_ref(), &currency),
        prices_include_tax: asked.prices_include_tax,
        payment,
    };
    let to = match &asked.shipping_address {
        Some(to) => address(&mut wrong, "shipping_address", to, rules),
        None => {
            wrong.add("shipping_address", "is required");
            common::Address::default()
        }
    };
    if asked.notes.len() > MAX_NOTES {
        wrong.add("notes", format!("are more than {MAX_NOTES}"));
    }
    let notes = asked.notes.iter().take(MAX_NOTES).enumerate();
    let notes = notes.map(|(nth, text)| note(&mut wrong, &format!("notes[{nth}]"), text)).collect();
    let reference = wrong.optional_text("external_reference", &asked.external_reference, 128);
    // Sums of what could not be read would only add riddles.
    let priced =
        if wrong.is_empty() { pricing::price(lines, &terms) } else { Ok(Default::default()) };
    let (lines, totals) = priced.unwrap_or_else(|error| {
        unpriced(&mut wrong, &error);
        Default::default()
    });
    wrong.done()?;
    Ok(NewOrder {
        who,
        lines,
        totals,
        payment,
        currency,
        prices_include_tax: asked.prices_include_tax,
        address: to,
        notes,
        external_reference: reference,
    })
}

/// What an amendment asks for; what it leaves out stands in `before`.
pub(super) struct Amended {
    pub(super) reason: String,
    /// Empty = unchanged.
    pub(super) lines: Vec<Line>,
    pub(super) payment: Option<Payment>,
    pub(super) totals: Totals,
    pub(super) address: Option<common::Address>,
    pub(super) notes: Vec<String>,
}

/// An amendment as asked for.
pub(super) fn amendment(
    asked: &proto::AmendOrderRequest,
    before: &Placed,
    rules: &Rules,
) -> Result<Amended, tonic::Status> {
    let mut wrong = Violations::default();
    let reason = wrong.text("reason", &asked.reason, MAX_NAME);
    let (currency, minor_unit) = currency(&mut wrong, &before.currency);
    let mut next = Vec::new();
    if !asked.lines.is_empty() {
        next = lines(&mut wrong, &asked.lines, &currency);
        keep_line_ids(&mut wrong, &asked.lines, &mut next, before);
    }
    let paid = asked.payment.as_ref().map(|it| payment(&mut wrong, Some(it), &currency));
    let mut or_before = |field: &str, value: Option<&common::Money>, before: i64| {
        value.map_or(before, |value| wrong.money(field, value, &currency))
    };
    let terms = Terms {
        minor_unit,
        shipping_fee: or_before(
            "shipping_fee",
            asked.shipping_fee.as_ref(),
            before.totals.shipping,
        ),
        discount: or_before("discount", asked.discount.as_ref(), before.totals.discount),
        prices_include_tax: before.prices_include_tax,
        payment: paid.unwrap_or(before.payment),
    };
    let to = asked.shipping_address.as_ref();
    let to = to.map(|it| address(&mut wrong, "shipping_address", it, rules));
    let notes = asked.notes.iter().take(MAX_NOTES).enumerate();
    let notes = notes.map(|(nth, text)| note(&mut wrong, &format!("notes[{nth}]"), text)).collect();
    let unchanged = next.is_empty();
    let priced = if wrong.is_empty() {
        let all = if unchanged { asked_again(&before.lines) } else { next };
        pricing::price(all, &terms)
    } else {
        Ok(Default::default())
    };
    let (priced, totals) = priced.unwrap_or_else(|error| {
        unpriced(&mut wrong, &error);
        Default::default()
    });
    wrong.done()?;
    let lines = if unchanged { Vec::new() } else { priced };
    Ok(Amended { reason, lines, payment: paid, totals, address: to, notes })
}

/// Lines that are kept keep their id; new ones get ids that were never used before.
fn keep_line_ids(
    wrong: &mut Violations,
    asked: &[proto::NewOrderLine],
    next: &mut [AskedLine],
    before: &Placed,
) {
    let known = |id: &str| before.lines.iter().any(|line| line.line_id == id);
    let highest = before.lines.iter().filter_map(|line| line.line_id.parse::<u64>().ok()).max();
    let mut fresh = highest.unwrap_or_default();
    let mut used = std::collections::BTreeSet::new();
    for (nth, (asked, line)) in asked.iter().zip(next).enumerate() {
        if asked.line_id.is_empty() {
            fresh += 1;
            line.line_id = fresh.to_string();
        } else if !known(&asked.line_id) || !used.insert(asked.line_id.as_str()) {
            let id = &asked.line_id;
            wrong.add(format!("lines[{nth}].line_id"), format!("\"{id}\" is no line to keep"));
        } else {
            line.line_id.clone_from(&asked.line_id);
        }
    }
}

fn asked_again(lines: &[Line]) -> Vec<AskedLine> {
    let again = lines.iter().map(|line| AskedLine {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        name: line.name.clone(),
        units: line.units,
        unit_price: line.unit_price,
        discount: line.discount,
        tax_rate: line.tax_rate,
    });
    again.collect()
}

fn who(wrong: &mut Violations, asked: &proto::CreateOrderRequest, rules: &Rules) -> Who {
    match (&asked.contact, asked.contact_id.as_str()) {
        (Some(contact), "") => Who::Draft(Box::new(draft(wrong, "contact.", contact, rules))),
        (None, "") => {
            wrong.add("contact_id", "is required, or contact");
            Who::Known(String::new())
        }
        (None, id) => Who::Known(wrong.text("contact_id", id, 128)),
        (Some(_), _) => {
            wrong.add("contact", "and contact_id exclude each other");
            Who::Known(String::new())
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt;

    fn rules() -> Rules {
        Rules { country: phone::EGYPT, country_code: "EG".to_owned(), language: "ar".to_owned() }
    }

    fn egp(amount: &str) -> Option<common::Money> {
        Some(common::Money { amount: amount.to_owned(), currency: "EGP".to_owned() })
    }

    fn line(sku: &str) -> proto::NewOrderLine {
        proto::NewOrderLine {
            sku: sku.to_owned(),
            units: 1,
            unit_price: egp("149.90"),
            ..proto::NewOrderLine::default()
        }
    }

    fn asked() -> proto::CreateOrderRequest {
        proto::CreateOrderRequest {
            contact: Some(proto::CreateContactRequest {
                name: "Mona Ali".to_owned(),
                phone: "01001234567".to_owned(),
                ..proto::CreateContactRequest::default()
            }),
            lines: vec![line("MUG-RED")],
            shipping_address: Some(common::Address {
                city: "Maadi".to_owned(),
                line1: "9 Road 233".to_owned(),
                ..common::Address::default()
            }),
            currency: "EGP".to_owned(),
            payment: Some(proto::Payment { method: "cod".to_owned(), paid: None }),
            ..proto::CreateOrderRequest::default()
        }
    }

    fn wrong_fields(asked: &proto::CreateOrderRequest) -> Vec<String> {
        let status = new_order(asked, &rules()).err().unwrap();
        let details = status.get_details_bad_request().unwrap();
        details.field_violations.into_iter().map(|it| it.field).collect()
    }

    #[test]
    fn an_order_is_read_and_priced() {
        let order = new_order(&asked(), &rules()).unwrap();
        assert_eq!(order.totals.cod_due, 1_499_000);
        assert_eq!(order.address.country, "EG");
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let mut bad = asked();
        bad.currency = "EGX".to_owned();
        bad.payment = None;
        bad.lines = vec![proto::NewOrderLine { units: 0, unit_price: egp("-1"), ..line("") }];
        bad.shipping_address = None;
        let fields = wrong_fields(&bad);
        for field in ["currency", "payment", "lines[0].sku", "lines[0].units", "shipping_address"] {
            assert!(fields.iter().any(|it| it == field), "{field} in {fields:?}");
        }
        assert!(fields.iter().any(|it| it == "lines[0].unit_price.amount"), "{fields:?}");
    }

    #[test]
    fn two_thousand_lines_are_an_order_and_one_more_is_not() {
        let many = |count: usize| {
            let lines = (0..count).map(|nth| line(&format!("S{nth}"))).collect();
            proto::CreateOrderRequest { lines, ..asked() }
        };
        assert_eq!(new_order(&many(2_000), &rules()).unwrap().lines.len(), 2_000);
        assert_eq!(wrong_fields(&many(2_001)), ["lines"]);
        assert_eq!(wrong_fields(&many(0)), ["lines"]);
    }

    #[test]
    fn a_price_of_nothing_and_of_a_tenth_of_a_piastre_are_prices() {
        for price in ["0", "0.001"] {
            let lines = vec![proto::NewOrderLine { unit_price: egp(price), ..line("MUG-RED") }];
            assert!(new_order(&proto::CreateOrderRequest { lines, ..asked() }, &rules()).is_ok());
        }
    }
}
