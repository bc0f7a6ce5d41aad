//! A create request, read field by field as the courier does: unknown fields are dropped silently,
//! a wrong one is refused with the code the real one gives.

use axum::http::StatusCode;
use serde_json::{Map, Number, Value};

use super::coverage::{self, City, District};
use super::refusal::Refusal;

/// Which contract the address is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// v2 with `?apiVersion=1`: city, and a district by id or by name and city id.
    Documented,
    /// v2 without it: the city is enough, staff find the district by phone.
    Loose,
    /// v1 and v0: city code or name, everything else as it comes.
    Old,
}

pub(super) const SEND: i64 = 10;
pub(super) const CASH_COLLECTION: i64 = 15;
pub(super) const RETURN_PICKUP: i64 = 25;
pub(super) const EXCHANGE: i64 = 30;
pub(super) const SIGN_AND_RETURN: i64 = 35;

/// What is kept of a request.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: i64,
    pub(super) fields: Map<String, Value>,
    pub(super) out_of_coverage: bool,
}

const KEPT: &[&str] = &[
    "cod",
    "notes",
    "specs",
    "returnSpecs",
    "returnNotes",
    "goodsInfo",
    "businessLocationId",
    "businessReference",
    "uniqueBusinessReference",
    "allowToOpenPackage",
    "flexShippingInfo",
    "webhookUrl",
    "webhookCustomHeaders",
];

pub(super) fn parse(body: &Map<String, Value>, rules: Rules) -> Result<Wanted, Refusal> {
    let kind = kind(body)?;
    let mut fields = Map::new();
    for name in KEPT {
        if let Some(value) = body.get(*name).filter(|value| !value.is_null()) {
            fields.insert((*name).to_owned(), value.clone());
        }
    }
    check_texts(&fields)?;
    check_specs(&fields)?;
    fields.insert("receiver".into(), receiver(body)?);
    check_money(kind, &fields)?;

    let customer = if matches!(kind, RETURN_PICKUP | CASH_COLLECTION) {
        "pickupAddress"
    } else {
        "dropOffAddress"
    };
    let (address, out_of_coverage) = customer_address(body, customer, rules)?;
    fields.insert(customer.into(), address);
    Ok(Wanted { kind, fields, out_of_coverage })
}

fn kind(body: &Map<String, Value>) -> Result<i64, Refusal> {
    match body.get("type").and_then(Value::as_i64) {
        Some(kind @ (SEND | CASH_COLLECTION | RETURN_PICKUP | EXCHANGE | SIGN_AND_RETURN)) => {
            Ok(kind)
        }
        Some(_) => Err(Refusal::invalid("type must be one of [10, 15, 25, 30, 35]")),
        None => Err(Refusal::invalid("type is required and must be a number")),
    }
}

fn check_texts(fields: &Map<String, Value>) -> Result<(), Refusal> {
    for name in
        ["notes", "returnNotes", "businessReference", "uniqueBusinessReference", "webhookUrl"]
    {
        if fields.get(name).is_some_and(|value| !value.is_string()) {
            return Err(Refusal::invalid(format!("{name} must be a string")));
        }
    }
    for name in ["webhookCustomHeaders", "flexShippingInfo", "goodsInfo"] {
        if fields.get(name).is_some_and(|value| !value.is_object()) {
            return Err(Refusal::invalid(format!("{name} must be of type object")));
        }
    }
    match text(fields, "webhookUrl") {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err(Refusal::invalid("webhookUrl must be a valid uri"))
        }
        _ => Ok(()),
    }
}

fn check_specs(fields: &Map<String, Value>) -> Result<(), Refusal> {
    const PACKAGES: &[&str] = &["Parcel", "Document", "Light Bulky", "Heavy Bulky", "Small"];
    const SIZES: &[&str] = &["SMALL", "MEDIUM", "LARGE", "Light Bulky", "Heavy Bulky"];
    for name in ["specs", "returnSpecs"] {
        let Some(specs) = fields.get(name) else { continue };
        for (field, allowed) in [("packageType", PACKAGES), ("size", SIZES)] {
            let Some(value) = specs.get(field).filter(|value| !value.is_null()) else { continue };
            if !value.as_str().is_some_and(|value| allowed.contains(&value)) {
                let allowed = allowed.join(", ");
                return Err(Refusal::invalid(format!("{name}.{field} must be one of {allowed}")));
            }
        }
        let items = specs.pointer("/packageDetails/itemsCount");
        if items.is_some_and(|items| items.as_u64().is_none()) {
            let field = format!("{name}.packageDetails.itemsCount");
            return Err(Refusal::invalid(format!("{field} must be an integer")));
        }
    }
    Ok(())
}

