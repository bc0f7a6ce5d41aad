//! Products and barcodes.

use nexus_es::{Actor, ActorKind, new_id};
use nexus_proto::common::v1::{Dimensions, Money};
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::reply::REPLAYED;
use tonic::Code;

use crate::harness::{Inventory, inventory, no, product};

fn barcode(code: &str, units: u32) -> proto::Barcode {
    proto::Barcode { code: code.into(), units }
}

async fn resolve(inventory: &Inventory, code: &str) -> Result<(String, u32), tonic::Status> {
    let request = inventory.ask(proto::ResolveBarcodeRequest { code: code.into() });
    let answer = inventory.client().resolve_barcode(request).await?.into_inner();
    Ok((answer.sku, answer.units))
}

#[tokio::test]
async fn a_product_is_answered_as_it_was_registered() {
    let inventory = inventory().await;
    let asked = proto::RegisterProductRequest {
        name: "كوب أبيض".into(),
        barcodes: vec![barcode("4006381333931", 0), barcode("CASE-12", 12)],
        weight_grams: Some(300),
        dimensions_mm: Some(Dimensions { length: 100, width: 90, height: 120 }),
        price: Some(Money { amount: "149.9".into(), currency: "EGP".into() }),
        ..product("85123A")
    };
    let registered = inventory.register(asked).await.unwrap();
    assert!(registered.stocked && !registered.discontinued);
    assert_eq!(registered.barcodes, [barcode("4006381333931", 1), barcode("CASE-12", 12)]);
    assert_eq!(registered.price.as_ref().unwrap().amount, "149.90");
    let request = proto::GetProductRequest {
        sku: "85123A".into(),
        min_position: registered.position.clone(),
    };
    let got = inventory.client().get_product(inventory.ask(request)).await.unwrap().into_inner();
    assert_eq!(got, registered);
}

#[tokio::test]
async fn real_skus_are_kept_apart_by_case_and_may_hold_anything() {
    let inventory = inventory().await;
    for sku in ["85123A", "85123a", "BANK CHARGES", "gift_0001_20", "قميص-١", "a/b.c=d>*"] {
        assert_eq!(inventory.register(product(sku)).await.unwrap().sku, sku);
        assert_eq!(resolve(&inventory, sku).await.unwrap(), (sku.to_owned(), 1));
    }
    let skus = ["gift_0001_20", "nobody", "BANK CHARGES"].map(str::to_owned).to_vec();
    let request = proto::GetProductsRequest { skus, ..Default::default() };
    let found = inventory.client().get_products(inventory.ask(request)).await.unwrap().into_inner();
    let skus: Vec<_> = found.products.iter().map(|product| product.sku.as_str()).collect();
    assert_eq!(skus, ["gift_0001_20", "BANK CHARGES"]);
    assert_eq!(found.unknown_skus, ["nobody"]);
}

#[tokio::test]
async fn registering_again_is_the_same_product_or_a_conflict() {
    let inventory = inventory().await;
    let first = inventory.register(product("MUG")).await.unwrap();
    let again = inventory.register(product("MUG")).await.unwrap();
    assert_eq!(first, again);
    let other = proto::RegisterProductRequest { name: "Cup".into(), ..product("MUG") };
    let refused = no(inventory.register(other).await);
    assert_eq!(refused, (Code::AlreadyExists, "PRODUCT_EXISTS".into()));
}

