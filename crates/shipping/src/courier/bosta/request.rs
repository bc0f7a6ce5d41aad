//! A create request as Bosta wants it: names, phone, address, money, all in its own forms.

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::cities::Place;
use crate::courier::{Account, AwbRequest, CallError};

const SEND: u8 = 10;
const NAME_MAX: usize = 50;
const NOTES_MAX: usize = 250;
const DESCRIPTION_MAX: usize = 200;
/// The first line of an address must be longer than five characters.
const FIRST_LINE_MIN: usize = 6;

pub(super) fn delivery(
    account: &Account,
    request: &AwbRequest,
    place: &Place,
) -> Result<Value, CallError> {
    let mut body = json!({
        "type": SEND,
        "specs": specs(request),
        "dropOffAddress": address(request, place),
        "businessReference": request.order_number,
        "uniqueBusinessReference": request.reference,
        "receiver": receiver(request)?,
        "allowToOpenPackage": false,
    });
    let Some(fields) = body.as_object_mut() else { return Ok(body) };
    fields.insert("cod".to_owned(), cod(request)?);
    if !request.notes.is_empty() {
        fields.insert("notes".to_owned(), cut(&request.notes, NOTES_MAX).into());
    }
    if !account.pickup_location.is_empty() {
        fields.insert("businessLocationId".to_owned(), account.pickup_location.clone().into());
    }
    if let Some(webhook) = &account.webhook {
        let secret = webhook.secret.expose_secret();
        fields.insert("webhookUrl".to_owned(), webhook.url.clone().into());
        let headers = Map::from_iter([(webhook.header.clone(), secret.into())]);
        fields.insert("webhookCustomHeaders".to_owned(), headers.into());
    }
    Ok(body)
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// EGP in major units.
fn cod(request: &AwbRequest) -> Result<Value, CallError> {
    if request.cod == 0 {
        return Ok(json!(0));
    }
    if request.currency != "EGP" {
        return Err(CallError::refused(
            "CURRENCY",
            "currency",
            "Bosta collects Egyptian pounds only",
            "have the order paid before it is shipped, or use another courier account",
        ));
    }
    let text = nexus_runtime::money::format_amount(request.cod, "EGP");
    let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    Ok(number.map_or(Value::Null, Value::Number))
}

fn specs(request: &AwbRequest) -> Value {
    let parcel = &request.parcel;
    let items: u32 = parcel.contents.iter().map(|(_, units)| units).sum();
    let contents: Vec<_> =
        parcel.contents.iter().map(|(sku, units)| format!("{units} x {sku}")).collect();
    // Bosta publishes no border between its sizes; these are the ones its couriers go by.
    let size = match parcel.weight_grams {
        0..=5_000 => "SMALL",
        5_001..=15_000 => "MEDIUM",
        _ => "LARGE",
    };
    json!({
        "packageType": "Parcel",
        "size": size,
        "weight": f64::from(parcel.weight_grams) / 1_000.0,
        "packageDetails": {
            "itemsCount": items,
            "description": cut(&contents.join(", "), DESCRIPTION_MAX),
        },
    })
}

fn receiver(request: &AwbRequest) -> Result<Value, CallError> {
    let recipient = &request.recipient;
    let missing = |field: &str, what: &str| {
        let detail = format!("the recipient has no {what}");
        CallError::refused("MISSING_FIELD", field, &detail, "complete the order's contact")
    };
    let mut words = recipient.name.split_whitespace();
    let first = words.next().ok_or_else(|| missing("contact.name", "name"))?;
    let last = words.collect::<Vec<_>>().join(" ");
    if recipient.phone.is_empty() {
        return Err(missing("contact.phone", "phone"));
    }
    let mut receiver = json!({
        "firstName": cut(first, NAME_MAX),
        "phone": phone(&recipient.phone),
    });
    if let Some(fields) = receiver.as_object_mut() {
        if !last.is_empty() {
            fields.insert("lastName".to_owned(), cut(&last, NAME_MAX).into());
        }
        if !recipient.email.is_empty() {
            fields.insert("email".to_owned(), recipient.email.clone().into());
        }
    }
    Ok(receiver)
}

/// Egyptian numbers in the documented local form, others as they are.
pub(super) fn phone(e164: &str) -> String {
    match e164.strip_prefix("+20") {
        Some(local) => format!("0{local}"),
        None => e164.to_owned(),
    }
}

fn address(request: &AwbRequest, place: &Place) -> Value {
    let given = request.recipient.address.clone().unwrap_or_default();
    let mut first_line = given.line1.clone();
    for more in [&given.district, &given.city, &given.governorate] {
        if first_line.chars().count() < FIRST_LINE_MIN && !more.is_empty() {
            first_line = format!("{first_line}, {more}").trim_start_matches(", ").to_owned();
        }
    }
    let mut second_line = given.line2.clone();
    let mut address = json!({"city": place.city.name, "firstLine": first_line});
    let Some(fields) = address.as_object_mut() else { return address };
    match &place.district {
        Some(district) => {
            fields.insert("districtId".to_owned(), district.id.clone().into());
        }
        // Without a district Bosta's people ask the customer: give them our words for it.
        None => {
            let words = [given.district.as_str(), given.city.as_str(), second_line.as_str()];
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            second_line = words.join(", ");
        }
    }
    let optional = [
        ("secondLine", second_line),
        ("buildingNumber", given.building),
        ("floor", given.floor),
        ("apartment", given.apartment),
    ];
    for (name, value) in optional {
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.into());
        }
    }
    address
}

#[cfg(test)]
mod fuzz;
