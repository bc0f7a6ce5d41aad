//! Addresses of all scripts and lengths, written in the courier's form.

use nexus_proto::common::v1::{Address, Recipient};
use proptest::prelude::*;
use secrecy::SecretString;

use super::super::cities::{city_of, district_of, districts_in};
use super::*;
use crate::domain::courier_account::Mode;
use crate::domain::shipment::Parcel;

fn words() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9 ,./-]{0,60}", "[\u{0600}-\u{06FF} 0-9]{0,60}", any::<String>()]
}

/// What a request is made of; the request itself holds a person and is never printed.
#[derive(Clone, Debug)]
struct Given {
    address: [String; 5],
    person: [String; 3],
    weight_grams: u32,
    contents: Vec<(String, u32)>,
    cod: i64,
    currency: &'static str,
    district: String,
}

fn given() -> impl Strategy<Value = Given> {
    let texts = (prop::array::uniform5(words()), prop::array::uniform3(words()));
    let parcel = (any::<u32>(), prop::collection::vec((words(), 0_u32..1_000_000), 0..5));
    let money = (any::<i64>(), prop::sample::select(vec!["EGP", "USD"]));
    let district = prop_oneof![Just("Maadi".to_owned()), words()];
    (texts, parcel, money, district).prop_map(|(texts, parcel, money, district)| Given {
        address: texts.0,
        person: texts.1,
        weight_grams: parcel.0,
        contents: parcel.1,
        cod: money.0,
        currency: money.1,
        district,
    })
}

fn request(given: Given) -> AwbRequest {
    let ([governorate, city, district, line1, line2], [name, phone, email]) =
        (given.address, given.person);
    let address = Address { governorate, city, district, line1, line2, ..Address::default() };
    let recipient = Recipient { name, phone, email, address: Some(address) };
    let (weight_grams, contents) = (given.weight_grams, given.contents);
    AwbRequest {
        reference: "S-1".to_owned(),
        order_number: "NX-1".to_owned(),
        recipient,
        notes: "ring".to_owned(),
        parcel: Parcel { weight_grams, contents, ..Parcel::default() },
        cod: given.cod,
        currency: given.currency.to_owned(),
    }
}

fn place(given: &Given) -> Option<Place> {
    let rows = json!([
        {"districtId": "d1", "districtName": "Maadi", "districtOtherName": "المعادي"},
        {"districtId": "d2", "districtName": "Nasr City", "dropOffAvailability": false},
    ]);
    let [governorate, city, ..] = &given.address;
    let districts = districts_in(&rows);
    let district = district_of(&districts, &[&given.district, city]).cloned();
    Some(Place { city: city_of(governorate, city).or_else(|| city_of("Cairo", ""))?, district })
}

fn account() -> Account {
    Account {
        mode: Mode::Sandbox,
        api_key: SecretString::from("k"),
        pickup_location: String::new(),
        webhook: None,
    }
}

proptest! {
    /// Whatever the address, the request can be written, within what the courier takes.
    #[test]
    fn any_address_makes_a_request_or_a_refusal(given in given()) {
        let place = place(&given).unwrap();
        let Ok(body) = delivery(&account(), &request(given), &place) else { return Ok(()) };
        let length = |at: &str| {
            body.pointer(at).and_then(Value::as_str).map_or(0, |text| text.chars().count())
        };
        prop_assert!((1..=NAME_MAX).contains(&length("/receiver/firstName")));
        prop_assert!(length("/receiver/lastName") <= NAME_MAX);
        prop_assert!(length("/specs/packageDetails/description") <= DESCRIPTION_MAX);
        prop_assert!(body.pointer("/cod").is_some_and(Value::is_number));
        // The courier knows either a district or our words for it.
        let documented = body.pointer("/dropOffAddress/districtId").is_some();
        prop_assert_eq!(documented, place.is_documented());
    }
}
