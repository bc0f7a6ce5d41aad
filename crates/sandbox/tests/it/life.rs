//! What happens to a delivery by itself, as its webhooks tell it.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    Api, CREATE, Received, Receiver, changed, eventually, send_request, states, world,
};

/// A delivery that reports to the receiver with a header of its own.
async fn create(courier: &Api, hook: &Receiver, unique: &str) -> Value {
    let changes =
        json!({"webhookUrl": hook.url, "webhookCustomHeaders": {"X-Nexus-Key": "secret"}});
    courier.create(changed(send_request(unique), changes)).await
}

#[tokio::test]
async fn a_parcel_is_delivered_and_every_change_but_its_creation_is_told_once() {
    let world = world(200.0).await;
    let hook = Receiver::start("").await;
    let asked = Instant::now();
    let made = create(&world.courier, &hook, "ORD-1001-S1").await;
    let first = hook.wait_for_count(1).await;
    assert!(asked.elapsed().as_millis() >= 10_000 / 200, "{:?}", asked.elapsed());
    assert_eq!(states(&first)[0], 20);
    let all = hook.wait_for_state(45).await;
    assert_eq!(states(&all), [20, 21, 24, 30, 41, 45]);
    assert!(all.iter().all(|webhook| webhook.headers["x-nexus-key"] == "secret"));
    for webhook in &all {
        let body = &webhook.body;
        assert_eq!((&body["_id"], &body["type"]), (&made["_id"], &json!("SEND")));
        assert_eq!(body["businessReference"], "ORD-1001");
        let date = body["deliveryPromiseDate"].as_str().unwrap();
        let lengths: Vec<_> = date.split('-').map(str::len).collect();
        assert_eq!(lengths, [2, 2, 4], "{date}");
        assert_eq!(body.get("cod").is_some(), body["state"] == 45, "{body}");
        let number = body["trackingNumber"].to_string();
        assert_eq!(number.trim_matches('"'), made["trackingNumber"].as_str().unwrap());
    }
    let numeric = all.iter().filter(|webhook| webhook.body["trackingNumber"].is_number()).count();
    assert!((1..all.len()).contains(&numeric), "both spellings must occur");
    assert_eq!(all[5].body["cod"], 450);
    assert_eq!(all[5].body["isConfirmedDelivery"], true);
    let stamps: Vec<_> = all.iter().map(|hook| hook.body["timeStamp"].as_i64().unwrap()).collect();
    assert!(stamps.is_sorted_by(|a, b| a < b) && stamps[0] > 1_700_000_000_000, "{stamps:?}");

    let tracking = made["trackingNumber"].as_str().unwrap();
    let (_, read) = world.courier.get(&format!("/api/v2/deliveries/business/{tracking}")).await;
    assert_eq!(read["data"]["state"], json!({"code": 45, "value": "Delivered"}));
    assert_eq!(read["data"]["history"].as_array().unwrap().len(), 7);
    world.sandbox.stop().await;
}

#[tokio::test]
async fn the_accounts_webhook_hears_of_deliveries_without_their_own() {
    let world = world(200.0).await;
    let (account, own) = (Receiver::start("").await, Receiver::start("").await);
    let setting = json!({"url": account.url, "header": "X-My-Name", "secret": "Bearer hidden"});
    assert_eq!(world.courier.post("/_control/webhook", setting).await.0, 200);
    world.courier.create(send_request("A-1")).await;
    create(&world.courier, &own, "A-2").await;
    let heard = account.wait_for_state(45).await;
    own.wait_for_state(45).await;
    assert_eq!(states(&heard), [20, 21, 24, 30, 41, 45]);
    assert_eq!(heard[0].headers["x-my-name"], "Bearer hidden");
    assert!(heard[0].headers.get("authorization").is_none());
    let (_, shown) = world.courier.get("/_control/webhook").await;
    assert!(!shown.to_string().contains("hidden"));
}

#[tokio::test]
async fn a_webhook_is_sent_again_until_it_is_answered_2xx() {
    let world = world(1_000.0).await;
    let hook = Receiver::start("").await;
    hook.answer_next(&[500, 404, 302]);
    create(&world.courier, &hook, "ORD-1001-S1").await;
    let all = hook.wait_for(|list| list.len() >= 9).await;
    let mut seen = states(&all);
    seen.sort_unstable();
    let distinct: std::collections::BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), [20, 21, 24, 30, 41, 45]);
    assert_eq!(all.len(), 9, "three failures make three repeats");
}

