//! What the courier refuses, with the codes it was seen to give.

use serde_json::{Value, json};

use crate::support::{CREATE, changed, send_request, world};

#[tokio::test]
async fn each_wrong_field_is_refused_with_its_own_code_and_nothing_is_made() {
    let world = world(1.0).await;
    let refund = json!({"type": 25, "cod": null, "dropOffAddress": null,
        "pickupAddress": {"city": "Giza", "districtId": "0a1B2c3D4e5",
                          "firstLine": "7 Haram street"}});
    let cases = [
        (json!({"type": null}), "777", "type"),
        (json!({"type": 20}), "777", "type"),
        (json!({"receiver": null}), "777", "receiver"),
        (
            json!({"receiver": {"firstName": null, "fullName": "Sara Ali"}}),
            "777",
            "receiver.firstName",
        ),
        (json!({"receiver": {"phone": null}}), "777", "receiver.phone"),
        (json!({"receiver": {"phone": "none"}}), "777", "receiver.phone"),
        (json!({"specs": {"packageType": "Box"}}), "777", "specs.packageType"),
        (json!({"specs": {"size": "Normal"}}), "777", "specs.size"),
        (json!({"cod": "450"}), "777", "cod"),
        (json!({"cod": 30000.5}), "3007", "COD"),
        (json!({"cod": -2000.5}), "3008", "Refund"),
        (json!({"goodsInfo": {"amount": 99}}), "41591", "goodsInfo"),
        (json!({"goodsInfo": {"amount": 50001}}), "41591", "goodsInfo"),
        (json!({"dropOffAddress": null}), "777", "dropOffAddress"),
        (json!({"dropOffAddress": {"firstLine": null}}), "777", "firstLine"),
        (json!({"dropOffAddress": {"firstLine": "12 Ta"}}), "777", "firstLine"),
        (json!({"dropOffAddress": {"city": null}}), "3004", "city"),
        (json!({"dropOffAddress": {"city": "Atlantis"}}), "3001", "City"),
        (json!({"dropOffAddress": {"districtId": "nowhere"}}), "3003", "District"),
        (json!({"dropOffAddress": {"districtId": "0a1B2c3D4e5"}}), "3003", "District"),
        (json!({"dropOffAddress": {"districtId": null}}), "3004", "districtId"),
        (json!({"dropOffAddress": {"districtId": null, "zoneId": "z"}}), "3004", "districtId"),
        (
            json!({"dropOffAddress": {"districtId": null, "districtName": "Maadi"}}),
            "3009",
            "cityId",
        ),
        (
            json!({"dropOffAddress": {"districtId": null, "districtName": "Maadi",
                                   "cityId": "nowhere"}}),
            "3001",
            "City",
        ),
        (
            json!({"dropOffAddress": {"districtId": null, "districtName": "Nowhere",
                                   "cityId": "FceDyHXwpSYYF9zGW"}}),
            "3003",
            "District",
        ),
        (
            json!({"type": 15, "cod": null, "pickupAddress": {"city": "Giza",
                "districtId": "0a1B2c3D4e5", "firstLine": "7 Haram street"}}),
            "3006",
            "cod",
        ),
        (refund, "3005", "refund"),
    ];
    for (changes, code, word) in cases {
        let request = changed(send_request("ORD-1001-S1"), changes.clone());
        let (status, answer) = world.courier.post(CREATE, request).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!(code)), "{changes}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(word), "{message:?} does not name {word}");
        assert_eq!(answer["success"], false);
    }
    assert!(world.courier.ledger().await.is_empty());
}

#[tokio::test]
async fn a_district_by_name_and_city_id_is_taken() {
    let world = world(1.0).await;
    let changes = json!({"dropOffAddress": {"districtId": null, "districtName": "Nasr City",
                                            "cityId": "FceDyHXwpSYYF9zGW"}});
    world.courier.create(changed(send_request("ORD-1001-S1"), changes)).await;
}

#[tokio::test]
async fn without_the_version_the_city_is_enough_and_a_district_name_too_much() {
    let world = world(1.0).await;
    let path = "/api/v2/deliveries";
    let bare = json!({"dropOffAddress": {"districtId": null}});
    assert_eq!(world.courier.post(path, changed(send_request("L-1"), bare)).await.0, 201);
    let named = json!({"dropOffAddress": {"districtId": null, "districtName": "Maadi"}});
    let (status, answer) = world.courier.post(path, changed(send_request("L-2"), named)).await;
    assert_eq!((status, &answer["errorCode"]), (400, &json!("3002")));
}

