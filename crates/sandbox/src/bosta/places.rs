//! Cities, zones and districts, open to everybody.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::coverage::{self, City, District};
use super::refusal::{Refusal, done};

const OK: &str = "Done successfully.";

pub(super) async fn cities() -> Response {
    let list: Vec<_> = coverage::cities().iter().map(city_row).collect();
    done(StatusCode::OK, OK, json!({"list": list}))
}

pub(super) async fn city(Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(done(StatusCode::OK, OK, city_row(known(&id)?)))
}

pub(super) async fn districts(Path(id): Path<String>) -> Result<Response, Refusal> {
    let rows: Vec<_> = known(&id)?.districts.iter().map(district_row).collect();
    Ok(done(StatusCode::OK, OK, rows.into()))
}

pub(super) async fn all_districts() -> Response {
    let rows: Vec<_> = coverage::cities()
        .iter()
        .map(|city| {
            let districts: Vec<_> = city.districts.iter().map(district_row).collect();
            json!({"cityId": city.id, "cityCode": city.code, "cityName": city.name,
                   "cityOtherName": city.name_ar, "pickupAvailability": true,
                   "dropOffAvailability": true, "districts": districts})
        })
        .collect();
    done(StatusCode::OK, OK, rows.into())
}

/// The old clients' one list.
pub(super) async fn zones() -> Response {
    let rows: Vec<_> = coverage::cities()
        .iter()
        .flat_map(|city| city.districts.iter().map(move |district| (city, district)))
        .map(|(city, district)| {
            let mut row = district_row(district);
            if let Some(fields) = row.as_object_mut() {
                fields.insert("cityCode".into(), city.code.into());
                fields.insert("cityName".into(), city.name.into());
            }
            row
        })
        .collect();
    done(StatusCode::OK, OK, rows.into())
}

fn known(id: &str) -> Result<&'static City, Refusal> {
    coverage::city_by_id(id).ok_or_else(|| Refusal::coded("3001", "City not found"))
}

fn city_row(city: &City) -> Value {
    json!({"_id": city.id, "name": city.name, "nameAr": city.name_ar, "alias": city.alias,
           "code": city.code, "sector": 1, "pickupAvailability": true,
           "dropOffAvailability": true})
}

fn district_row(district: &District) -> Value {
    json!({"zoneId": district.zone_id(), "zoneName": district.name,
           "zoneOtherName": district.name_ar, "districtId": district.id,
           "districtName": district.name, "districtOtherName": district.name_ar,
           "pickupAvailability": true, "dropOffAvailability": district.drop_off(),
           "coverage": "BOSTA"})
}
