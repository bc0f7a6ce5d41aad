//! Contacts are found by their phone, whoever spells it how.

use nexus_order::Config;
use nexus_proto::common::v1::Consent;
use nexus_proto::order::v1 as proto;
use nexus_test_postgres::Place;
use tonic::Code;

use crate::support::{
    DEADLINE, World, call, is_replayed, keyed, line, mona, order_of, reason, world, world_in,
};

async fn create(world: &World, asked: proto::CreateContactRequest) -> proto::Contact {
    world.client().create_contact(call(asked)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_known_phone_answers_the_contact_that_has_it() {
    let world = world().await;
    let first = create(&world, mona()).await;
    assert_eq!((first.phone.as_str(), first.existing), ("+201001234567", false));
    for spelling in ["+20 100 123 4567", "٠١٠٠١٢٣٤٥٦٧", "0020 100 1234567"] {
        let name = "Somebody else".to_owned();
        let asked = proto::CreateContactRequest { phone: spelling.to_owned(), name, ..mona() };
        let again = create(&world, asked).await;
        assert_eq!((again.contact_id.as_str(), again.existing), (first.contact_id.as_str(), true));
        assert_eq!(again.name, "Mona Ali");
        let ask = proto::FindContactRequest { phone: spelling.to_owned(), ..Default::default() };
        let found = world.client().find_contact(call(ask)).await.unwrap().into_inner();
        assert_eq!(found.contact_id, first.contact_id);
    }
    let order = world.create(vec![line("MUG-RED", 1)]).await;
    assert_eq!(order.contact.unwrap().contact_id, first.contact_id);
}

#[tokio::test]
async fn a_rush_of_orders_with_one_new_phone_makes_one_contact() {
    let world = world().await;
    let rush = (0..20).map(|_| world.create(vec![line("MUG-RED", 1)]));
    let orders = futures::future::join_all(rush).await;
    let contacts: std::collections::BTreeSet<_> =
        orders.into_iter().map(|order| order.contact.unwrap().contact_id).collect();
    assert_eq!(contacts.len(), 1);
    let log = world.order_log().await;
    let registered = b"contact.Registered";
    let count = log.windows(registered.len()).filter(|window| window == registered).count();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_contact_needs_a_phone_or_a_reference() {
    let world = world().await;
    let bare = proto::CreateContactRequest { phone: String::new(), ..mona() };
    let refused = world.client().create_contact(call(bare.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let referred = proto::CreateContactRequest { external_reference: "shop-7".to_owned(), ..bare };
    let contact = create(&world, referred).await;
    assert_eq!((contact.external_reference.as_str(), contact.phone.as_str()), ("shop-7", ""));
}

#[tokio::test]
async fn an_amended_phone_frees_the_old_one_and_orders_keep_their_snapshot() {
    let world = world().await;
    let order = world.create(vec![line("MUG-RED", 1)]).await;
    let contact_id = order.contact.clone().unwrap().contact_id;
    let amend = proto::AmendContactRequest {
        contact_id: contact_id.clone(),
        phone: Some("01111111111".to_owned()),
        ..Default::default()
    };
    let amended = world.client().amend_contact(keyed(amend.clone(), "move")).await.unwrap();
    assert_eq!(amended.get_ref().phone, "+201111111111");
    assert_eq!(amended.get_ref().name, "Mona Ali");
    let again = world.client().amend_contact(keyed(amend, "move")).await.unwrap();
    assert!(is_replayed(&again));
    assert_eq!(world.get(&order.order_id).await.contact.unwrap().phone, "+201001234567");
    let other =
        create(&world, proto::CreateContactRequest { name: "Ali".to_owned(), ..mona() }).await;
    assert!(!other.existing);
    assert_ne!(other.contact_id, contact_id);
    let taken = proto::AmendContactRequest {
        contact_id: other.contact_id,
        phone: Some("01111111111".to_owned()),
        ..Default::default()
    };
    let refused = world.client().amend_contact(call(taken)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "PHONE_TAKEN"));
    world.is_rebuilt_the_same().await;
}

#[tokio::test]
async fn an_erased_contact_is_gone_from_views_and_search_and_totals_stay() {
    let world = world().await;
    let order = world.create(vec![line("MUG-RED", 1)]).await;
    let contact_id = order.contact.clone().unwrap().contact_id;
    let erase =
        proto::EraseContactRequest { contact_id: contact_id.clone(), reason: "asked".to_owned() };
    let erased = world.client().erase_contact(call(erase.clone())).await.unwrap().into_inner();
    assert!(erased.erased && erased.name.is_empty() && erased.phone.is_empty());
    let after = world.get(&order.order_id).await;
    let contact = after.contact.unwrap();
    assert_eq!((contact.name.as_str(), contact.phone.as_str()), ("", ""));
    assert_eq!((after.notes.join(""), after.totals), (String::new(), order.totals));
    assert!(world.search("Mona").await.is_empty() && world.search("01001234567").await.is_empty());
    let ask = proto::GetRecipientRequest { order_id: order.order_id.clone() };
    let question = world.channels.question(ask, "shipping", &order.order_id);
    let told = world.client().get_recipient(question).await.unwrap().into_inner();
    assert!(told.erased && told.recipient.is_none());
    assert!(!create(&world, mona()).await.existing);
    world.client().erase_contact(call(erase)).await.unwrap();
    world.is_rebuilt_the_same().await;
    world.on_the_other_database().await;
}

#[tokio::test]
async fn an_erased_contact_stands_in_no_file_of_the_views() {
    let world = world_in(Place::in_folder().unwrap(), Config::default()).await;
    let order = world.create(vec![line("MUG-RED", 1)]).await;
    world.create(vec![line("MUG-BLUE", 1)]).await;
    let words = ["Mona Ali", "1001234567", "ring twice", "9 Road 233", "mona"];
    assert!(words.iter().all(|word| world.view_files_hold(word)), "not written at all");
    let contact_id = order.contact.unwrap().contact_id;
    let erase = proto::EraseContactRequest { contact_id, reason: "asked".to_owned() };
    world.client().erase_contact(call(erase)).await.unwrap();
    let forgotten = async {
        while words.iter().any(|word| world.view_files_hold(word)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, forgotten).await.unwrap();
}

#[tokio::test]
async fn an_erasure_is_certified_event_by_event() {
    let world = world().await;
    let order = world.create(vec![line("MUG-RED", 1)]).await;
    let contact_id = order.contact.unwrap().contact_id;
    let ask = || proto::GetErasureCertificateRequest {
        contact_id: contact_id.clone(),
        ..Default::default()
    };
    let too_early = world.client().get_erasure_certificate(call(ask())).await.unwrap_err();
    assert_eq!(reason(&too_early), "NOT_ERASED");
    let nobody = proto::GetErasureCertificateRequest {
        contact_id: "nobody".to_owned(),
        ..Default::default()
    };
    let nobody = world.client().get_erasure_certificate(call(nobody)).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    let erase =
        proto::EraseContactRequest { contact_id: contact_id.clone(), reason: "asked".to_owned() };
    world.client().erase_contact(call(erase)).await.unwrap();
    let certificate =
        world.client().get_erasure_certificate(call(ask())).await.unwrap().into_inner();
    assert!(certificate.key_destroyed);
    assert_eq!(
        (certificate.reason.as_str(), certificate.order_ids),
        ("asked", vec![order.order_id])
    );
    let types: Vec<_> = certificate.events.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(types, ["contact.Registered", "order.Created"]);
    assert_eq!(certificate.digest.len(), 64);
    let again = world.client().get_erasure_certificate(call(ask())).await.unwrap().into_inner();
    assert_eq!(again.digest, certificate.digest);
}

#[tokio::test]
async fn consent_is_kept_and_told_to_services_only() {
    let world = world().await;
    let consent = |granted| Consent {
        channel: "whatsapp".to_owned(),
        granted,
        source: "checkout".to_owned(),
        ..Consent::default()
    };
    let contact = proto::CreateContactRequest { consents: vec![consent(true)], ..mona() };
    let asked =
        proto::CreateOrderRequest { contact: Some(contact), ..order_of(vec![line("MUG-RED", 1)]) };
    let order = world.client().create_order(call(asked)).await.unwrap().into_inner();
    let ask = proto::GetRecipientRequest { order_id: order.order_id.clone() };
    let refused = world.client().get_recipient(call(ask.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let question = || world.channels.question(ask.clone(), "notification", &order.order_id);
    let told = world.client().get_recipient(question()).await.unwrap().into_inner();
    assert_eq!(told.recipient.unwrap().name, "Mona Ali");
    assert!(told.consents[0].granted);
    let withdraw = proto::RecordConsentRequest {
        contact_id: told.contact_id,
        channel: "whatsapp".to_owned(),
        granted: false,
        source: "STOP message".to_owned(),
    };
    let contact = world.client().record_consent(call(withdraw)).await.unwrap().into_inner();
    assert_eq!((contact.consents.len(), contact.consents[0].granted), (1, false));
    let told = world.client().get_recipient(question()).await.unwrap().into_inner();
    assert!(!told.consents[0].granted);
}
