//! Hand-over sessions: what was scanned leaves, what was not stays.

use nexus_proto::shipping::v1 as proto;
use nexus_runtime::status;

use crate::world::{CALM, World};

async fn scan(world: &World, manifest: &str, number: &str) -> proto::Manifest {
    let request = proto::ScanManifestRequest {
        manifest_id: manifest.to_owned(),
        tracking_number: number.to_owned(),
    };
    world.client().scan_manifest(world.by(request)).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_scanned_parcels_leave_and_the_missing_and_foreign_are_listed() {
    let world = World::start(CALM).await;
    let account = world.account("bosta", "key").await.courier_account_id;
    let (one, other) = (world.shipped("1", &account).await, world.shipped("2", &account).await);
    let open = proto::CreateManifestRequest { courier_account_id: account };
    let load = world.client().create_manifest(world.by(open)).await.unwrap().into_inner();
    let id = load.manifest_id.as_str();
    assert_eq!(load.missing.len(), 2);
    let close = || world.by(proto::CloseManifestRequest { manifest_id: id.to_owned() });
    let empty = world.client().close_manifest(close()).await.unwrap_err();
    assert_eq!(status::reason(&empty).as_deref(), Some("MANIFEST_EMPTY"));
    let result = |load: &proto::Manifest| load.scan.as_ref().unwrap().result.clone();
    let scanned = scan(&world, id, &one.tracking_number).await;
    assert_eq!(result(&scanned), "ACCEPTED");
    assert_eq!(result(&scan(&world, id, &one.tracking_number).await), "ALREADY_SCANNED");
    let load = scan(&world, id, "12345").await;
    assert_eq!(result(&load), "UNKNOWN_LABEL");
    assert_eq!(load.missing[0].shipment_id, other.shipment_id);
    assert_eq!((load.parcels.len(), load.foreign.len()), (1, 2));
    assert_eq!(load.cod_total.unwrap().amount, "149.90");
    let first = world.client().close_manifest(close()).await.unwrap().into_inner();
    assert!(first.pdf.starts_with(b"%PDF"));
    let again = world.client().close_manifest(close()).await.unwrap().into_inner();
    assert_eq!(again.pdf, first.pdf);
    let gone = world.shipment(&one.shipment_id).await;
    assert_eq!((gone.status.as_str(), gone.manifest_id.as_deref()), ("handed_over", Some(id)));
    assert_eq!(world.shipment(&other.shipment_id).await.status, "awb_live");
    world.close().await;
}
