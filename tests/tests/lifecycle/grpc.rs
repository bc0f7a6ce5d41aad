//! The same calls over gRPC: the same key opens it, and what is done there is seen here.

use nexus_proto::order::v1 as order;
use nexus_proto::order::v1::order_service_client::OrderServiceClient;
use nexus_tests::harness::shop::MUG;
use nexus_tests::harness::{Life, Look, Nexus, Options, Wish};
use tonic::{Code, Request};

fn request<T>(message: T, api_key: &str, key: &str) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {api_key}").parse()?);
    request.metadata_mut().insert("idempotency-key", key.parse()?);
    Ok(request)
}

#[tokio::test]
async fn an_order_confirmed_over_grpc_goes_on_over_rest() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::default(), 10).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 2)])).await?;
    let mut client = OrderServiceClient::new(nexus.grpc().await?);
    let confirm = order::ConfirmOrderRequest { order_id: life.order_id.clone() };

    let strangers = request(confirm.clone(), "nobody", "k-1")?;
    let refused = client.confirm_order(strangers).await.map(|_| ()).map_err(|no| no.code());
    assert_eq!(refused, Err(Code::Unauthenticated));
    let keyless = client.confirm_order(Request::new(confirm.clone())).await;
    assert_eq!(keyless.map(|_| ()).map_err(|no| no.code()), Err(Code::Unauthenticated));
    assert_eq!(life.order().await?.text("status"), "pending");

    let admin = nexus.admin_key()?;
    let first = client.confirm_order(request(confirm.clone(), &admin, "k-1")?).await?;
    assert!(first.metadata().get("idempotent-replayed").is_none());
    let first = first.into_inner();
    assert_eq!((first.status.as_str(), first.settled), ("confirmed", Some(true)));
    let again = client.confirm_order(request(confirm, &admin, "k-1")?).await?;
    assert_eq!(again.metadata().get("idempotent-replayed").map(|told| told == "true"), Some(true));

    life.pick().await?;
    life.pack().await
}
