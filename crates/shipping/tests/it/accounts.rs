//! Courier accounts: what is shown of them, what is not, and whether they work.

use nexus_proto::shipping::v1 as proto;
use nexus_runtime::status;
use tonic::Code;

use crate::world::{CALM, World};

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_taken_and_never_given_back_and_the_secret_is_shown_once() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "sandbox-key-1234").await;
    assert_eq!(account.credentials_last4, "1234");
    assert!(account.webhook_secret.is_some_and(|secret| secret.len() >= 32));
    assert!(account.webhook_url.contains("/tracking-webhook/"));
    let id = account.courier_account_id;
    let request = proto::GetCourierAccountRequest {
        courier_account_id: id.clone(),
        min_position: account.position,
    };
    let read = world.client().get_courier_account(world.by(request)).await.unwrap().into_inner();
    assert_eq!((read.webhook_secret, read.webhook_url), (None, account.webhook_url));
    let clear = world.log.commits("shipping");
    let holds = |needle: &[u8]| {
        clear.iter().any(|commit| commit.bytes.windows(needle.len()).any(|part| part == needle))
    };
    assert!(!holds(b"sandbox-key-1234") && holds(b"1234"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_answers_the_same_account_and_another_body_is_refused() {
    let world = World::start(CALM).await;
    let request = |name: &str| proto::CreateCourierAccountRequest {
        courier: "manual".to_owned(),
        name: name.to_owned(),
        mode: "live".to_owned(),
        ..Default::default()
    };
    let first = world.client().create_courier_account(world.keyed("k", request("Van"))).await;
    let again = world.client().create_courier_account(world.keyed("k", request("Van"))).await;
    let again = again.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    let (first, again) = (first.unwrap().into_inner(), again.into_inner());
    assert_eq!(first.courier_account_id, again.courier_account_id);
    assert_eq!(
        (first.webhook_url, first.webhook_secret),
        (again.webhook_url, again.webhook_secret)
    );
    let other = world.client().create_courier_account(world.keyed("k", request("Car"))).await;
    let reason = status::reason(&other.unwrap_err());
    assert_eq!(reason.as_deref(), Some("IDEMPOTENCY_KEY_REUSED"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_test_says_whether_the_key_works_and_what_to_do() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "bad-key").await.courier_account_id;
    let test =
        || world.by(proto::TestCourierAccountRequest { courier_account_id: account.clone() });
    let failed = world.client().test_courier_account(test()).await.unwrap().into_inner();
    assert!(!failed.ok);
    assert!(failed.hint.is_some_and(|hint| hint.contains("Settings → Integrations → Shipping")));
    let rotate = proto::RotateCredentialsRequest {
        courier_account_id: account.clone(),
        credentials: Some(proto::CourierCredentials { api_key: "good-key-9876".to_owned() }),
    };
    let rotated = world.client().rotate_credentials(world.by(rotate)).await.unwrap().into_inner();
    assert_eq!(rotated.credentials_last4, "9876");
    let worked = world.client().test_courier_account(test()).await.unwrap().into_inner();
    assert!(worked.ok && worked.problem.is_none());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_is_named_in_one_answer() {
    let world = World::start(CALM).await;
    let request = proto::CreateCourierAccountRequest {
        courier: "pigeon".to_owned(),
        mode: "test".to_owned(),
        ..Default::default()
    };
    let refused = world.client().create_courier_account(world.by(request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("3 fields"), "{}", refused.message());
    world.close().await;
}
