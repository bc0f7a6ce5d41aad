//! Faults that meet the courier's calls.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{CREATE, send_request, world};

#[tokio::test]
async fn a_lost_answer_does_the_work_and_sends_not_one_byte() {
    let world = world(1.0).await;
    world.courier.fault(json!({"fault": "lost_answer", "times": 1})).await;
    let address = world.courier.base.trim_start_matches("http://").to_owned();
    let body = send_request("ORD-1001-S1").to_string();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: {address}\r\nauthorization: key\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _closed_or_reset = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(world.courier.ledger().await.len(), 1);

    let (status, answer) = world.courier.post(CREATE, send_request("ORD-1001-S1")).await;
    assert_eq!((status, &answer["errorCode"]), (400, &json!("11000")));
}

#[tokio::test]
async fn a_client_sees_a_lost_answer_as_an_error_and_finds_the_delivery_by_reference() {
    let world = world(1.0).await;
    world.courier.fault(json!({"fault": "lost_answer"})).await;
    let lost = world.courier.try_call("POST", CREATE, Some(&send_request("ORD-1001-S1"))).await;
    assert!(lost.is_err());
    let body = json!({"businessReference": "ORD-1001"});
    let (_, found) = world.courier.post("/api/v2/deliveries/search", body).await;
    assert_eq!(found["data"]["count"], 1);
}

#[tokio::test]
async fn faults_that_do_nothing_answer_as_said_and_make_nothing() {
    let world = world(30.0).await;
    let cases: [(Value, u16, Value); 6] = [
        (json!({"fault": "server_error"}), 500, Value::Null),
        (json!({"fault": "rate_limited"}), 429, json!(429)),
        (json!({"fault": "rate_limited_in_200"}), 200, json!(429)),
        (json!({"fault": "failed_in_200"}), 200, Value::Null),
        (json!({"fault": "refuse"}), 400, json!("3003")),
        (
            json!({"fault": "refuse", "status": 403, "code": "1008", "message": "Forbidden"}),
            403,
            json!("1008"),
        ),
    ];
    for (fault, status, code) in cases {
        world.courier.fault(fault.clone()).await;
        let (answered, answer) = world.courier.post(CREATE, send_request("ORD-1001-S1")).await;
        assert_eq!((answered, &answer["errorCode"]), (status, &code), "{fault}: {answer}");
        assert_eq!(answer["success"], false);
        if code == 429 {
            assert!(answer["retryAfter"].as_u64().is_some_and(|wait| (1..=2).contains(&wait)));
        }
    }
    assert!(world.courier.ledger().await.is_empty());
    world.courier.create(send_request("ORD-1001-S1")).await;
}

#[tokio::test]
async fn a_delayed_answer_comes_late_with_the_work_done() {
    let world = world(1.0).await;
    world.courier.fault(json!({"fault": "delay", "delay_ms": 300})).await;
    let asked = std::time::Instant::now();
    world.courier.create(send_request("ORD-1001-S1")).await;
    assert!(asked.elapsed().as_millis() >= 300);
}

#[tokio::test]
async fn a_fault_meets_creates_unless_told_otherwise_and_as_often_as_told() {
    let world = world(1.0).await;
    let path = "/api/v2/deliveries/analytics/total-deliveries";
    world.courier.fault(json!({"fault": "server_error", "times": 2})).await;
    world.courier.fault(json!({"fault": "rate_limited", "on": "other"})).await;
    assert_eq!(world.courier.with_authorization("bad").get(path).await.0, 401);
    let mut statuses = Vec::new();
    for unique in ["A-1", "A-2", "A-3"] {
        statuses.push(world.courier.post(CREATE, send_request(unique)).await.0);
    }
    assert_eq!(statuses, [500, 500, 201]);
    assert_eq!(world.courier.get(path).await.0, 429);
    assert_eq!(world.courier.get(path).await.0, 200);
    world.courier.fault(json!({"fault": "server_error", "on": "any"})).await;
    assert_eq!(world.courier.get(path).await.0, 500);
}

#[tokio::test]
async fn what_is_no_fault_is_refused_with_the_names_of_those_that_are() {
    let world = world(1.0).await;
    for body in [
        json!({"fault": "earthquake"}),
        json!({"times": 1}),
        json!({"fault": "delay", "times": 0}),
        json!({"fault": "delay", "on": "sundays"}),
        json!({"fault": "rto", "on": "create"}),
        json!({"fault": "delay", "reference": "A-1"}),
    ] {
        let (status, answer) = world.courier.post("/_control/faults", body.clone()).await;
        assert_eq!(status, 400, "{body}");
        if body["fault"] == "earthquake" {
            assert!(answer["message"].as_str().unwrap().contains("lost_answer"), "{answer}");
        }
    }
    let (_, listed) = world.courier.get("/_control/faults").await;
    assert_eq!(listed["armed"], json!([]));
    assert_eq!(listed["known"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn armed_faults_are_listed_and_can_be_cleared() {
    let world = world(1.0).await;
    world.courier.fault(json!({"fault": "rto", "times": 3})).await;
    let (_, listed) = world.courier.get("/_control/faults").await;
    assert_eq!(listed["armed"], json!([{"fault": "rto", "times": 3, "options": {}}]));
    let (_, listed) = world.courier.call("DELETE", "/_control/faults", None).await;
    assert_eq!(listed["armed"], json!([]));
}
