//! A sandbox on free ports, a client for it, and a receiver of webhooks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use nexus_sandbox::{Config, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) async fn start_in(folder: &std::path::Path, speed: f64) -> Sandbox {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let data_dir = folder.to_owned();
    nexus_sandbox::start(Config { data_dir, courier_listen: free, whatsapp_listen: free, speed })
        .await
        .unwrap()
}

/// A running sandbox whose files go when it goes.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) courier: Api,
    pub(crate) whatsapp: Api,
    _folder: TempDir,
}

pub(crate) async fn world(speed: f64) -> World {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = start_in(folder.path(), speed).await;
    let courier = Api::new(sandbox.courier_url(), "key-of-sara");
    let whatsapp = Api::new(sandbox.whatsapp_url(), "Bearer token-of-sara");
    World { sandbox, courier, whatsapp, _folder: folder }
}

#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    pub(crate) base: String,
    authorization: String,
}

pub(crate) type Answer = (u16, Value);

impl Api {
    pub(crate) fn new(base: String, authorization: &str) -> Self {
        let http = reqwest::Client::builder().timeout(DEADLINE).no_proxy().build().unwrap();
        Self { http, base, authorization: authorization.into() }
    }

    pub(crate) fn with_authorization(&self, authorization: &str) -> Self {
        Self { authorization: authorization.into(), ..self.clone() }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_call(method, path, body).await.unwrap()
    }

    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !self.authorization.is_empty() {
            request = request.header("authorization", &self.authorization);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body)).await
    }

    /// Makes a delivery by the documented contract and gives its `data`.
    pub(crate) async fn create(&self, body: Value) -> Value {
        let (status, answer) = self.post(CREATE, body).await;
        assert_eq!(status, 201, "{answer}");
        answer["data"].clone()
    }

    pub(crate) async fn fault(&self, body: Value) {
        let (status, answer) = self.post("/_control/faults", body).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) async fn ledger(&self) -> Vec<Value> {
        let (_, answer) = self.get("/_control/deliveries").await;
        answer["deliveries"].as_array().unwrap().clone()
    }

    pub(crate) async fn messages(&self) -> Vec<Value> {
        let (_, answer) = self.get("/_control/messages").await;
        answer["messages"].as_array().unwrap().clone()
    }
}

pub(crate) const CREATE: &str = "/api/v2/deliveries?apiVersion=1";

/// The create request of the contract's first example, for one reference.
pub(crate) fn send_request(reference: &str) -> Value {
    json!({
        "type": 10, "cod": 450, "notes": "Call before arriving",
        "specs": {"packageType": "Parcel", "size": "SMALL",
                  "packageDetails": {"itemsCount": 2, "description": "2 x T-shirt"}},
        "goodsInfo": {"amount": 400},
        "dropOffAddress": {"city": "Cairo", "districtId": "KV9fhG8LRCU",
                           "firstLine": "12 Tahrir street", "buildingNumber": "12", "floor": "3",
                           "apartment": "5"},
        "businessReference": "ORD-1001", "uniqueBusinessReference": reference,
        "receiver": {"firstName": "Sara", "lastName": "Ali", "phone": "01065685435"},
        "allowToOpenPackage": false,
    })
}

/// The same with fields replaced; `null` removes one.
pub(crate) fn changed(mut request: Value, changes: Value) -> Value {
    merge(&mut request, changes);
    request
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    into.remove(&name);
                } else {
                    merge(into.entry(name).or_insert(Value::Null), change);
                }
            }
        }
        (into, change) => *into = change,
    }
}

/// A webhook as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) body: Value,
    /// The other end of the connection it came over.
    pub(crate) caller: SocketAddr,
}

/// Listens for webhooks, keeps what came, and answers as told.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: watch::Receiver<Vec<Received>>,
    answers: Arc<Mutex<Vec<StatusCode>>>,
    _server: JoinSet<()>,
}

struct Inbox {
    received: watch::Sender<Vec<Received>>,
    answers: Arc<Mutex<Vec<StatusCode>>>,
    verify_token: String,
}

impl Receiver {
    /// Echoes the channel's challenge when asked with this token.
    pub(crate) async fn start(verify_token: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, received) = watch::channel(Vec::new());
        let answers = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::new(Inbox {
            received: sender,
            answers: Arc::clone(&answers),
            verify_token: verify_token.into(),
        });
        let router = axum::Router::new().route("/hook", post(keep).get(echo)).with_state(inbox);
        let mut server = JoinSet::new();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        server.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { url, received, answers, _server: server }
    }

    /// The next webhooks are answered with these, those after with 200.
    pub(crate) fn answer_next(&self, statuses: &[u16]) {
        let statuses = statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap());
        self.answers.lock().unwrap().extend(statuses);
    }

    pub(crate) fn so_far(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    pub(crate) async fn wait_for(&self, wanted: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut received = self.received.clone();
        let arrived = tokio::time::timeout(DEADLINE, received.wait_for(|list| wanted(list))).await;
        match arrived {
            Ok(list) => list.unwrap().clone(),
            Err(_) => panic!("only these webhooks came: {:#?}", self.so_far()),
        }
    }

    pub(crate) async fn wait_for_count(&self, count: usize) -> Vec<Received> {
        self.wait_for(|list| list.len() >= count).await
    }

    /// Until the courier reports this state.
    pub(crate) async fn wait_for_state(&self, state: i64) -> Vec<Received> {
        self.wait_for(|list| list.iter().any(|webhook| webhook.body["state"] == state)).await
    }
}

async fn keep(
    State(inbox): State<Arc<Inbox>>,
    ConnectInfo(caller): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    bytes: Bytes,
) -> (StatusCode, &'static str) {
    let body = serde_json::from_slice(&bytes).unwrap();
    inbox.received.send_modify(|list| list.push(Received { headers, bytes, body, caller }));
    let mut answers = inbox.answers.lock().unwrap();
    let status = if answers.is_empty() { StatusCode::OK } else { answers.remove(0) };
    (status, "an answer with a body")
}

async fn echo(
    State(inbox): State<Arc<Inbox>>,
    Query(asked): Query<std::collections::HashMap<String, String>>,
) -> (StatusCode, String) {
    if asked["hub.mode"] == "subscribe" && asked["hub.verify_token"] == inbox.verify_token {
        (StatusCode::OK, asked["hub.challenge"].clone())
    } else {
        (StatusCode::FORBIDDEN, String::new())
    }
}

/// The states that came, in order of arrival.
pub(crate) fn states(received: &[Received]) -> Vec<i64> {
    received.iter().map(|webhook| webhook.body["state"].as_i64().unwrap()).collect()
}

/// Asks until the answer is there, or fails at the deadline.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    let asked = async {
        loop {
            pause.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.expect("the awaited never came")
}
