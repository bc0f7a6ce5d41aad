//! What goes out when the channel misbehaves, and what does not.

use nexus_es::ports::Timers;
use nexus_proto::notification::v1 as proto;
use serde_json::json;

use crate::world::{World, cause, credentials, mona, until};

async fn shipped(world: &World) {
    world.awb("ship-1", "5108002").await;
    world.handed_over("ship-1").await;
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_the_receipt_and_nothing_is_sent_twice() {
    let world = World::ready().await;
    world.fault("lost_answer", 1).await;
    shipped(&world).await;
    let message = world.message("ship-1", "shipped", "read").await;
    assert_eq!((message.attempts, message.reason), (1, None));
    world.settled().await;
    assert_eq!(world.accepted().await.len(), 1);
}

#[tokio::test]
async fn without_a_receipt_it_is_sent_once_more_after_the_grace_and_listed() {
    let world = World::start().await;
    // Nobody subscribed the webhook: no receipt will come.
    world.create_account("sandbox-access-token").await;
    world.order("order-1", mona());
    world.fault("lost_answer", 1).await;
    shipped(&world).await;
    let unknown = |m: &proto::Message| m.reason.as_deref() == Some("SEND_UNKNOWN");
    let message = world.message_that("ship-1", "shipped", unknown).await;
    assert_eq!((message.status.as_str(), message.attempts), ("requested", 1));
    let message = world.message("ship-1", "shipped", "sent").await;
    assert_eq!(message.reason.as_deref(), Some("MAYBE_SENT_TWICE"));
    assert_eq!((message.attempts, world.accepted().await.len()), (2, 2));
}

#[tokio::test]
async fn a_later_milestone_does_not_wait_for_a_lost_answer_and_the_earlier_is_not_sent_again() {
    let world = World::start().await;
    world.create_account("sandbox-access-token").await;
    world.order("order-1", mona());
    world.fault("lost_answer", 1).await;
    shipped(&world).await;
    let unknown = |m: &proto::Message| m.reason.as_deref() == Some("SEND_UNKNOWN");
    world.message_that("ship-1", "shipped", unknown).await;
    world.tracked("ship-1", "delivered", true).await;
    world.message("ship-1", "delivered", "sent").await;
    // Once the grace is over its timer has fired, and found nothing to do.
    until("the end of the grace", async || {
        let next = world.timers.next_due("send_message").await.unwrap();
        next.is_none().then_some(())
    })
    .await;
    assert_eq!(world.accepted().await.len(), 2);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_until_it_does() {
    let world = World::ready().await;
    world.fault("rate_limit", 2).await;
    shipped(&world).await;
    let message = world.message("ship-1", "shipped", "read").await;
    assert_eq!((message.attempts, message.reason), (3, None));
    assert_eq!(world.accepted().await.len(), 1);
}

#[tokio::test]
async fn what_will_never_work_fails_with_code_reason_and_advice() {
    let world = World::ready().await;
    world.fault("undeliverable", 1).await;
    shipped(&world).await;
    let message = world.message("ship-1", "shipped", "failed").await;
    assert_eq!(message.reason.as_deref(), Some("UNDELIVERABLE"));
    assert!(message.detail.is_some());
    assert_eq!(world.accepted().await.len(), 1);
}

#[tokio::test]
async fn a_wrong_token_stops_the_channel_and_keeps_the_queue_until_new_secrets_come() {
    let world = World::start().await;
    let account = world.create_account("bad-access-token").await;
    world.order("order-1", mona());
    shipped(&world).await;
    let stopped = |m: &proto::Message| m.reason.as_deref() == Some("TOKEN_INVALID");
    world.message_that("ship-1", "shipped", stopped).await;
    assert_eq!(world.accepted().await.len(), 0);

    let request = proto::RotateChannelCredentialsRequest {
        channel_account_id: account.channel_account_id,
        credentials: Some(credentials("good-access-token")),
    };
    let request = world.channels.request(request, &cause("order-1"));
    let rotated = world.channels.notification().rotate_channel_credentials(request).await;
    assert_eq!(rotated.unwrap().into_inner().credentials_last4, "oken");
    world.message("ship-1", "shipped", "sent").await;
    assert_eq!(world.accepted().await.len(), 1);
}

#[tokio::test]
async fn reading_all_logs_again_sends_nothing() {
    let world = World::ready().await;
    shipped(&world).await;
    world.message("ship-1", "shipped", "read").await;
    world.tracked("ship-1", "delivered", true).await;
    world.message("ship-1", "delivered", "read").await;
    world.settled().await;
    let (messages, accepted) = (world.messages().await, world.accepted().await);
    let stored = world.log.commits("notification").len();

    let world = world.forgetful().await;
    world.settled().await;
    assert_eq!(world.accepted().await, accepted);
    assert_eq!(world.log.commits("notification").len(), stored, "nothing new was recorded");
    assert_eq!(messages.len(), 2);
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_not_made_again_when_a_receipt_tells_that_it_arrived() {
    let world = World::ready().await;
    // Accepted, but the answer does not come before we are gone.
    world.control("faults", json!({ "fault": "delay", "times": 1, "delay_ms": 60_000 })).await;
    shipped(&world).await;
    until("the call", async || (!world.accepted().await.is_empty()).then_some(())).await;
    let world = world.forgetful().await;
    let message = world.message("ship-1", "shipped", "read").await;
    assert_eq!((message.attempts, world.accepted().await.len()), (1, 1));
}

#[tokio::test]
async fn a_template_that_is_not_approved_keeps_its_message_until_it_is() {
    let world = World::ready().await;
    let template = |status: &str| {
        let mut template = json!({ "name": "order_shipped", "language": "ar" });
        template["body_variables"] = 3.into();
        template["status"] = status.into();
        template
    };
    world.control("templates", template("PAUSED")).await;
    shipped(&world).await;
    let paused = |m: &proto::Message| m.reason.as_deref() == Some("TEMPLATE_PAUSED");
    let message = world.message_that("ship-1", "shipped", paused).await;
    assert_eq!(message.status, "requested");
    world.control("templates", template("APPROVED")).await;
    world.message("ship-1", "shipped", "read").await;
}

#[tokio::test]
async fn nothing_is_told_of_a_shipment_that_turned_around_meanwhile() {
    let world = World::start().await;
    let account = world.create_account("bad-access-token").await;
    world.order("order-1", mona());
    world.awb("ship-1", "5108002").await;
    world.tracked("ship-1", "out_for_delivery", true).await;
    let stopped = |m: &proto::Message| m.reason.as_deref() == Some("TOKEN_INVALID");
    world.message_that("ship-1", "out_for_delivery", stopped).await;
    world.tracked("ship-1", "returning", true).await;
    world.caught_up().await;
    let request = proto::RotateChannelCredentialsRequest {
        channel_account_id: account.channel_account_id,
        credentials: Some(credentials("good-access-token")),
    };
    let request = world.channels.request(request, &cause("order-1"));
    world.channels.notification().rotate_channel_credentials(request).await.unwrap();
    let message = world.message("ship-1", "out_for_delivery", "suppressed").await;
    assert_eq!(message.reason.as_deref(), Some("SUPERSEDED"));
    assert_eq!(world.accepted().await.len(), 0);
}
