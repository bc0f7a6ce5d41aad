//! The calls of the courier's API, new and old, when all goes well.

use serde_json::{Value, json};

use crate::support::{changed, send_request, world};

#[tokio::test]
async fn a_key_is_taken_raw_and_refused_as_bearer_or_when_it_begins_with_bad() {
    let world = world(1.0).await;
    let path = "/api/v2/deliveries/analytics/total-deliveries";
    for (authorization, status, code) in [
        ("any-key", 200, Value::Null),
        ("Bearer any-key", 401, json!("1028")),
        ("bad-key", 401, json!("1028")),
        ("", 401, json!("1007")),
    ] {
        let answer = world.courier.with_authorization(authorization).get(path).await;
        assert_eq!((answer.0, &answer.1["errorCode"]), (status, &code), "{authorization:?}");
        assert_eq!(answer.1["success"], status == 200);
    }
}

#[tokio::test]
async fn a_login_gives_a_token_that_is_used_as_bearer() {
    let world = world(1.0).await;
    let open = world.courier.with_authorization("");
    let body = json!({"email": "sara@example.com", "password": "secret"});
    let (status, answer) = open.post("/api/v2/users/login", body).await;
    assert_eq!(status, 200);
    let token = answer["data"]["token"].as_str().unwrap();
    assert!(token.starts_with("Bearer "));
    let (status, _) =
        open.with_authorization(token).get("/api/v2/deliveries/analytics/total-deliveries").await;
    assert_eq!(status, 200);
    let (status, _) = open.get("/api/v0/businesses/some-key/info").await;
    assert_eq!(status, 200);
    let (status, _) = open.get("/api/v0/businesses/bad-key/info").await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn v2_create_answers_201_and_v1_create_200_with_the_documented_shape() {
    let world = world(1.0).await;
    let (status, answer) =
        world.courier.post(crate::support::CREATE, send_request("ORD-1001-S1")).await;
    assert_eq!(status, 201);
    let data = &answer["data"];
    assert_eq!(data["state"], json!({"code": 10, "value": "Pickup requested"}));
    assert_eq!(data["businessReference"], "ORD-1001");
    assert_eq!(data["creationSrc"], "API");
    assert_eq!(data["_id"].as_str().unwrap().len(), 21);
    assert!(data["trackingNumber"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()));

    let old = json!({
        "type": 10, "cod": 100, "receiver": {"firstName": "Mona", "phone": "01000000001"},
        "dropOffAddress": {"city": "EG-02", "firstLine": "5 Corniche road", "zone": "Raml"},
    });
    for path in ["/api/v1/deliveries", "/api/v0/deliveries"] {
        let (status, answer) = world.courier.post(path, old.clone()).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{path}");
        assert_eq!(answer["data"]["message"], "Delivery created successfully!");
    }
}

#[tokio::test]
async fn a_delivery_reads_back_with_what_was_sent_and_without_unknown_fields() {
    let world = world(1.0).await;
    let request = changed(
        send_request("ORD-1001-S1"),
        json!({"surprise": 1, "dropOffAddress": {"cityName": "Giza"},
               "webhookUrl": "http://127.0.0.1:9/hook"}),
    );
    let made = world.courier.create(request).await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    let (status, answer) =
        world.courier.get(&format!("/api/v2/deliveries/business/{tracking}")).await;
    let data = &answer["data"];
    assert_eq!(status, 200);
    assert_eq!(data["type"], json!({"code": 10, "value": "Send"}));
    assert_eq!(data["state"]["code"], 10);
    assert_eq!(data["receiver"]["phone"], "+201065685435");
    assert_eq!(data["receiver"]["fullName"], "Sara Ali");
    assert_eq!(data["dropOffAddress"]["city"]["name"], "Cairo");
    assert_eq!(data["dropOffAddress"]["district"]["name"], "Downtown");
    assert_eq!(data["uniqueBusinessReference"], "ORD-1001-S1");
    assert_eq!((&data["cod"], &data["numberOfAttempts"]), (&json!(450), &json!(0)));
    assert!(data.get("surprise").is_none() && data.get("webhookUrl").is_none());
    assert!(data["dropOffAddress"].get("cityName").is_none());

    let id = made["_id"].as_str().unwrap();
    let (status, by_id) = world.courier.get(&format!("/api/v1/deliveries/{id}")).await;
    assert_eq!((status, &by_id["data"]["trackingNumber"]), (200, &made["trackingNumber"]));
    for name in ["pickupAddress", "holder", "timeline", "history", "creationTimestamp"] {
        assert!(!by_id["data"][name].is_null(), "the v1 packages read {name}");
    }
    let (status, flat) = world.courier.get(&format!("/api/v0/deliveries/{tracking}")).await;
    assert_eq!((status, &flat["data"]["_id"]), (200, &made["_id"]));
    assert!(flat.get("success").is_none());
}

#[tokio::test]
async fn a_search_matches_exactly_and_lists_the_newest_first() {
    let world = world(1.0).await;
    let courier = &world.courier;
    let mut made = Vec::new();
    for (unique, reference, phone) in [
        ("A-1", "#1001", "01065685435"),
        ("A-2", "#1001", "+20 100 000 0002"),
        ("A-3", "1001", "01065685435"),
    ] {
        let changes = json!({"businessReference": reference, "receiver": {"phone": phone}});
        made.push(courier.create(changed(send_request(unique), changes)).await);
    }
    let found = async |path: &str, body: Value| -> Vec<String> {
        let (status, answer) = courier.post(path, body).await;
        assert_eq!(status, 200);
        let list = answer["data"]["deliveries"].as_array().unwrap().clone();
        let unique = |one: &Value| one["uniqueBusinessReference"].as_str().unwrap().to_owned();
        list.iter().map(unique).collect()
    };
    let path = "/api/v2/deliveries/search";
    assert_eq!(found(path, json!({"businessReference": "#1001"})).await, ["A-2", "A-1"]);
    assert!(found(path, json!({"businessReference": "#100"})).await.is_empty());
    let tracking = &made[1]["trackingNumber"];
    assert_eq!(found(path, json!({"trackingNumbers": [tracking]})).await, ["A-2"]);
    assert_eq!(found(path, json!({"mobilePhones": ["+201065685435"]})).await, ["A-3", "A-1"]);
    // The type filter is ignored silently.
    assert_eq!(found(path, json!({"type": 25})).await, ["A-3", "A-2", "A-1"]);
    assert_eq!(found("/api/v2/deliveries/search?page=2&limit=2", json!({})).await, ["A-1"]);
    let (_, answer) = courier.get("/api/v1/deliveries?pageNumber=1&pageLimit=2").await;
    assert_eq!((&answer["data"]["count"], &answer["data"]["limit"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn an_update_changes_money_phone_and_address() {
    let world = world(1.0).await;
    let made = world.courier.create(send_request("ORD-1001-S1")).await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    let path = format!("/api/v2/deliveries/business/{tracking}");
    let body = json!({"cod": 500.5, "goodsInfo": {"amount": 1},
                      "receiver": {"phone": "01200000003"},
                      "dropOffAddress": {"city": "Giza", "firstLine": "7 Haram street"}});
    let (status, answer) = world.courier.call("PUT", &path, Some(&body)).await;
    assert_eq!((status, &answer["data"]), (200, &json!({"_id": made["_id"]})));
    let (_, read) = world.courier.get(&path).await;
    assert_eq!(read["data"]["cod"], 500.5);
    assert_eq!(read["data"]["receiver"]["phone"], "+201200000003");
    assert_eq!(read["data"]["dropOffAddress"]["city"]["name"], "Giza");

    let id = made["_id"].as_str().unwrap();
    let body = json!({"businessReference": "ORD-2", "receiver": {"firstName": "Mona"}});
    let (status, _) =
        world.courier.call("PUT", &format!("/api/v1/deliveries/{id}"), Some(&body)).await;
    let (_, read) = world.courier.get(&path).await;
    assert_eq!((status, &read["data"]["businessReference"]), (200, &json!("ORD-2")));
    assert_eq!(read["data"]["receiver"]["fullName"], "Mona Ali");
}

#[tokio::test]
async fn a_terminated_delivery_vanishes_and_frees_its_unique_reference() {
    let world = world(1.0).await;
    let courier = &world.courier;
    let made = courier.create(send_request("ORD-1001-S1")).await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    let path = format!("/api/v2/deliveries/business/{tracking}");
    let terminate = format!("{path}/terminate");
    let by_id = format!("/api/v2/deliveries/business/{}/terminate", made["_id"].as_str().unwrap());
    assert_eq!(courier.call("DELETE", &by_id, None).await.0, 404);

    let (status, answer) = courier.call("DELETE", &terminate, None).await;
    assert_eq!((status, &answer["data"]["_id"]), (200, &made["_id"]));
    let (status, answer) = courier.call("DELETE", &terminate, None).await;
    assert_eq!((status, &answer["errorCode"]), (404, &json!(1066)));
    let (status, answer) = courier.get(&path).await;
    assert_eq!((status, &answer["errorCode"]), (400, &json!(1066)));
    assert_eq!(answer["message"], "Delivery not found.");
    let (_, found) = courier.post("/api/v2/deliveries/search", json!({})).await;
    assert_eq!(found["data"]["count"], 0);
    courier.create(send_request("ORD-1001-S1")).await;

    let ledger = courier.ledger().await;
    let alive: Vec<_> = ledger.iter().map(|row| row["alive"].as_bool().unwrap()).collect();
    assert_eq!(alive, [false, true]);
}

#[tokio::test]
async fn the_old_cancel_works_by_id() {
    let world = world(1.0).await;
    let made = world.courier.create(send_request("ORD-1001-S1")).await;
    let path = format!("/api/v1/deliveries/{}", made["_id"].as_str().unwrap());
    let (status, answer) = world.courier.call("DELETE", &path, None).await;
    assert_eq!((status, &answer["message"]), (200, &json!("Delivery canceled successfully!")));
    assert_eq!(world.courier.get(&path).await.0, 400);
}

#[tokio::test]
async fn bulk_answers_ids_only_and_makes_all_or_none() {
    let world = world(1.0).await;
    let path = "/api/v2/deliveries/bulk?apiVersion=1";
    let (status, answer) =
        world.courier.post(path, json!([send_request("B-1"), send_request("B-2")])).await;
    assert_eq!((status, answer["data"].as_array().unwrap().len()), (200, 2));
    assert!(answer["data"][0].is_string());
    let (status, _) =
        world.courier.post(path, json!([send_request("B-3"), send_request("B-1")])).await;
    assert_eq!((status, world.courier.ledger().await.len()), (400, 2));
}

#[tokio::test]
async fn tracking_is_read_by_id_by_number_and_by_the_public_without_a_key() {
    let world = world(1.0).await;
    let made = world.courier.create(send_request("ORD-1001-S1")).await;
    let (id, tracking) = (made["_id"].as_str().unwrap(), made["trackingNumber"].as_str().unwrap());
    for path in [
        format!("/api/v1/deliveries/{id}/tracking"),
        format!("/api/v0/deliveries/{tracking}/tracking"),
    ] {
        let (status, answer) = world.courier.get(&path).await;
        assert_eq!((status, &answer["data"]["TrackingNumber"]), (200, &json!(tracking)), "{path}");
    }
    let open = world.courier.with_authorization("");
    let (status, page) = open.get(&format!("/shipments/track/{tracking}")).await;
    assert_eq!((status, &page["provider"]), (200, &json!("bosta")));
    assert_eq!(page["CurrentStatus"]["state"], "Pickup requested");
    assert!(page["TrackingURL"].as_str().unwrap().starts_with(&world.sandbox.courier_url()));
    assert_eq!(open.get("/shipments/track/1").await.0, 404);
}

#[tokio::test]
async fn cities_and_districts_are_open_to_everybody() {
    let world = world(1.0).await;
    let open = world.courier.with_authorization("");
    let (status, cities) = open.get("/api/v2/cities?countryId=60e4482c7cb7d4bc4849c4d5").await;
    assert_eq!((status, cities["data"]["list"].as_array().unwrap().len()), (200, 28));
    let (_, all) = open.get("/api/v2/cities/getAllDistricts").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 28);
    let (_, rows) = open.get("/api/v2/cities/FceDyHXwpSYYF9zGW/districts").await;
    let rows = rows["data"].as_array().unwrap().clone();
    assert!(rows.iter().any(|row| row["districtId"] == "Iy7-lFD0BE0"));
    let (_, zones) = open.get("/api/v1/zones").await;
    let out =
        zones["data"].as_array().unwrap().iter().filter(|row| row["dropOffAvailability"] == false);
    assert!(out.count() > 0, "clients must be made to filter");
    assert_eq!(open.get("/api/v2/cities/nowhere/zones").await.0, 400);
}

#[tokio::test]
async fn one_pickup_is_taken_for_a_place_and_a_day() {
    let world = world(1.0).await;
    let pickup = |date: &str| {
        json!({"scheduledDate": date, "contactPerson": {"name": "Omar", "phone": "01000000001"},
               "numberOfParcels": 12, "packageType": "Normal"})
    };
    let path = "/api/v2/pickups";
    // A Saturday and a Friday far away.
    let (status, made) = world.courier.post(path, pickup("2099-01-03")).await;
    assert_eq!(status, 200);
    let puid = made["data"]["puid"].as_str().unwrap();
    for (date, code) in [("2099-01-03", "1078"), ("2099-01-02", "1080"), ("2020-01-01", "1083")] {
        let (status, answer) = world.courier.post(path, pickup(date)).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!(code)), "{date}");
    }
    let one = format!("{path}/{}", made["data"]["_id"].as_str().unwrap());
    assert_eq!(world.courier.get(&one).await.1["data"]["puid"], puid);
    assert_eq!(world.courier.call("DELETE", &one, None).await.0, 200);
    assert_eq!(world.courier.get(path).await.1["data"]["count"], 0);
    assert_eq!(world.courier.post(path, pickup("2099-01-03")).await.0, 200);
}

#[tokio::test]
async fn calls_are_counted_by_route() {
    let world = world(1.0).await;
    world.courier.create(send_request("ORD-1001-S1")).await;
    world.courier.get("/api/v2/deliveries/business/1").await;
    world.courier.get("/api/v2/deliveries/business/2").await;
    let (_, answer) = world.courier.get("/_control/calls").await;
    assert_eq!(answer["calls"]["POST /api/v2/deliveries"], 1);
    assert_eq!(answer["calls"]["GET /api/v2/deliveries/business/{tracking}"], 2);
}
