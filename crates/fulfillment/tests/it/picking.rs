//! The walk: assigning, scanning, short lines, completing.

use nexus_proto::fulfillment::v1 as proto;
use tonic::Code;

use crate::shop::{Shop, assert_refused, by, keyed};

async fn walk_for_mona(shop: &Shop) -> proto::PickList {
    shop.sells("MUG");
    shop.sells("TEA");
    shop.sells("POT");
    shop.confirm("mona", "CAI", &[("MUG", 8, "A-1"), ("TEA", 1, "A-2")]).await;
    shop.generate(&["mona"]).await.remove(0)
}

async fn assign(shop: &Shop, list: &str, picker: &str) -> proto::PickList {
    let asked =
        proto::AssignPickListRequest { pick_list_id: list.to_owned(), picker: picker.to_owned() };
    shop.client().assign_pick_list(by("boss", asked)).await.unwrap().into_inner()
}

async fn read(shop: &Shop, list: &str) -> proto::PickList {
    let asked =
        proto::GetPickListRequest { pick_list_id: list.to_owned(), min_position: String::new() };
    shop.client().get_pick_list(by("nour", asked)).await.unwrap().into_inner()
}

async fn short(
    shop: &Shop,
    list: &str,
    line_id: &str,
    found: u32,
    reason: &str,
) -> Result<proto::PickList, tonic::Status> {
    let asked = proto::ReportShortRequest {
        pick_list_id: list.to_owned(),
        line_id: line_id.to_owned(),
        found,
        reason: reason.to_owned(),
    };
    shop.client().report_short(by("nour", asked)).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picker_walks_and_each_scan_has_its_answer() {
    let shop = Shop::open().await;
    let id = walk_for_mona(&shop).await.pick_list_id;
    assert_eq!(assign(&shop, &id, "Nour").await.status, "assigned");
    let start = proto::StartPickingRequest { pick_list_id: id.clone() };
    let started = shop.client().start_picking(by("key-7", start)).await.unwrap().into_inner();
    assert_eq!((started.status.as_str(), started.picker()), ("picking", "Nour"));

    let wrong = shop.scan(&id, "POT-EACH").await;
    assert_eq!(wrong.result, "WRONG_ITEM");
    assert_eq!(wrong.expected.as_ref().unwrap().name, "The mug");
    assert!(wrong.message.contains("take The mug (MUG) from bin A-1"), "{}", wrong.message);
    let unknown = shop.scan(&id, "000").await;
    assert_eq!(unknown.result, "UNKNOWN_BARCODE");
    assert!(unknown.message.contains("No product has the barcode 000"), "{}", unknown.message);
    let astray = shop.scan_in(&id, "C-9", "MUG-EACH", "").await;
    assert_eq!(
        (astray.result.as_str(), astray.expected.unwrap().bin.as_str()),
        ("WRONG_BIN", "A-1")
    );
    assert_eq!(read(&shop, &id).await.lines[0].picked, 0);

    let case = shop.scan_in(&id, "A-1", "MUG-CASE", "s1").await;
    assert_eq!((case.result.as_str(), case.picked, case.units), ("ACCEPTED", 6, 8));
    let again = shop.scan_in(&id, "A-1", "MUG-CASE", "s1").await;
    assert_eq!((again.result.as_str(), again.picked), ("ACCEPTED", 6));
    let past = shop.scan(&id, "MUG-CASE").await;
    assert_eq!((past.result.as_str(), past.picked), ("LINE_COMPLETE", 6));
    assert!(past.message.contains("Only 2 more"), "{}", past.message);
    let shown = read(&shop, &id).await;
    assert_eq!((shown.lines[0].picked, shown.lines[0].leased_to()), (6, "Nour"));

    shop.scan(&id, "MUG-EACH").await;
    let last = shop.scan(&id, "MUG-EACH").await;
    assert_eq!((last.result.as_str(), last.picked), ("ACCEPTED", 8));
    assert_eq!(shop.scan(&id, "MUG-EACH").await.result, "LINE_COMPLETE");
    let early = shop.complete(&id).await;
    assert_refused(early, "LINES_OPEN", "L0002: 1 of TEA in A-2");
    // A bare SKU is understood too.
    assert_eq!(shop.scan(&id, "TEA").await.result, "ACCEPTED");

    let done = shop.complete(&id).await.unwrap();
    assert_eq!((done.status.as_str(), done.settled), ("completed", Some(true)));
    assert!(done.position.contains("order:7"), "{}", done.position);
    assert_eq!(shop.scan(&id, "TEA-EACH").await.result, "STALE_LIST");
    let picked = shop.of_order("mona").await.remove(0);
    assert_eq!(picked.status, "picked");
    let picks = shop.inventory.picks.lock().unwrap().clone();
    let lines = &picks[&("mona/1".to_owned(), id.clone())];
    let booked: Vec<_> = lines.iter().map(|l| (l.sku.as_str(), l.bin.as_str(), l.units)).collect();
    assert_eq!(booked, [("MUG", "A-1", 8), ("TEA", "A-2", 1)]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_in_other_hands_is_taken() {
    let shop = Shop::open().await;
    let id = walk_for_mona(&shop).await.pick_list_id;
    assign(&shop, &id, "Nour").await;
    shop.scan(&id, "MUG-EACH").await;
    assign(&shop, &id, "Omar").await;
    let taken = shop.scan(&id, "MUG-EACH").await;
    assert_eq!(taken.result, "TAKEN_BY");
    assert!(taken.message.starts_with("Nour is picking"), "{}", taken.message);
    assert_eq!(shop.scan(&id, "TEA-EACH").await.result, "ACCEPTED");
    assert_refused(short(&shop, &id, "L0001", 1, "damaged").await, "LINE_TAKEN", "Nour works");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gs1_codes_carry_serial_numbers() {
    let shop = Shop::open().await;
    shop.sells("09501101530003");
    let product = |sku: &str| {
        let mut products = shop.inventory.products.lock().unwrap();
        let product = products.get_mut(sku).unwrap();
        product.barcodes[0].code = "9501101530003".to_owned();
    };
    product("09501101530003");
    shop.confirm("ali", "CAI", &[("09501101530003", 3, "A-1")]).await;
    let id = shop.generate(&["ali"]).await.remove(0).pick_list_id;
    let piece = "]d20109501101530003\u{1d}21SN-77";
    assert_eq!(shop.scan(&id, piece).await.result, "ACCEPTED");
    let again = shop.scan(&id, piece).await;
    assert_eq!((again.result.as_str(), again.picked), ("DUPLICATE_SERIAL", 1));
    assert_eq!(shop.scan(&id, "(01)09501101530003(21)SN-78").await.picked, 2);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_line_needs_a_reason_and_the_last_order_goes_short() {
    let shop = Shop::open().await;
    shop.sells("MUG");
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    shop.confirm("ali", "CAI", &[("MUG", 2, "A-1")]).await;
    let id = shop.generate(&["mona", "ali"]).await.remove(0).pick_list_id;
    for _ in 0..3 {
        shop.scan(&id, "MUG-EACH").await;
    }
    let silent = short(&shop, &id, "L0001", 3, " ").await.unwrap_err();
    assert_eq!(silent.code(), Code::InvalidArgument);
    assert_refused(short(&shop, &id, "L0001", 2, "damaged").await, "FOUND_LESS_THAN_SCANNED", "3");
    let reported = short(&shop, &id, "L0001", 3, "damaged").await.unwrap();
    assert_eq!((reported.lines[0].short, reported.lines[0].short_reason()), (1, "damaged"));
    assert_eq!(shop.complete(&id).await.unwrap().settled, Some(true));
    let mona = shop.of_order("mona").await.remove(0);
    let ali = shop.of_order("ali").await.remove(0);
    assert_eq!((mona.lines[0].picked, mona.lines[0].short), (2, 0));
    assert_eq!((ali.lines[0].picked, ali.lines[0].short), (1, 1));
    let missing = shop.inventory.missing.lock().unwrap().clone();
    assert_eq!(missing[&("mona/1".to_owned(), id.clone())], []);
    let of_ali = &missing[&("ali/1".to_owned(), id)];
    let at = of_ali[0].at.clone().unwrap();
    assert_eq!((at.bin.as_str(), at.units, of_ali[0].reason.as_str()), ("A-1", 1, "damaged"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_which_nothing_was_found_ends_without_a_parcel() {
    let shop = Shop::open().await;
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let id = shop.generate(&["mona"]).await.remove(0).pick_list_id;
    short(&shop, &id, "L0001", 0, "missing").await.unwrap();
    assert_eq!(shop.complete(&id).await.unwrap().settled, Some(true));
    let mona = shop.of_order("mona").await.remove(0);
    assert_eq!((mona.status.as_str(), mona.lines[0].short), ("withdrawn", 2));
    let name = ("mona/1".to_owned(), id);
    assert_eq!(shop.inventory.picks.lock().unwrap()[&name], []);
    let missing = shop.inventory.missing.lock().unwrap()[&name].clone();
    let at = missing[0].at.clone().unwrap();
    assert_eq!((at.bin.as_str(), at.units, missing[0].reason.as_str()), ("A-1", 2, "missing"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_found_for_a_promise_that_is_gone_is_no_dispute() {
    let shop = Shop::open().await;
    shop.inventory.refusing.lock().unwrap().insert("mona/1".to_owned());
    shop.confirm("mona", "CAI", &[("MUG", 2, "A-1")]).await;
    let id = shop.generate(&["mona"]).await.remove(0).pick_list_id;
    short(&shop, &id, "L0001", 0, "missing").await.unwrap();
    shop.complete(&id).await.unwrap();
    let mona = shop.of_order("mona").await.remove(0);
    assert_eq!((mona.status.as_str(), mona.dispute.as_deref()), ("withdrawn", None));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_says_no_disputes_the_pick() {
    let shop = Shop::open().await;
    shop.inventory.refusing.lock().unwrap().insert("mona/1".to_owned());
    let id = walk_for_mona(&shop).await.pick_list_id;
    shop.scan(&id, "MUG-CASE").await;
    short(&shop, &id, "L0001", 6, "missing").await.unwrap();
    shop.scan(&id, "TEA-EACH").await;
    assert_eq!(shop.complete(&id).await.unwrap().settled, Some(true));
    let mona = shop.of_order("mona").await.remove(0);
    assert_eq!((mona.status.as_str(), mona.dispute()), ("listed", "NOT_HELD"));
    let awaited = shop.orders.awaited.lock().unwrap().clone();
    assert!(awaited.contains(&("mona".to_owned(), "exception".to_owned())));
    let packed = shop.pack(&mona.fulfillment_id, &[&[("MUG", 6), ("TEA", 1)]]).await;
    assert_refused(packed, "PICK_DISPUTED", "NOT_HELD");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_away_is_asked_again() {
    let shop = Shop::open().await;
    *shop.inventory.away.lock().unwrap() = 3;
    let id = walk_for_mona(&shop).await.pick_list_id;
    shop.scan(&id, "MUG-CASE").await;
    short(&shop, &id, "L0001", 6, "missing").await.unwrap();
    shop.scan(&id, "TEA-EACH").await;
    shop.complete(&id).await.unwrap();
    let mona = shop.fulfillment("mona", |it| it.status == "picked").await;
    assert_eq!((mona.lines[0].picked, mona.lines[0].short), (6, 2));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_does_not_show_it_in_time_is_not_settled() {
    let shop = Shop::open().await;
    let id = walk_for_mona(&shop).await.pick_list_id;
    *shop.orders.unsettled.lock().unwrap() = true;
    short(&shop, &id, "L0001", 0, "missing").await.unwrap();
    shop.scan(&id, "TEA-EACH").await;
    let done = shop.complete(&id).await.unwrap();
    assert_eq!((done.status.as_str(), done.settled), ("completed", Some(false)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_answers_as_the_first_time() {
    let shop = Shop::open().await;
    let id = walk_for_mona(&shop).await.pick_list_id;
    let assign = |picker: &str| {
        let asked =
            proto::AssignPickListRequest { pick_list_id: id.clone(), picker: picker.to_owned() };
        let mut client = shop.client();
        async move { client.assign_pick_list(keyed("k1", asked)).await }
    };
    assign("Nour").await.unwrap();
    shop.scan(&id, "MUG-EACH").await;
    let again = assign("Nour").await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    let again = again.into_inner();
    assert_eq!((again.status.as_str(), again.lines[0].picked), ("assigned", 0));
    let other = assign("Omar").await.unwrap_err();
    let reason = nexus_runtime::status::reason(&other);
    assert_eq!(reason.as_deref(), Some("IDEMPOTENCY_KEY_REUSED"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_used_for_one_list_is_refused_for_another() {
    let shop = Shop::open().await;
    let mona = walk_for_mona(&shop).await.pick_list_id;
    shop.confirm("ali", "CAI", &[("MUG", 1, "A-1")]).await;
    let ali = shop.generate(&["ali"]).await.remove(0).pick_list_id;
    let assign = async |id: &str| {
        let (pick_list_id, picker) = (id.to_owned(), "Nour".to_owned());
        let asked = proto::AssignPickListRequest { pick_list_id, picker };
        shop.client().assign_pick_list(keyed("k1", asked)).await
    };
    assign(&mona).await.unwrap();
    let reason = nexus_runtime::status::reason(&assign(&ali).await.unwrap_err());
    assert_eq!(reason.as_deref(), Some("IDEMPOTENCY_KEY_REUSED"));
    assign(&mona).await.unwrap();
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_there_is_not_found() {
    let shop = Shop::open().await;
    let asked = proto::ScanRequest {
        pick_list_id: "nowhere".to_owned(),
        barcode: "1".to_owned(),
        ..Default::default()
    };
    let no = shop.client().scan(by("nour", asked)).await.unwrap_err();
    assert_eq!(no.code(), Code::NotFound);
    assert_eq!(shop.complete("nowhere").await.unwrap_err().code(), Code::NotFound);
    shop.close().await;
}