#[tokio::test]
async fn a_repeated_call_answers_what_it_answered_first() {
    let inventory = inventory().await;
    let key = new_id();
    let mut client = inventory.client();
    let first = client.register_product(inventory.ask_as(product("MUG"), key)).await.unwrap();
    assert!(first.metadata().get(REPLAYED).is_none());
    let amend = proto::AmendProductRequest {
        sku: "MUG".into(),
        name: Some("Big mug".into()),
        barcodes: vec![barcode("M1", 1)],
        ..Default::default()
    };
    let amended = client.amend_product(inventory.ask(amend)).await.unwrap().into_inner();
    assert_eq!(
        (amended.name.as_str(), amended.created_at),
        ("Big mug", first.get_ref().created_at.clone())
    );
    let again = client.register_product(inventory.ask_as(product("MUG"), key)).await.unwrap();
    assert_eq!(again.metadata().get(REPLAYED).unwrap(), "true");
    assert_eq!(again.into_inner(), first.into_inner());
    let renamed = proto::RegisterProductRequest { name: "x".into(), ..product("MUG") };
    let reused = client.register_product(inventory.ask_as(renamed, key)).await;
    assert_eq!(no(reused).1, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_key_used_for_one_product_is_refused_for_another() {
    let inventory = inventory().await;
    let (mut client, key) = (inventory.client(), new_id());
    let ask = |sku: &str| {
        let actor = Actor { kind: ActorKind::Key, id: "k1".into(), ..Actor::service("") };
        inventory.ask_by(actor, product(sku), key)
    };
    client.register_product(ask("MUG")).await.unwrap();
    assert_eq!(no(client.register_product(ask("CUP")).await).1, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(client.register_product(ask("MUG")).await.unwrap().into_inner().sku, "MUG");
}

#[tokio::test]
async fn a_scan_finds_the_sku_in_every_spelling_and_counts_its_pack() {
    let inventory = inventory().await;
    let barcodes = vec![barcode("037600665605", 1), barcode("CASE-12", 12)];
    let asked = proto::RegisterProductRequest { barcodes, ..product("MUG") };
    inventory.register(asked).await.unwrap();
    for spelling in ["37600665605", "037600665605", "00037600665605", "MUG"] {
        assert_eq!(resolve(&inventory, spelling).await.unwrap(), ("MUG".into(), 1), "{spelling}");
    }
    assert_eq!(resolve(&inventory, " CASE-12 ").await.unwrap(), ("MUG".into(), 12));
    assert_eq!(no(resolve(&inventory, "mug").await).0, Code::NotFound);
    assert_eq!(no(resolve(&inventory, "037600665604").await).0, Code::NotFound);
}

#[tokio::test]
async fn one_barcode_names_one_product_until_that_gives_it_up() {
    let inventory = inventory().await;
    let with = |sku: &str, codes: &[&str]| proto::RegisterProductRequest {
        barcodes: codes.iter().map(|code| barcode(code, 1)).collect(),
        ..product(sku)
    };
    inventory.register(with("MUG", &["B1"])).await.unwrap();
    // What the refused product had claimed before is free again.
    let refused = no(inventory.register(with("CUP", &["B0", "B1"])).await);
    assert_eq!(refused, (Code::FailedPrecondition, "BARCODE_TAKEN".into()));
    inventory.register(with("PAN", &["B0"])).await.unwrap();
    let amend = proto::AmendProductRequest {
        sku: "MUG".into(),
        barcodes: vec![barcode("B2", 6)],
        ..Default::default()
    };
    inventory.client().amend_product(inventory.ask(amend)).await.unwrap();
    inventory.register(with("CUP", &["B1"])).await.unwrap();
    assert_eq!(resolve(&inventory, "B1").await.unwrap(), ("CUP".into(), 1));
    assert_eq!(resolve(&inventory, "B2").await.unwrap(), ("MUG".into(), 6));
    // A SKU is scanned too: it can be nobody else's barcode.
    assert_eq!(no(inventory.register(with("TIN", &["MUG"])).await).1, "BARCODE_TAKEN");
    assert_eq!(no(inventory.register(product("B2")).await).1, "BARCODE_TAKEN");
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    use tonic_types::StatusExt;
    let inventory = inventory().await;
    let asked = proto::RegisterProductRequest {
        sku: " ".into(),
        name: String::new(),
        barcodes: vec![barcode(" ", 1), barcode("X", 1), barcode("X", 1)],
        price: Some(Money { amount: "1,5".into(), currency: "XX".into() }),
        ..Default::default()
    };
    let status = inventory.register(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        ["name", "barcodes[0].code", "barcodes[2].code", "price.currency", "price.amount", "sku"]
    );
    let wrong = violations.iter().find(|violation| violation.field == "barcodes[0].code").unwrap();
    assert!(wrong.description.contains("is empty"), "{}", wrong.description);
}

#[tokio::test]
async fn products_are_found_by_any_part_and_paged() {
    let inventory = inventory().await;
    for (sku, name) in [("M1", "White mug"), ("M2", "كوب أَحمر"), ("M3", "100% cotton")] {
        let asked = proto::RegisterProductRequest { name: name.into(), ..product(sku) };
        inventory.register(asked).await.unwrap();
    }
    let coded = proto::RegisterProductRequest {
        barcodes: vec![barcode("37600665605", 1)],
        ..product("M4")
    };
    inventory.register(coded).await.unwrap();
    for (query, found) in [
        ("WHITE", vec!["M1"]),
        ("احمر", vec!["M2"]),
        ("0%", vec!["M3"]),
        ("_", vec![]),
        ("0037600665605", vec!["M4"]),
        ("m", vec!["M1", "M2", "M3", "M4"]),
    ] {
        let request = proto::ListProductsRequest { query: query.into(), ..Default::default() };
        let page = inventory.client().list_products(inventory.ask(request)).await.unwrap();
        let skus: Vec<_> = page.into_inner().products.into_iter().map(|it| it.sku).collect();
        assert_eq!(skus, found, "{query}");
    }
    let mut token = String::new();
    let mut skus = Vec::new();
    loop {
        let request =
            proto::ListProductsRequest { page_size: 3, page_token: token, ..Default::default() };
        let page = inventory.client().list_products(inventory.ask(request)).await.unwrap();
        let page = page.into_inner();
        skus.extend(page.products.into_iter().map(|product| product.sku));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(skus, ["M1", "M2", "M3", "M4"]);
}

#[tokio::test]
async fn a_discontinued_product_says_so_and_an_unknown_one_is_not_found() {
    let inventory = inventory().await;
    inventory.register(product("MUG")).await.unwrap();
    let ask = |sku: &str| {
        inventory.ask(proto::DiscontinueProductRequest { sku: sku.into(), reason: String::new() })
    };
    let mut client = inventory.client();
    assert!(client.discontinue_product(ask("MUG")).await.unwrap().into_inner().discontinued);
    assert_eq!(no(client.discontinue_product(ask("CUP")).await).0, Code::NotFound);
}
