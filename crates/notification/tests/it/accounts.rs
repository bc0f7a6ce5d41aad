//! Accounts: secrets go in and never come out.

use nexus_proto::notification::v1 as proto;
use tonic::Code;

use crate::world::{APP_SECRET, World, cause, credentials};

fn create(access_token: &str) -> proto::CreateChannelAccountRequest {
    proto::CreateChannelAccountRequest {
        channel: "whatsapp".to_owned(),
        name: "Shop".to_owned(),
        mode: "sandbox".to_owned(),
        credentials: Some(credentials(access_token)),
    }
}

#[tokio::test]
async fn an_account_is_made_once_for_one_key_and_shows_no_secret() {
    let world = World::start().await;
    let cause = cause("story");
    let mut client = world.channels.notification();
    let first = client
        .create_channel_account(world.channels.request(create("sandbox-access-token"), &cause))
        .await
        .unwrap();
    let again = client
        .create_channel_account(world.channels.request(create("sandbox-access-token"), &cause))
        .await
        .unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    let (first, again) = (first.into_inner(), again.into_inner());
    assert_eq!(first.channel_account_id, again.channel_account_id);
    assert_eq!(first.webhook_url, again.webhook_url);
    assert_eq!(first.verify_token, again.verify_token);
    assert_eq!(first.credentials_last4, "oken");
    assert!(first.webhook_url.contains("/whatsapp-webhook/"));

    let request = proto::ListChannelAccountsRequest::default();
    let request = world.channels.question(request, "test", "");
    let listed = client.list_channel_accounts(request).await.unwrap().into_inner();
    assert_eq!(listed.channel_accounts.len(), 1);
    let shown = format!("{:?}", listed.channel_accounts);
    assert!(!shown.contains(APP_SECRET) && !shown.contains("access-token"), "{shown}");
    assert_eq!(listed.channel_accounts[0].verify_token, None, "shown once");
    let stored = world.log.commits("notification");
    let in_clear = |needle: &[u8]| {
        stored.iter().any(|s| s.bytes.windows(needle.len()).any(|window| window == needle))
    };
    assert!(!in_clear(b"access-token") && !in_clear(APP_SECRET.as_bytes()));

    let other = world.channels.request(create("another-token-1"), &cause);
    let reused = client.create_channel_account(other).await.unwrap_err();
    assert_eq!(nexus_runtime::status::reason(&reused).unwrap(), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn an_account_can_be_amended_and_one_that_is_not_there_is_not_found() {
    let world = World::start().await;
    let account = world.create_account("sandbox-access-token").await;
    let amend = |id: &str| proto::AmendChannelAccountRequest {
        channel_account_id: id.to_owned(),
        name: Some("Store".to_owned()),
        enabled: Some(false),
        mode: None,
    };
    let mut client = world.channels.notification();
    let request = world.channels.request(amend(&account.channel_account_id), &cause("story"));
    let amended = client.amend_channel_account(request).await.unwrap().into_inner();
    assert_eq!((amended.name.as_str(), amended.enabled), ("Store", false));
    assert_eq!(amended.webhook_url, account.webhook_url);
    let request = world.channels.request(amend("nobody"), &cause("story"));
    let missing = client.amend_channel_account(request).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_test_says_whether_the_secrets_work_and_what_to_do_and_sends_nothing() {
    let world = World::start().await;
    for (token, works) in [("sandbox-access-token", true), ("bad-access-token", false)] {
        let account = world.create_account(token).await;
        let request =
            proto::TestChannelAccountRequest { channel_account_id: account.channel_account_id };
        let request = world.channels.request(request, &cause("story"));
        let tested = world.channels.notification().test_channel_account(request).await;
        let tested = tested.unwrap().into_inner();
        assert_eq!(tested.ok, works, "{tested:?}");
        assert_eq!(tested.account.is_some(), works);
        assert_eq!(tested.hint.is_some(), !works);
    }
    assert_eq!(world.accepted().await.len(), 0);
}

#[tokio::test]
async fn a_picker_may_read_messages_and_change_no_account() {
    let world = World::start().await;
    let mut picker = cause("story");
    picker.actor.kind = nexus_es::ActorKind::Key;
    picker.actor.roles = vec!["picker".to_owned()];
    let mut client = world.channels.notification();
    let request = world.channels.request(create("sandbox-access-token"), &picker);
    let denied = client.create_channel_account(request).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let request = world.channels.request(proto::ListMessagesRequest::default(), &picker);
    assert!(client.list_messages(request).await.is_ok());
    assert_eq!(world.log.commits("notification").len(), 0);
}