#[tokio::test]
async fn a_terminated_delivery_is_never_heard_of_again() {
    let world = world(200.0).await;
    let hook = Receiver::start("").await;
    let made = create(&world.courier, &hook, "A-1").await;
    let tracking = made["trackingNumber"].as_str().unwrap();
    let path = format!("/api/v2/deliveries/business/{tracking}/terminate");
    assert_eq!(world.courier.call("DELETE", &path, None).await.0, 200);
    let other = create(&world.courier, &hook, "A-2").await;
    let all = hook.wait_for_state(45).await;
    assert!(all.iter().all(|webhook| webhook.body["_id"] == other["_id"]));
}

#[tokio::test]
async fn a_duplicated_webhook_comes_twice_byte_for_byte() {
    let world = world(200.0).await;
    let hook = Receiver::start("").await;
    world.courier.fault(json!({"fault": "duplicate_webhook", "times": 6})).await;
    create(&world.courier, &hook, "A-1").await;
    let all = hook.wait_for_count(12).await;
    assert_eq!(states(&all), [20, 20, 21, 21, 24, 24, 30, 30, 41, 41, 45, 45]);
    assert!(all.chunks(2).all(|pair| pair[0].bytes == pair[1].bytes));
}

#[tokio::test]
async fn a_reordered_webhook_is_overtaken_by_a_later_one() {
    let world = world(100.0).await;
    let hook = Receiver::start("").await;
    world.courier.fault(json!({"fault": "reorder_webhooks"})).await;
    create(&world.courier, &hook, "A-1").await;
    let all = hook.wait_for_count(6).await;
    let place = |state: i64| states(&all).iter().position(|one| *one == state).unwrap();
    assert!(place(20) > place(21), "{:?}", states(&all));
    let stamp = |state: i64| all[place(state)].body["timeStamp"].as_i64().unwrap();
    assert!(stamp(20) < stamp(21), "the courier's own times tell the true order");
}

#[tokio::test]
async fn a_returned_parcel_keeps_its_number_and_turns_its_type() {
    let world = world(200.0).await;
    let hook = Receiver::start("").await;
    world.courier.fault(json!({"fault": "rto"})).await;
    let made = create(&world.courier, &hook, "A-1").await;
    let all = hook.wait_for_state(46).await;
    assert_eq!(states(&all), [20, 21, 24, 30, 41, 47, 24, 30, 41, 46]);
    let types: Vec<_> = all.iter().map(|webhook| webhook.body["type"].as_str().unwrap()).collect();
    assert!(types[..6].iter().all(|kind| *kind == "SEND"));
    assert!(types[6..].iter().all(|kind| *kind == "RTO"));
    assert_eq!(
        (&all[5].body["exceptionCode"], &all[5].body["numberOfAttempts"]),
        (&json!(8), &json!(1))
    );
    assert!(all[6].body.get("exceptionCode").is_none());
    assert!(all.iter().all(|webhook| webhook.body["_id"] == made["_id"]));
    let tracking = made["trackingNumber"].as_str().unwrap();
    let (_, read) = world.courier.get(&format!("/api/v2/deliveries/business/{tracking}")).await;
    assert_eq!(read["data"]["type"], json!({"code": 20, "value": "Return to Origin"}));
    assert_eq!(read["data"]["state"]["value"], "Delivered", "46 reads like 45 on the real one");
}

#[tokio::test]
async fn an_exception_recovers_and_an_unknown_state_is_passed_through() {
    let world = world(200.0).await;
    let hook = Receiver::start("").await;
    world.courier.fault(json!({"fault": "exception"})).await;
    world.courier.fault(json!({"fault": "unknown_state"})).await;
    let first = create(&world.courier, &hook, "A-1").await;
    let second = create(&world.courier, &hook, "A-2").await;
    let delivered = |webhook: &&Received| webhook.body["state"] == 45;
    let all = hook.wait_for(|list| list.iter().filter(delivered).count() == 2).await;
    let of = |made: &Value| -> Vec<i64> {
        let own = all.iter().filter(|webhook| webhook.body["_id"] == made["_id"]);
        states(&own.cloned().collect::<Vec<_>>())
    };
    assert_eq!(of(&first), [20, 21, 24, 30, 41, 47, 41, 45]);
    assert_eq!(of(&second), [20, 21, 24, 30, 41, 999, 45]);
}

