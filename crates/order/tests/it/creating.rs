//! Orders are created once, whole, and with everything that is wrong named.

use nexus_proto::order::v1 as proto;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{call, egp, is_replayed, keyed, line, mona, order_of, reason, world};

#[tokio::test]
async fn a_created_order_is_pending_priced_and_readable_at_once() {
    let world = world().await;
    let asked = proto::CreateOrderRequest {
        shipping_fee: egp("50"),
        discount: egp("10"),
        ..order_of(vec![line("MUG-RED", 2), line("MUG-RED", 1)])
    };
    let order = world.client().create_order(call(asked)).await.unwrap().into_inner();
    assert_eq!((order.number.as_str(), order.status.as_str()), ("NX-1001", "pending"));
    let totals = order.totals.clone().unwrap();
    assert_eq!(totals.goods, egp("449.70"));
    assert_eq!(totals.total, egp("489.70"));
    assert_eq!(totals.cod_due, egp("489.70"));
    let ids: Vec<_> = order.lines.iter().map(|line| line.line_id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(order.lines[0].name, "MUG-RED by name");
    assert_eq!(order.contact.as_ref().unwrap().phone, "+201001234567");
    assert_eq!(order.notes, ["ring twice"]);
    assert_eq!(world.inventory.product_lookups(), 1);
    for name in [order.order_id.as_str(), "NX-1001", "nx-1001", "#NX-1001", "1001", "#1001"] {
        let read = world.get(name).await;
        assert_eq!(read.order_id, order.order_id, "{name}");
        assert_eq!(read.shipping_address, order.shipping_address);
    }
}

#[tokio::test]
async fn fifty_creates_with_one_key_make_one_order_and_use_one_number() {
    let world = world().await;
    let asked = order_of(vec![line("MUG-RED", 1)]);
    let all = (0..50).map(|_| {
        let (mut client, asked) = (world.client(), asked.clone());
        async move { client.create_order(keyed(asked, "once")).await.unwrap() }
    });
    let all = futures::future::join_all(all).await;
    let first = all[0].get_ref().order_id.clone();
    assert!(all.iter().all(|answer| answer.get_ref().order_id == first));
    assert!(all.iter().all(|answer| answer.get_ref().number == "NX-1001"));
    assert_eq!(all.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    assert_eq!(world.create(vec![line("MUG-RED", 1)]).await.number, "NX-1002");
}

#[tokio::test]
async fn a_key_with_another_body_is_refused_and_leaves_no_contact() {
    let world = world().await;
    let asked = order_of(vec![line("MUG-RED", 1)]);
    world.client().create_order(keyed(asked.clone(), "once")).await.unwrap();
    let other_person = proto::CreateContactRequest { phone: "01111111111".to_owned(), ..mona() };
    let other = proto::CreateOrderRequest { contact: Some(other_person), ..asked };
    let refused = world.client().create_order(keyed(other, "once")).await.unwrap_err();
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    let ask = proto::FindContactRequest { phone: "01111111111".to_owned(), ..Default::default() };
    assert_eq!(world.client().find_contact(call(ask)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_repeated_create_answers_the_order_as_it_was() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 5);
    let asked = order_of(vec![line("MUG-RED", 1)]);
    let first = world.client().create_order(keyed(asked.clone(), "once")).await.unwrap();
    let first = first.into_inner();
    world.confirm(&first.order_id).await;
    let again = world.client().create_order(keyed(asked, "once")).await.unwrap();
    assert!(is_replayed(&again));
    assert_eq!(again.into_inner(), first);
}

#[tokio::test]
async fn an_unknown_product_is_named_by_its_line_and_nothing_is_created() {
    let world = world().await;
    let asked = order_of(vec![line("MUG-RED", 1), line("NO-SUCH", 1)]);
    let refused = world.client().create_order(call(asked)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "lines[1].sku");
    let ask = proto::FindContactRequest { phone: mona().phone, ..Default::default() };
    assert_eq!(world.client().find_contact(call(ask)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_discontinued_product_is_refused_by_its_line() {
    let world = world().await;
    let asked = order_of(vec![line("OLD-MUG", 1), line("MUG-RED", 1)]);
    let refused = world.client().create_order(call(asked)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let [violation] = violations.try_into().unwrap();
    assert_eq!(violation.field, "lines[0].sku");
    assert_eq!(violation.description, "\"OLD-MUG\" is discontinued");
}

#[tokio::test]
async fn an_order_of_two_thousand_lines_is_taken_and_one_more_is_not() {
    let world = world().await;
    let lines = |count: u32| (0..count).map(|nth| line(&format!("SKU-{nth}"), 1)).collect();
    assert_eq!(world.create(lines(2_000)).await.lines.len(), 2_000);
    let refused = world.client().create_order(call(order_of(lines(2_001)))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn no_name_phone_or_note_stands_in_the_log_in_clear() {
    let world = world().await;
    world.create(vec![line("MUG-RED", 1)]).await;
    let log = world.order_log().await;
    for secret in ["Mona", "1001234567", "ring twice", "Road 233"] {
        let found = log.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} stands in the log");
    }
}

#[tokio::test]
async fn who_has_no_key_is_told_so() {
    let world = world().await;
    let bare = tonic::Request::new(order_of(vec![line("MUG-RED", 1)]));
    let refused = world.client().create_order(bare).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}
