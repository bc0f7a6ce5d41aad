//! What each door lets in and what it answers.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use axum::body::Body;
use axum::http::{Method, Request};
use futures::future::join_all;
use nexus_es::clock;
use nexus_es::commit::sha256;
use nexus_proto::ingress::v1::{HeaderList, InboxReceived};
use prost::Message;
use serde_json::Value;

use crate::world::{APP_SECRET, CHANNEL_TOKEN, SECRET, TOKEN, VERIFY_TOKEN, World, ingress};

const UPDATE: &str =
    r#"{"_id":"d1","trackingNumber":5108002,"state":45,"timeStamp":1790000000000}"#;

fn courier(token: &str, secret: Option<(&str, &str)>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(format!("/tracking-webhook/{token}"));
    if let Some((header, secret)) = secret {
        request = request.header(header, secret);
    }
    request.body(body.into()).unwrap()
}

fn update(body: &str) -> Request<Body> {
    courier(TOKEN, Some(("x-nexus-key", SECRET)), body.to_owned())
}

fn signature(body: &[u8], secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

fn receipt(body: &[u8], signature: &str) -> Request<Body> {
    Request::post(format!("/whatsapp-webhook/{CHANNEL_TOKEN}"))
        .header("x-hub-signature-256", signature)
        .body(Body::from(body.to_vec()))
        .unwrap()
}

async fn opened(world: &World, kept: &InboxReceived) -> Vec<u8> {
    let body = kept.body.as_ref().unwrap();
    world.vault.open(body, "inbox.Received.body").await.unwrap().unwrap().to_vec()
}

#[tokio::test]
async fn a_courier_is_answered_by_the_first_thing_that_is_wrong() {
    let world = World::with_accounts().await;
    let large = format!("[\"{}\"]", "x".repeat(64 * 1024 - 3));
    let fits = format!("[\"{}\"]", "x".repeat(64 * 1024 - 4));
    let key = "x-nexus-key";
    let bearer = format!("Bearer {SECRET}");
    let cases = [
        ("unknown token", courier("nobody", Some((key, SECRET)), large.clone()), 404),
        ("a channel's token", courier(CHANNEL_TOKEN, Some((key, SECRET)), UPDATE), 404),
        ("one byte too many", courier(TOKEN, Some((key, "wrong")), large), 413),
        ("wrong secret", courier(TOKEN, Some((key, "wrong")), UPDATE), 401),
        ("no secret", courier(TOKEN, None, UPDATE), 401),
        ("secret in another header", courier(TOKEN, Some(("authorization", SECRET)), UPDATE), 401),
        ("not JSON", courier(TOKEN, Some((key, SECRET)), "tracking=5108002"), 400),
        ("empty", courier(TOKEN, Some((key, SECRET)), ""), 400),
    ];
    for (what, request, expected) in cases {
        assert_eq!(world.send(request).await.0.as_u16(), expected, "{what}");
    }
    assert_eq!(world.kept().len(), 0, "a refused webhook leaves nothing");
    let good = [
        ("as it is", courier(TOKEN, Some((key, SECRET)), UPDATE)),
        ("as bearer", courier(TOKEN, Some((key, &bearer)), UPDATE)),
        ("the largest", courier(TOKEN, Some((key, SECRET)), fits)),
        ("not understood", courier(TOKEN, Some((key, SECRET)), "{\"hello\":[1]}")),
    ];
    for (what, request) in good {
        assert_eq!(world.send(request).await.0.as_u16(), 200, "{what}");
    }
    assert_eq!(world.kept().len(), 4);
}

#[tokio::test]
async fn a_webhook_is_kept_as_it_came_sealed_and_each_time_it_comes() {
    let world = World::with_accounts().await;
    for _ in 0..2 {
        assert_eq!(world.send(update(UPDATE)).await.0.as_u16(), 200);
    }
    let kept = world.kept();
    assert_eq!(kept.len(), 2, "repeats are told apart by those who apply them");
    for kept in &kept {
        assert_eq!(opened(&world, kept).await, UPDATE.as_bytes());
        assert_eq!(kept.body_hash, sha256(UPDATE.as_bytes()));
        assert_eq!(kept.account_token_sha256, sha256(TOKEN.as_bytes()));
        let told = (kept.kind.as_str(), kept.account_id.as_str(), kept.authenticated_by.as_str());
        assert_eq!(told, ("courier", "acc-1", "secret_header"));
        assert!(kept.body.as_ref().unwrap().key_id.starts_with("inbox-20"));
    }
    let stored = world.log.commits("ingress");
    let in_clear = |needle: &[u8]| {
        stored.iter().any(|s| s.bytes.windows(needle.len()).any(|window| window == needle))
    };
    assert!(!in_clear(b"5108002") && !in_clear(SECRET.as_bytes()));
    assert!(stored.iter().all(|s| s.aggregate.id.starts_with("acc-1-20")));
}

#[tokio::test]
async fn the_header_of_the_secret_is_the_one_the_merchant_chose_last() {
    let world = World::with_accounts().await;
    assert_eq!(world.send(update(UPDATE)).await.0.as_u16(), 200);
    world.rename_header("Authorization").await;
    world.caught_up().await;
    assert_eq!(world.send(update(UPDATE)).await.0.as_u16(), 401);
    let bearer = format!("Bearer {SECRET}");
    let request = courier(TOKEN, Some(("authorization", &bearer)), UPDATE);
    assert_eq!(world.send(request).await.0.as_u16(), 200);
}

#[tokio::test]
async fn a_receipt_is_taken_only_with_the_signature_of_its_very_bytes() {
    let world = World::with_accounts().await;
    let body = br#"{"name":"\u0633\u0627\u0631\u0629"}"#;
    let rewritten = serde_json::to_vec(&serde_json::from_slice::<Value>(body).unwrap()).unwrap();
    let signed = signature(body, APP_SECRET);
    for (body, signature) in [
        (&body[..], signature(body, "another")),
        (&body[..], String::new()),
        (&body[..], signed.replace("sha256=", "sha1=")),
        (&rewritten[..], signed.clone()),
    ] {
        assert_eq!(world.send(receipt(body, &signature)).await.0.as_u16(), 401, "{signature}");
    }
    let broken = b"{\"entry\":";
    let request = receipt(broken, &signature(broken, APP_SECRET));
    assert_eq!(world.send(request).await.0.as_u16(), 400);
    assert_eq!(world.kept().len(), 0);
    assert_eq!(world.send(receipt(body, &signed)).await.0.as_u16(), 200);

    let kept = world.kept().pop().unwrap();
    assert_eq!(opened(&world, &kept).await, body);
    assert_eq!((kept.kind.as_str(), kept.authenticated_by.as_str()), ("channel", "signature"));
    let headers = kept.headers.as_ref().unwrap();
    let headers = world.vault.open(headers, "inbox.Received.headers").await.unwrap().unwrap();
    let headers = HeaderList::decode(headers.as_slice()).unwrap().headers;
    assert_eq!(headers[0].value, signed.as_bytes());
}

#[tokio::test]
async fn after_a_rotation_both_app_secrets_are_good_until_the_grace_ends() {
    let world = World::with_accounts().await;
    let body = br#"{"entry":[]}"#;
    let (old, new) = (signature(body, APP_SECRET), signature(body, "newer"));
    assert_eq!(world.send(receipt(body, &new)).await.0.as_u16(), 401);
    world.rotate("newer", clock::now_ms() + 60_000).await;
    world.caught_up().await;
    for signature in [&old, &new] {
        assert_eq!(world.send(receipt(body, signature)).await.0.as_u16(), 200);
    }
    world.rotate("newest", clock::now_ms() - 1).await;
    world.caught_up().await;
    for (signature, expected) in [(&old, 401), (&new, 401)] {
        assert_eq!(world.send(receipt(body, signature)).await.0.as_u16(), expected);
    }
    let newest = signature(body, "newest");
    assert_eq!(world.send(receipt(body, &newest)).await.0.as_u16(), 200);
}

#[tokio::test]
async fn the_handshake_echoes_the_challenge_to_who_knows_the_word() {
    let world = World::with_accounts().await;
    let ask = |token: &str, mode: &str, word: &str| {
        let query = format!("hub.mode={mode}&hub.challenge=1158201444&hub.verify_token={word}");
        let uri = format!("/whatsapp-webhook/{token}?{query}");
        Request::get(uri).body(Body::empty()).unwrap()
    };
    let (status, body) = world.send(ask(CHANNEL_TOKEN, "subscribe", VERIFY_TOKEN)).await;
    assert_eq!((status.as_u16(), body.as_str()), (200, "1158201444"));
    for (token, mode, word, expected) in [
        (CHANNEL_TOKEN, "subscribe", "wrong", 403),
        (CHANNEL_TOKEN, "subscribe", "", 403),
        (CHANNEL_TOKEN, "unsubscribe", VERIFY_TOKEN, 403),
        ("nobody", "subscribe", VERIFY_TOKEN, 404),
        (TOKEN, "subscribe", VERIFY_TOKEN, 404),
    ] {
        let (status, body) = world.send(ask(token, mode, word)).await;
        assert_eq!(status.as_u16(), expected, "{token} {mode} {word}");
        assert!(!body.contains("1158201444"));
    }
    let bare = Request::get(format!("/whatsapp-webhook/{CHANNEL_TOKEN}"));
    assert_eq!(world.send(bare.body(Body::empty()).unwrap()).await.0.as_u16(), 403);
}

#[tokio::test]
async fn there_are_these_doors_and_no_other() {
    let world = World::with_accounts().await;
    let tracking = format!("/tracking-webhook/{TOKEN}");
    for (method, path, expected) in [
        (Method::GET, tracking.as_str(), 405),
        (Method::PUT, tracking.as_str(), 405),
        (Method::GET, "/", 404),
        (Method::GET, "/healthz", 404),
        (Method::GET, "/v1/orders", 404),
        (Method::POST, "/tracking-webhook/", 404),
        (Method::POST, "/tracking-webhook/a/b", 404),
    ] {
        let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.0.as_u16(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn webhooks_that_come_at_once_are_all_kept_each_once() {
    let world = World::with_accounts().await;
    let bodies: BTreeSet<_> = (0..300).map(|n| format!("{{\"trackingNumber\":{n}}}")).collect();
    let answers = join_all(bodies.iter().map(|body| world.send(update(body)))).await;
    assert!(answers.iter().all(|(status, _)| status.as_u16() == 200));
    let mut kept = BTreeSet::new();
    for webhook in world.kept() {
        let body = String::from_utf8(opened(&world, &webhook).await).unwrap();
        assert!(kept.insert(body), "kept twice");
    }
    assert_eq!(kept, bodies);
}

#[tokio::test]
async fn an_account_of_a_moment_ago_is_known() {
    let world = ingress().await;
    assert_eq!(world.send(update(UPDATE)).await.0.as_u16(), 404);
    world.open_courier().await;
    assert_eq!(world.send(update(UPDATE)).await.0.as_u16(), 200);
}

#[tokio::test]
async fn rebuilt_accounts_equal_the_live_ones() {
    let world = World::with_accounts().await;
    world.rename_header("Authorization").await;
    world.rotate("newer", 5).await;
    world.caught_up().await;
    let live = world.running.views.content_hash().await.unwrap();
    world.running.views.rebuild().await.unwrap();
    assert_eq!(world.running.views.content_hash().await.unwrap(), live);
    world.other_database_equals_live().await;
}
