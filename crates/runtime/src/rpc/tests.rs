//! Calls are counted by rpc and code, and strangers invent no labels.

use nexus_es::ActorKind;
use tower::{ServiceBuilder, ServiceExt};
use zeroize::Zeroizing;

use super::*;

struct OneKey;

impl KeyCheck for OneKey {
    fn check(&self, key: &str) -> Option<Actor> {
        (key == "good").then(|| Actor {
            kind: ActorKind::Key,
            id: "key-1".to_owned(),
            roles: vec!["admin".to_owned()],
            warehouse: String::new(),
        })
    }
}

/// Sends a call with a key; the service behind the layer answers with this code.
async fn call(path: &str, key: &str, code: &'static str) -> Response<Body> {
    let secrets = Arc::new(Secrets::new(Zeroizing::new(vec![7; 32])));
    let answering = move |_: Request<Body>| async move {
        let answer = Response::builder().header("grpc-status", code).body(Body::empty());
        Ok::<_, Infallible>(answer.unwrap())
    };
    let layer = RpcLayer::new(secrets, Arc::new(OneKey));
    let service = ServiceBuilder::new().layer(layer).service(tower::service_fn(answering));
    let request = Request::builder().uri(path).header("authorization", format!("Bearer {key}"));
    service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn series() -> Vec<String> {
    let text = metrics::scrape();
    let counts = text.lines().filter(|line| line.starts_with("rpc_server_call_duration_seconds_c"));
    counts.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_call_is_counted_by_its_rpc_and_code() {
    for code in ["0", "0", "5"] {
        call("/nexus.order.v1.OrderService/GetOrder", "good", code).await;
    }
    let found = series();
    let wanted = |code: &str, number: u32| {
        format!(
            "rpc_server_call_duration_seconds_count{{rpc_method=\"nexus.order.v1.OrderService/\
             GetOrder\",rpc_response_status_code=\"{code}\",rpc_system_name=\"grpc\"}} {number}"
        )
    };
    assert!(found.contains(&wanted("OK", 2)), "{found:#?}");
    assert!(found.contains(&wanted("NOT_FOUND", 1)), "{found:#?}");
}

#[tokio::test]
async fn paths_that_strangers_invent_are_one_label() {
    for nth in 0..40 {
        let refused = call(&format!("/nexus.order.v1.Invented/{nth}"), "good", "0").await;
        assert_eq!(refused.headers()["grpc-status"], "7");
        call(&format!("/nexus.order.v1.Invented/{nth}"), "bad", "0").await;
        call(&format!("/grpc.invented/{nth}"), "bad", "12").await;
    }
    let found = series();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().all(|series| series.contains("_OTHER")), "{found:#?}");
}
