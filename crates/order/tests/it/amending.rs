//! A pending order is changed as a whole; one with stock held keeps its lines.

use nexus_proto::common::v1::Address;
use nexus_proto::order::v1 as proto;
use tonic::Code;

use crate::support::{call, egp, is_replayed, keyed, line, reason, world};

#[tokio::test]
async fn a_pending_order_gets_other_lines_another_address_and_other_sums() {
    let world = world().await;
    let order = world.create(vec![line("MUG-RED", 2), line("TEA", 1)]).await;
    let kept = proto::NewOrderLine { line_id: "2".to_owned(), ..line("TEA", 3) };
    let amend = proto::AmendOrderRequest {
        order_id: order.order_id.clone(),
        lines: vec![kept, line("MUG-BLUE", 1)],
        shipping_address: Some(Address {
            city: "Giza".to_owned(),
            line1: "1 Pyramid Street".to_owned(),
            ..Address::default()
        }),
        shipping_fee: egp("30"),
        notes: vec!["call before".to_owned()],
        reason: "she called".to_owned(),
        ..Default::default()
    };
    let done = world.client().amend_order(keyed(amend.clone(), "once")).await.unwrap().into_inner();
    let ids: Vec<_> = done.lines.iter().map(|line| line.line_id.as_str()).collect();
    assert_eq!(ids, ["2", "3"]);
    assert_eq!(done.totals.as_ref().unwrap().total, egp("629.60"));
    assert_eq!(done.shipping_address.as_ref().unwrap().line1, "1 Pyramid Street");
    assert_eq!(done.contact, order.contact);
    assert_eq!(done.notes, ["ring twice", "call before"]);
    assert_eq!(world.search("mug-blue").await, std::slice::from_ref(&order.order_id));
    let again = world.client().amend_order(keyed(amend, "once")).await.unwrap();
    assert!(is_replayed(&again));
    assert_eq!(again.into_inner(), done);
    world.is_rebuilt_the_same().await;
}

#[tokio::test]
async fn a_confirmed_order_keeps_its_lines_and_says_the_way_forward() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 9);
    let order = world.confirmed(vec![line("MUG-RED", 2)]).await;
    let amend = proto::AmendOrderRequest {
        order_id: order.order_id.clone(),
        lines: vec![line("MUG-RED", 3)],
        reason: "one more".to_owned(),
        ..Default::default()
    };
    let refused = world.client().amend_order(call(amend.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "NOT_AMENDABLE");
    let paid = proto::Payment { method: "prepaid".to_owned(), paid: egp("299.80") };
    let amend = proto::AmendOrderRequest { lines: vec![], payment: Some(paid), ..amend };
    let done = world.client().amend_order(call(amend)).await.unwrap().into_inner();
    assert_eq!(done.totals.unwrap().cod_due, egp("0.00"));
    assert_eq!(done.status, "confirmed");
}
