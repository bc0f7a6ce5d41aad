//! Receipts as the channel sends them: late, twice, in any order; and customers who write.

use serde_json::json;

use crate::world::{PHONE, World, until};

#[tokio::test]
async fn receipts_that_come_last_one_first_or_twice_end_at_the_same() {
    for fault in ["reorder_receipts", "duplicate_receipts", "no_read"] {
        let world = World::ready().await;
        world.fault(fault, 1).await;
        world.awb("ship-1", "5108002").await;
        world.handed_over("ship-1").await;
        let end = if fault == "no_read" { "delivered" } else { "read" };
        let message = world.message("ship-1", "shipped", end).await;
        assert!(message.delivered_at.is_some(), "{fault}");
        world.settled().await;
        let message = world.message("ship-1", "shipped", end).await;
        assert_eq!((message.attempts, message.reason), (1, None), "{fault}");
    }
}

#[tokio::test]
async fn who_writes_stop_has_the_consent_withdrawn() {
    let world = World::ready().await;
    for (from, text) in [(PHONE, "شكرا"), ("+201111111111", "STOP"), (PHONE, "إيقاف")] {
        let body = json!({ "from": from, "name": "Mona", "text": text });
        let answer = world.control("inbound", body).await;
        assert_eq!(answer["success"], true, "{answer}");
    }
    let withdrawn = until("a withdrawal", async || {
        let withdrawn = world.orders.withdrawn.lock().unwrap().clone();
        (!withdrawn.is_empty()).then_some(withdrawn)
    })
    .await;
    let first = &withdrawn[0];
    let told = (first.contact_id.as_str(), first.channel.as_str(), first.granted);
    assert_eq!(told, ("mona", "whatsapp", false));
}