fn receiver(body: &Map<String, Value>) -> Result<Value, Refusal> {
    let Some(given) = body.get("receiver").and_then(Value::as_object) else {
        return Err(Refusal::invalid("receiver is required"));
    };
    let Some(first) = text(given, "firstName") else {
        return Err(Refusal::invalid("receiver.firstName is required"));
    };
    let Some(phone) = text(given, "phone") else {
        return Err(Refusal::invalid("receiver.phone is required"));
    };
    let mut kept = Map::new();
    for name in ["firstName", "lastName", "fullName", "email"] {
        if let Some(value) = text(given, name) {
            kept.insert(name.into(), value.into());
        }
    }
    if !kept.contains_key("fullName") {
        let full =
            text(given, "lastName").map_or(first.to_owned(), |last| format!("{first} {last}"));
        kept.insert("fullName".into(), full.into());
    }
    for (name, value) in [("phone", Some(phone)), ("secondPhone", text(given, "secondPhone"))] {
        let Some(value) = value else { continue };
        let normal = phone_number(value)
            .ok_or_else(|| Refusal::invalid(format!("receiver.{name} is not a valid phone")))?;
        kept.insert(name.into(), normal.into());
    }
    Ok(kept.into())
}

/// As reads return it: `+20` and the number without its leading zero.
pub(super) fn phone_number(given: &str) -> Option<String> {
    if given.chars().any(|letter| !letter.is_ascii_digit() && !" +-()".contains(letter)) {
        return None;
    }
    let digits: String = given.chars().filter(char::is_ascii_digit).collect();
    let full = match digits.strip_prefix("00") {
        Some(foreign) => foreign.to_owned(),
        None => match digits.strip_prefix('0') {
            Some(local) => format!("20{local}"),
            None => digits,
        },
    };
    (8..=15).contains(&full.len()).then(|| format!("+{full}"))
}

fn check_money(kind: i64, fields: &Map<String, Value>) -> Result<(), Refusal> {
    check_cod(fields.get("cod"))?;
    match (kind, fields.get("cod").and_then(Value::as_f64)) {
        (RETURN_PICKUP, None) => {
            return Err(Refusal::coded("3005", "cod (refund amount) is required for a return"));
        }
        (CASH_COLLECTION, None) => {
            return Err(Refusal::coded("3006", "cod is required for a cash collection"));
        }
        _ => {}
    }
    let Some(goods) = fields.get("goodsInfo").and_then(|goods| goods.get("amount")) else {
        return Ok(());
    };
    match goods.as_f64() {
        Some(amount) if (100.0..=50_000.0).contains(&amount) => Ok(()),
        _ => Err(Refusal::coded("41591", "goodsInfo.amount must be between 100 and 50000")),
    }
}

pub(super) fn check_cod(cod: Option<&Value>) -> Result<(), Refusal> {
    match cod.map(|cod| cod.as_number().and_then(Number::as_f64)) {
        None => Ok(()),
        Some(None) => Err(Refusal::invalid("cod must be a number")),
        Some(Some(cod)) if cod > 30_000.0 => {
            Err(Refusal::coded("3007", "COD amount can not exceed 30000 EGP"))
        }
        Some(Some(cod)) if cod < -2_000.0 => {
            Err(Refusal::coded("3008", "Refund amount can not exceed 2000 EGP"))
        }
        Some(Some(_)) => Ok(()),
    }
}

fn customer_address(
    body: &Map<String, Value>,
    wanted: &str,
    rules: Rules,
) -> Result<(Value, bool), Refusal> {
    let other = if wanted == "pickupAddress" { "dropOffAddress" } else { "pickupAddress" };
    match (body.get(wanted), body.get(other)) {
        (Some(Value::Object(given)), _) => address(given, wanted, rules),
        // The address on the wrong side is the real one's famous crash.
        (None | Some(Value::Null), Some(Value::Object(_))) => Err(Refusal::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Cannot read properties of undefined (reading 'city')",
        )),
        _ => Err(Refusal::invalid(format!("{wanted} is required"))),
    }
}

