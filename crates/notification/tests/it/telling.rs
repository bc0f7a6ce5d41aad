//! Who is told of what.

use nexus_proto::order::v1::{ContactErased, GetRecipientResponse};

use crate::world::{PHONE, World, append, mona};

#[tokio::test]
async fn the_customer_is_told_of_each_milestone_once_in_order_and_in_her_language() {
    let world = World::ready().await;
    world.awb("ship-1", "5108002").await;
    world.handed_over("ship-1").await;
    world.message("ship-1", "shipped", "read").await;
    world.tracked("ship-1", "in_transit", true).await;
    for _ in 0..2 {
        world.tracked("ship-1", "out_for_delivery", true).await;
    }
    world.message("ship-1", "out_for_delivery", "read").await;
    world.tracked("ship-1", "delivered", true).await;
    world.tracked("ship-1", "delivered", false).await;
    let told = world.message("ship-1", "delivered", "read").await;
    assert!(told.body.contains("منى") && told.body.contains("NX-1001"), "{}", told.body);
    assert_eq!((told.attempts, told.language.as_str(), told.reason), (1, "ar", None));
    assert!(told.sent_at.is_some() && told.delivered_at.is_some() && told.read_at.is_some());

    let accepted = world.accepted().await;
    let templates: Vec<_> = accepted.iter().map(|m| m["template"].as_str().unwrap()).collect();
    assert_eq!(templates, ["order_shipped", "order_out_for_delivery", "order_delivered"]);
    assert_eq!(accepted[0]["to"], PHONE);
    assert_eq!(accepted[0]["parameters"], serde_json::json!(["منى", "NX-1001", "5108002"]));
    assert_eq!(accepted[0]["biz_opaque_callback_data"], "ship-1~shipped~whatsapp~1");
    assert_eq!(world.messages().await.len(), 3);

    let in_clear = |needle: &str| {
        let needle = needle.as_bytes();
        let stored = ["notification", "ingress"].map(|log| world.log.commits(log)).concat();
        stored.iter().any(|s| s.bytes.windows(needle.len()).any(|window| window == needle))
    };
    assert!(!in_clear("منى") && !in_clear("1065685435"), "personal data stands in a log");
}

async fn suppressed_because(recipient: GetRecipientResponse) -> Option<String> {
    let world = World::ready().await;
    world.order("order-1", recipient);
    world.awb("ship-1", "5108002").await;
    world.handed_over("ship-1").await;
    let message = world.message("ship-1", "shipped", "suppressed").await;
    assert_eq!(world.accepted().await.len(), 0);
    assert!(message.detail.is_some());
    message.reason
}

#[tokio::test]
async fn who_has_not_agreed_is_erased_or_has_no_phone_is_not_told() {
    let withdrawn = {
        let mut recipient = mona();
        recipient.consents[0].granted = false;
        recipient
    };
    let no_phone = {
        let mut recipient = mona();
        recipient.recipient.as_mut().unwrap().phone = "01065685435".to_owned();
        recipient
    };
    let reason = suppressed_because(GetRecipientResponse { consents: vec![], ..mona() }).await;
    assert_eq!(reason.as_deref(), Some("NO_CONSENT"));
    assert_eq!(suppressed_because(withdrawn).await.as_deref(), Some("NO_CONSENT"));
    assert_eq!(suppressed_because(no_phone).await.as_deref(), Some("NO_PHONE"));
    let erased = GetRecipientResponse { erased: true, ..GetRecipientResponse::default() };
    assert_eq!(suppressed_because(erased).await.as_deref(), Some("ERASED"));
    let nameless = GetRecipientResponse { recipient: None, ..mona() };
    assert_eq!(suppressed_because(nameless).await.as_deref(), Some("NO_PHONE"));
    let numberless = GetRecipientResponse { order_number: String::new(), ..mona() };
    assert_eq!(suppressed_because(numberless).await.as_deref(), Some("MISSING_VARIABLE"));
}

#[tokio::test]
async fn nobody_is_told_of_an_earlier_milestone_after_a_later_one() {
    let world = World::ready().await;
    world.awb("ship-1", "5108002").await;
    world.tracked("ship-1", "delivered", true).await;
    world.message("ship-1", "delivered", "read").await;
    world.tracked("ship-1", "out_for_delivery", true).await;
    world.handed_over("ship-1").await;
    for milestone in ["shipped", "out_for_delivery"] {
        let message = world.message("ship-1", milestone, "suppressed").await;
        assert_eq!(message.reason.as_deref(), Some("SUPERSEDED"));
    }
    assert_eq!(world.accepted().await.len(), 1);
}

#[tokio::test]
async fn without_an_account_the_message_is_listed_with_the_reason() {
    let world = World::start().await;
    world.order("order-1", mona());
    world.awb("ship-1", "5108002").await;
    world.handed_over("ship-1").await;
    let message = world.message("ship-1", "shipped", "suppressed").await;
    assert_eq!(message.reason.as_deref(), Some("NO_ACCOUNT"));
}

#[tokio::test]
async fn rebuilt_views_equal_the_live_ones_and_words_of_the_erased_are_gone() {
    let world = World::ready().await;
    world.awb("ship-1", "5108002").await;
    world.handed_over("ship-1").await;
    let told = world.message("ship-1", "shipped", "read").await;
    assert!(!told.body.is_empty());
    world.settled().await;
    let live = world.running.views.content_hash().await.unwrap();
    world.running.views.rebuild().await.unwrap();
    assert_eq!(world.running.views.content_hash().await.unwrap(), live);

    append(&world.log, ["order", "contact", "mona", "Erased"], &ContactErased::default()).await;
    world.message_that("ship-1", "shipped", |message| message.body.is_empty()).await;
    world.caught_up().await;
    let live = world.running.views.content_hash().await.unwrap();
    world.running.views.rebuild().await.unwrap();
    assert_eq!(world.running.views.content_hash().await.unwrap(), live);
    world.other_database_equals_live().await;
}