#[tokio::test]
async fn a_return_takes_its_address_as_pickup_and_breaks_on_drop_off() {
    let world = world(1.0).await;
    let address =
        json!({"city": "Giza", "districtId": "0a1B2c3D4e5", "firstLine": "7 Haram street"});
    let request = json!({"type": 25, "cod": -500, "goodsInfo": {"amount": 500},
        "pickupAddress": address, "businessReference": "ORD-1001",
        "uniqueBusinessReference": "ORD-1001-R1",
        "receiver": {"firstName": "Sara", "phone": "01065685435"}});
    let made = world.courier.create(request.clone()).await;
    assert_eq!(made["state"]["code"], 10);
    let wrong = changed(request, json!({"pickupAddress": null, "dropOffAddress": address}));
    let (status, answer) = world.courier.post(CREATE, wrong).await;
    assert_eq!((status, answer.get("errorCode")), (500, None));
    assert!(answer["message"].as_str().unwrap().contains("reading 'city'"));
}

#[tokio::test]
async fn a_unique_reference_is_guarded_across_types_and_a_business_reference_is_not() {
    let world = world(1.0).await;
    world.courier.create(send_request("ORD-1001-S1")).await;
    let exchange = changed(send_request("ORD-1001-S1"), json!({"type": 30}));
    for _ in 0..2 {
        let (status, answer) = world.courier.post(CREATE, exchange.clone()).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!("11000")), "{answer}");
    }
    let other_key = world.courier.with_authorization("a-rotated-key");
    let (status, _) = other_key.post(CREATE, send_request("ORD-1001-S1")).await;
    assert_eq!(status, 400, "keys open one account");
    world.courier.create(send_request("ORD-1001-S2")).await;

    let ledger = world.courier.ledger().await;
    let calls: Vec<_> = ledger.iter().map(|row| row["create_calls"].as_i64().unwrap()).collect();
    assert_eq!(calls, [4, 1]);
}

#[tokio::test]
async fn two_creates_at_once_with_one_reference_make_one_delivery() {
    let world = world(1.0).await;
    let tries = (0..8).map(|_| world.courier.post(CREATE, send_request("ORD-1001-S1")));
    let answers = futures::future::join_all(tries).await;
    let made = answers.iter().filter(|(status, _)| *status == 201).count();
    assert_eq!((made, world.courier.ledger().await.len()), (1, 1));
}

#[tokio::test]
async fn wrong_routes_fail_as_they_do_on_the_real_one() {
    let world = world(1.0).await;
    let made = world.courier.create(send_request("ORD-1001-S1")).await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    for (method, path, status) in [
        ("PUT", format!("/api/v2/deliveries/business/{tracking}/terminate"), 404),
        ("DELETE", format!("/api/v2/deliveries/{tracking}"), 404),
        ("DELETE", format!("/api/v2/deliveries/business/{tracking}"), 500),
        ("POST", format!("/api/v2/deliveries/business/{tracking}/cancel"), 404),
    ] {
        assert_eq!(world.courier.call(method, &path, None).await.0, status, "{method} {path}");
    }
    assert_eq!(world.courier.ledger().await[0]["alive"], true);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_validation_error() {
    let world = world(1.0).await;
    let (status, answer) = world.courier.post(CREATE, json!(["a"])).await;
    assert_eq!((status, &answer["errorCode"]), (400, &json!("777")));
}

#[tokio::test]
async fn a_parcel_that_was_picked_up_can_be_neither_terminated_nor_printed_once_delivered() {
    let world = world(1.0).await;
    let made = world.courier.create(send_request("ORD-1001-S1")).await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    let enter = format!("/_control/deliveries/{tracking}/state");
    let terminate = format!("/api/v2/deliveries/business/{tracking}/terminate");
    let update = format!("/api/v2/deliveries/business/{tracking}");
    assert_eq!(world.courier.post(&enter, json!({"state": 21})).await.0, 200);
    assert_eq!(world.courier.call("DELETE", &terminate, None).await.0, 400);
    assert_eq!(world.courier.call("PUT", &update, Some(&json!({"cod": 1}))).await.0, 200);
    world.courier.post(&enter, json!({"state": 45})).await;
    assert_eq!(world.courier.call("PUT", &update, Some(&json!({"cod": 1}))).await.0, 400);
    let body: Value = json!({"trackingNumbers": tracking});
    let (status, answer) = world.courier.post("/api/v2/deliveries/mass-awb", body).await;
    assert_eq!(status, 400);
    assert!(answer["message"].as_str().unwrap().contains("not printable"));
}