#[tokio::test]
async fn a_parcel_to_a_place_out_of_coverage_is_taken_and_comes_back() {
    let world = world(200.0).await;
    let hook = Receiver::start("").await;
    let (_, zones) = world.courier.get("/api/v1/zones").await;
    let zones = zones["data"].as_array().unwrap().clone();
    let out = zones.iter().find(|row| row["dropOffAvailability"] == false).unwrap();
    let changes = json!({"webhookUrl": hook.url, "dropOffAddress":
        {"city": out["cityName"], "districtId": out["districtId"]}});
    world.courier.create(changed(send_request("A-1"), changes)).await;
    let all = hook.wait_for_state(46).await;
    let exception = all.iter().find(|webhook| webhook.body["state"] == 47).unwrap();
    assert_eq!(exception.body["exceptionCode"], 12);
}

#[tokio::test]
async fn each_type_of_delivery_has_its_own_line_of_states() {
    let world = world(500.0).await;
    let pickup =
        json!({"city": "Giza", "districtId": "0a1B2c3D4e5", "firstLine": "7 Haram street"});
    let cases = [
        (json!({"type": 15, "pickupAddress": pickup}), json!([11, 40, 45])),
        (json!({"type": 25, "cod": -100, "pickupAddress": pickup}), json!([10, 23, 30, 41, 46])),
        (json!({"type": 30}), json!([10, 21, 30, 41, 46])),
        (json!({"type": 35}), json!([10, 21, 30, 22, 41, 46])),
    ];
    for (number, (changes, states)) in cases.into_iter().enumerate() {
        let made = world.courier.create(changed(send_request(&number.to_string()), changes)).await;
        let ended = eventually(|| async {
            let ledger = world.courier.ledger().await;
            let own = ledger.into_iter().find(|row| row["_id"] == made["_id"])?;
            (own["states"].as_array()?.len() == states.as_array()?.len()).then_some(own)
        });
        assert_eq!(ended.await["states"], states);
    }
}

#[tokio::test]
async fn a_fault_with_a_reference_waits_for_the_delivery_that_has_it() {
    let world = world(200.0).await;
    let hook = Receiver::start("").await;
    world.courier.fault(json!({"fault": "rto", "reference": "A-2"})).await;
    let first = create(&world.courier, &hook, "A-1").await;
    create(&world.courier, &hook, "A-2").await;
    let all = hook.wait_for_state(46).await;
    let own = all.iter().filter(|webhook| webhook.body["_id"] == first["_id"]);
    assert!(own.clone().all(|webhook| webhook.body["type"] == "SEND"));
    assert_eq!(own.last().unwrap().body["state"], 45);
}

#[tokio::test]
async fn webhooks_go_over_one_connection_though_each_answer_has_a_body() {
    let world = world(500.0).await;
    let hook = Receiver::start("").await;
    hook.answer_next(&[418]);
    create(&world.courier, &hook, "A-1").await;
    let all = hook.wait_for_count(7).await;
    let callers: std::collections::BTreeSet<_> = all.iter().map(|hook| hook.caller).collect();
    assert_eq!(callers.len(), 1, "{callers:?}");
}

#[tokio::test]
async fn a_delivery_lives_though_its_caller_hung_up_before_the_answer() {
    let world = world(500.0).await;
    let hook = Receiver::start("").await;
    let address = world.courier.base.trim_start_matches("http://").to_owned();
    let request = changed(send_request("A-1"), json!({"webhookUrl": hook.url})).to_string();
    let head = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: {address}\r\nauthorization: key\r\n\
         content-length: {}\r\n\r\n",
        request.len()
    );
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    stream.write_all(format!("{head}{request}").as_bytes()).await.unwrap();
    drop(stream);
    hook.wait_for_state(45).await;
}