/// The address as reads show it, and whether it lies out of coverage.
pub(super) fn address(
    given: &Map<String, Value>,
    field: &str,
    rules: Rules,
) -> Result<(Value, bool), Refusal> {
    let first_line = text(given, "firstLine")
        .ok_or_else(|| Refusal::invalid(format!("{field}.firstLine is required")))?;
    if first_line.chars().count() <= 5 {
        let message = format!("{field}.firstLine must be more than 5 characters");
        return Err(Refusal::invalid(message));
    }
    let city = city(given, field, rules)?;
    let district = match rules {
        Rules::Documented => Some(documented_district(given, field, city)?),
        Rules::Loose => loose_district(given, city)?,
        Rules::Old => text(given, "district").and_then(|name| city.district_by_name(name)),
    };
    let mut kept = Map::new();
    for name in ["firstLine", "secondLine", "buildingNumber", "floor", "apartment"] {
        if let Some(value) = given.get(name).and_then(scalar) {
            kept.insert(name.into(), value.into());
        }
    }
    for name in ["isWorkAddress", "geoLocation"] {
        if let Some(value) = given.get(name) {
            kept.insert(name.into(), value.clone());
        }
    }
    kept.insert("city".into(), place(city.id, city.name, city.name_ar));
    if let Some(district) = district {
        let (name, name_ar) = (district.name, district.name_ar);
        kept.insert("zone".into(), place(&district.zone_id(), name, name_ar));
        kept.insert("district".into(), place(district.id, name, name_ar));
    }
    Ok((kept.into(), district.is_some_and(|district| !district.drop_off())))
}

fn city(given: &Map<String, Value>, field: &str, rules: Rules) -> Result<&'static City, Refusal> {
    let by_code = text(given, "cityCode").filter(|_| rules == Rules::Old);
    let Some(name) = text(given, "city").or(by_code) else {
        return Err(Refusal::coded("3004", format!("{field}.city is required")));
    };
    coverage::city_by_name(name).ok_or_else(|| Refusal::coded("3001", "City not found"))
}

fn documented_district(
    given: &Map<String, Value>,
    field: &str,
    city: &'static City,
) -> Result<&'static District, Refusal> {
    let unknown = || Refusal::coded("3003", "District not found");
    match (text(given, "districtId"), text(given, "districtName"), text(given, "cityId")) {
        (Some(id), _, _) => city.district_by_id(id).ok_or_else(unknown),
        (None, Some(name), Some(city_id)) => coverage::city_by_id(city_id)
            .ok_or_else(|| Refusal::coded("3001", "City not found"))?
            .district_by_name(name)
            .ok_or_else(unknown),
        (None, Some(_), None) => {
            Err(Refusal::coded("3009", format!("{field}.districtName needs {field}.cityId")))
        }
        (None, None, _) => {
            let message = format!("{field} must contain one of districtId, districtName");
            Err(Refusal::coded("3004", message))
        }
    }
}

fn loose_district(
    given: &Map<String, Value>,
    city: &'static City,
) -> Result<Option<&'static District>, Refusal> {
    if text(given, "districtName").is_some() {
        return Err(Refusal::coded("3002", "Zone not found"));
    }
    if let Some(id) = text(given, "districtId") {
        let found = city.district_by_id(id);
        return found.map(Some).ok_or_else(|| Refusal::coded("3003", "District not found"));
    }
    let Some(zone) = text(given, "zoneId") else { return Ok(None) };
    city.district_by_zone(zone).map(Some).ok_or_else(|| Refusal::coded("3002", "Zone not found"))
}

fn place(id: &str, name: &str, name_ar: &str) -> Value {
    serde_json::json!({"_id": id, "name": name, "nameAr": name_ar})
}

/// Clients send floors and buildings as text or as numbers.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A text that is there and not blank.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).map(str::trim).filter(|value| !value.is_empty())
}

/// The body of any call: JSON or a validation error.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Refusal::invalid("the body must be an object")),
        Err(error) => Err(Refusal::invalid(format!("the body is not JSON: {error}"))),
    }
}
