//! What a life costs in statements. Alone in its program: it counts all that this process makes.
#![cfg(test)]

#[path = "it/support.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;
use tokio::task::JoinSet;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata, Subscriber};

use support::{Receiver, changed, send_request, world};

const LIVES: usize = 60;
/// A delivery takes two statements, its label one, each of three messages one.
const CALLS: usize = 6;
/// Once a second, in either file.
const COUNTERS: usize = 2 * 30;

/// Statements by their first words, as the driver reports each of them.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeMap<String, usize>>>);

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &Event<'_>) {
        struct First<'a>(&'a Statements);
        impl Visit for First<'_> {
            fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}

            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "summary" {
                    *self.0.0.lock().unwrap().entry(value.to_owned()).or_default() += 1;
                }
            }
        }
        event.record(&mut First(self));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// One delivery with its label and three messages, and all that is told of them.
#[tokio::test]
async fn statements_grow_with_calls_and_time_but_not_with_webhooks() {
    let statements = Statements::default();
    set_global_default(statements.clone()).unwrap();
    let world = world(60.0).await;
    let hook = Receiver::start("verify-me").await;
    let subscription = json!({"url": hook.url, "app_secret": "secret",
                              "verify_token": "verify-me"});
    assert_eq!(world.whatsapp.post("/_control/webhook", subscription).await.0, 200);
    statements.0.lock().unwrap().clear();

    let began = Instant::now();
    let mut lives = JoinSet::new();
    for number in 0..LIVES {
        let (courier, whatsapp) = (world.courier.clone(), world.whatsapp.clone());
        let request = changed(send_request(&number.to_string()), json!({"webhookUrl": hook.url}));
        lives.spawn(async move {
            let made = courier.create(request).await;
            let body = json!({"trackingNumbers": made["trackingNumber"]});
            assert_eq!(courier.post("/api/v2/deliveries/mass-awb", body).await.0, 200);
            let text = json!({"type": "text", "text": "Sara"});
            let body = json!({"messaging_product": "whatsapp", "to": "+201065685435",
                "type": "template", "template": {"name": "order_shipped",
                "language": {"code": "en"}, "components": [
                    {"type": "body", "parameters": [text, text, text]}]}});
            for _ in 0..3 {
                let path = "/v24.0/106540352242922/messages";
                assert_eq!(whatsapp.post(path, body.clone()).await.0, 200);
            }
        });
    }
    lives.join_all().await;
    hook.wait_for_count(LIVES * (6 + 9)).await;
    world.sandbox.stop().await;

    let counted = statements.0.lock().unwrap().clone();
    // The driver does not report these two: each move of deliveries or messages has both.
    let moves = counted.iter().filter(|(words, _)| {
        words.starts_with("UPDATE delivery SET business") || words.starts_with("UPDATE message")
    });
    let transactions: usize = 2 * moves.map(|(_, times)| times).sum::<usize>();
    let all = counted.values().sum::<usize>() + transactions;
    // A turn of 20 ms is one transaction of two statements and one that marks, in either file.
    let turns = usize::try_from(began.elapsed().as_millis() / 20).unwrap() + 1;
    let limit = LIVES * CALLS + turns * 2 * (4 + 1) + COUNTERS;
    assert!(all <= limit, "{all} of {limit}, {transactions} around others: {counted:#?}");
}
