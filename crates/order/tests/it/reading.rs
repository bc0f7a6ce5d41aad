//! Orders are listed, filtered and found.

use nexus_proto::order::v1 as proto;
use tonic::Code;

use crate::support::{World, call, line, mona, order_of, world};

async fn list(world: &World, ask: proto::ListOrdersRequest) -> proto::ListOrdersResponse {
    world.client().list_orders(call(ask)).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_order_is_found_by_everything_a_person_may_type() {
    let world = world().await;
    let person = proto::CreateContactRequest { name: "منى أحمد".to_owned(), ..mona() };
    let asked = proto::CreateOrderRequest {
        contact: Some(person),
        external_reference: "WEB-77".to_owned(),
        ..order_of(vec![line("MUG-RED", 1)])
    };
    let id = world.client().create_order(call(asked)).await.unwrap().into_inner().order_id;
    let other = proto::CreateContactRequest {
        name: "Karim".to_owned(),
        phone: "01222222222".to_owned(),
        ..mona()
    };
    let other =
        proto::CreateOrderRequest { contact: Some(other), ..order_of(vec![line("TEA", 1)]) };
    world.client().create_order(call(other)).await.unwrap();
    // Both databases must find the same, whatever language they sort texts in.
    let elsewhere = world.on_the_other_database().await;
    for query in [
        "NX-1001",
        "1001",
        "#1001",
        "01001234567",
        "+20 100 123 4567",
        "٠١٠٠١٢٣٤٥٦٧",
        "4567",
        "احمد",
        "مني",
        "mug-red",
        "MUG-RED",
        "web-77",
    ] {
        for world in [&world, &elsewhere] {
            assert_eq!(world.search(query).await, std::slice::from_ref(&id), "{query}");
        }
    }
    assert!(world.search("nobody").await.is_empty());
}

#[tokio::test]
async fn lists_are_filtered_and_paged_the_newest_first() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(world.create(vec![line("MUG-RED", 1)]).await.order_id);
    }
    let confirmed = world.confirmed(vec![line("MUG-RED", 1)]).await;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let status = "pending".to_owned();
        let ask =
            proto::ListOrdersRequest { status, page_size: 2, page_token, ..Default::default() };
        let page = list(&world, ask).await;
        assert!(page.orders.len() <= 2);
        seen.extend(page.orders.into_iter().map(|order| order.order_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let (mut sorted, mut expected) = (seen.clone(), all.clone());
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
    let served = proto::ListOrdersRequest { warehouse: "CAIRO".to_owned(), ..Default::default() };
    let served = list(&world, served).await.orders;
    assert_eq!((served.len(), &served[0].order_id), (1, &confirmed.order_id));
    let contact_id = confirmed.contact.unwrap().contact_id;
    let hers = proto::ListOrdersRequest { contact_id, ..Default::default() };
    assert_eq!(list(&world, hers).await.orders.len(), 6);
    let later = "2100-01-01T00:00:00Z".to_owned();
    let none = proto::ListOrdersRequest { created_after: later, ..Default::default() };
    assert!(list(&world, none).await.orders.is_empty());
}

#[tokio::test]
async fn a_filter_that_means_nothing_is_refused() {
    let world = world().await;
    for ask in [
        proto::ListOrdersRequest { status: "lost".to_owned(), ..Default::default() },
        proto::ListOrdersRequest { created_after: "yesterday".to_owned(), ..Default::default() },
        proto::ListOrdersRequest { page_token: "made up".to_owned(), ..Default::default() },
        proto::ListOrdersRequest { page_size: 501, ..Default::default() },
    ] {
        let refused = world.client().list_orders(call(ask)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let ask = proto::GetOrderRequest { order_id: "NX-9".to_owned(), ..Default::default() };
    assert_eq!(world.client().get_order(call(ask)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn notes_are_added_and_a_rebuilt_view_is_the_same() {
    let world = world().await;
    world.inventory.put("CAIRO", "MUG-RED", 10);
    let order = world.confirmed(vec![line("MUG-RED", 1)]).await;
    let note = proto::AddNoteRequest {
        order_id: order.order_id.clone(),
        text: "third floor".to_owned(),
        visibility: "customer".to_owned(),
    };
    let noted = world.client().add_note(call(note)).await.unwrap().into_inner();
    assert_eq!(noted.notes, ["ring twice", "third floor"]);
    assert_eq!(noted.note_entries[1].visibility, "customer");
    assert_eq!(noted.note_entries[1].author, "key-1");
    world.is_rebuilt_the_same().await;
    let rebuilt = world.get(&order.order_id).await;
    assert_eq!(rebuilt.notes, noted.notes);
}
