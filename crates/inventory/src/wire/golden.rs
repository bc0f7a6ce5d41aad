//! Stored bytes of every event, as they were first written: they must read the same for ever, and a
//! writer of today must still write them.

use std::fmt::Debug;

use nexus_es::{Aggregate, Payload};

use crate::domain::barcode_claim::{BarcodeClaim, Event as Claim};
use crate::domain::product::{Amendment, Details, Event as Product, Pack};
use crate::domain::stock_ledger::{Event as Stock, LotUnits, Missing, StockLedger};
use crate::domain::warehouse::{Address, DefinedBin, Details as House, Event as Warehouse};
use crate::domain::{BinUnits, Dimensions, Price, SkuUnits};

fn same<A: Aggregate>(event_type: &str, bytes: &str, event: &A::Event)
where
    A::Event: PartialEq + Debug,
{
    let written = A::encode(event);
    assert_eq!(written.event_type, event_type);
    assert_eq!(hex::encode(&written.bytes), bytes, "{event_type} is written as it was");
    let payload = Payload {
        event_type: event_type.to_owned(),
        schema: 1,
        bytes: hex::decode(bytes).unwrap(),
    };
    assert_eq!(&A::decode(&payload).unwrap(), event, "{event_type} reads as it did");
    let newer = Payload { schema: 2, ..payload };
    assert!(A::decode(&newer).is_err(), "{event_type} of an unknown schema is not guessed at");
}

fn at(bin: &str, lot: &str, units: u32) -> BinUnits {
    BinUnits { sku: "MUG".into(), bin: bin.into(), lot: lot.into(), units }
}

fn of(units: u32) -> SkuUnits {
    SkuUnits { sku: "MUG".into(), units }
}

#[test]
fn events_of_products_and_barcodes() {
    let pack = |code: &str, units| Pack { code: code.into(), units };
    let price = Price { amount: 1_499_000, currency: "EGP".into() };
    let dimensions = Dimensions { length: 100, width: 90, height: 120 };
    let registered = Details {
        name: "كوب".into(),
        barcodes: vec![pack("4006381333931", 1), pack("MUG-CASE", 12)],
        weight_grams: Some(300),
        dimensions: Some(dimensions),
        stocked: true,
        price: Some(price.clone()),
    };
    same::<crate::domain::product::Product>(
        "product.Registered",
        "0a06d983d988d8a812110a0d343030363338313333333933311001120c0a084d55472d434153\
         45100c18ac0222060864105a18782801320908f8be5b1203454750",
        &Product::Registered(registered),
    );
    let amended = Amendment {
        name: Some("Mug".into()),
        barcodes: Some(vec![pack("MUG-CASE", 6)]),
        weight_grams: Some(310),
        dimensions: Some(dimensions),
        price: Some(price),
    };
    same::<crate::domain::product::Product>(
        "product.Amended",
        "0a034d7567120c0a084d55472d43415345100618b60222060864105a18782a0908f8be5b1203454750",
        &Product::Amended(amended),
    );
    let reason = "no supplier".to_owned();
    same::<crate::domain::product::Product>(
        "product.Discontinued",
        "0a0b6e6f20737570706c696572",
        &Product::Discontinued { reason },
    );
    let sku = || "MUG".into();
    same::<BarcodeClaim>("barcode_claim.Claimed", "0a034d5547", &Claim::Claimed { sku: sku() });
    same::<BarcodeClaim>("barcode_claim.Released", "0a034d5547", &Claim::Released { sku: sku() });
}

#[test]
fn events_of_warehouses() {
    type Aggregate = crate::domain::warehouse::Warehouse;
    let address = Address {
        country: "EG".into(),
        governorate: "Cairo".into(),
        city: "Nasr City".into(),
        district: "Zone 8".into(),
        line1: "12 Makram Ebeid".into(),
        postal_code: "11765".into(),
        ..Address::default()
    };
    let opened = House { name: "Main".into(), priority: 1, address: Some(Box::new(address)) };
    same::<Aggregate>(
        "warehouse.Opened",
        "0a044d61696e10011a360a0245471205436169726f1a094e617372204369747922065a6f6e65\
         20382a0f3132204d616b72616d20456265696452053131373635",
        &Warehouse::Opened(opened),
    );
    let bin = DefinedBin { code: "A-01-02-1-1".into(), pick_sequence: 7, zone: "A".into() };
    let defined = Warehouse::BinsDefined { bins: vec![bin] };
    same::<Aggregate>(
        "warehouse.BinsDefined",
        "0a120a0b412d30312d30322d312d3110071a0141",
        &defined,
    );
    let assigned = Warehouse::BinAssigned { sku: "MUG".into(), bin: "A-01-02-1-1".into() };
    same::<Aggregate>("warehouse.BinAssigned", "0a034d5547120b412d30312d30322d312d31", &assigned);
}

#[test]
fn events_within_the_house() {
    let received = Stock::Received { receipt: "D1".into(), lines: vec![at("A", "L7", 5)] };
    same::<StockLedger>(
        "stock_ledger.Received",
        "0a024431120e0a034d55471201411a024c3720057a1008011201411a024c3722034d5547300a\
         7a09080322034d55473009",
        &received,
    );
    let adjusted = Stock::Adjusted {
        sku: "MUG".into(),
        bin: "A".into(),
        lot: "".into(),
        delta: -2,
        reason: "damaged".into(),
    };
    same::<StockLedger>(
        "stock_ledger.Adjusted",
        "0a034d554712014120032a0764616d616765647a0c080112014122034d554730037a09080522034d55473004",
        &adjusted,
    );
    let moved = Stock::Moved {
        sku: "MUG".into(),
        from: "A".into(),
        to: "B".into(),
        lot: "".into(),
        units: 3,
    };
    same::<StockLedger>(
        "stock_ledger.Moved",
        "0a034d55471201411a014228037a0c080112014122034d554730057a0c080112014222034d55473006",
        &moved,
    );
}

#[test]
fn events_on_the_way_out_and_back() {
    let picked = Stock::Picked {
        reservation: "o1/1".into(),
        order: "o1".into(),
        lines: vec![at("A", "", 2)],
        pick_list: "p1".into(),
    };
    same::<StockLedger>(
        "stock_ledger.Picked",
        "0a046f312f3112026f311a0a0a034d55471201412002220270317a0c080112014122034d5547\
         30037a09080222034d554730047a09080622034d554730037a0c080712014122034d55473003",
        &picked,
    );
    let short = Stock::ShortPicked {
        reservation: "o1/1".into(),
        order: "o1".into(),
        pick_list: "p1".into(),
        lines: vec![of(3)],
        given_up: vec![at("A", "", 2)],
        missing: vec![Missing { at: at("A", "L7", 2), reason: "empty".into() }],
    };
    same::<StockLedger>(
        "stock_ledger.ShortPicked",
        "0a046f312f3112026f311a02703122070a034d554710032a0a0a034d55471201412002\
         32170a0e0a034d55471201411a024c3720021205656d707479",
        &short,
    );
    let unpicked = Stock::Unpicked {
        reservation: "o1/1".into(),
        order: "o1".into(),
        lines: vec![at("B", "", 1)],
        reason: "cancelled".into(),
        reference: "u1".into(),
    };
    same::<StockLedger>(
        "stock_ledger.Unpicked",
        "0a046f312f3112026f311a0a0a034d55471201422001220963616e63656c6c65642a0275317a\
         0c080112014222034d554730027a09080222034d554730017a09080622034d55473002",
        &unpicked,
    );
    let shipped = Stock::Shipped {
        reservation: "o1/1".into(),
        order: "o1".into(),
        shipment: "s1".into(),
        lines: vec![LotUnits { sku: "MUG".into(), lot: "L7".into(), units: 2 }],
    };
    same::<StockLedger>(
        "stock_ledger.Shipped",
        "0a046f312f3112026f311a027331220b0a034d55471a024c3720027a0d08021a024c3722034d\
         554730037a09080422034d55473004",
        &shipped,
    );
    let taken_back = Stock::TakenBack {
        order: "o1".into(),
        shipment: "s1".into(),
        reference: "r1".into(),
        lines: vec![at("A", "", 1)],
    };
    same::<StockLedger>(
        "stock_ledger.TakenBack",
        "0a026f31120273311a0a0a034d55471201412001220272317a0c080112014122034d55473002\
         7a09080422034d55473001",
        &taken_back,
    );
}

#[test]
fn events_about_promises() {
    let reserved =
        Stock::Reserved { reservation: "o1/1".into(), order: "o1".into(), lines: vec![of(3)] };
    same::<StockLedger>(
        "stock_ledger.Reserved",
        "0a046f312f3112026f311a070a034d55471003",
        &reserved,
    );
    let released = Stock::Released {
        reservation: "o1/1".into(),
        order: "o1".into(),
        lines: vec![of(3)],
        reason: "cancelled".into(),
        given_up: vec![at("A", "", 1)],
    };
    same::<StockLedger>(
        "stock_ledger.Released",
        "0a046f312f3112026f311a070a034d55471003220963616e63656c6c65642a0a0a034d55471201412001",
        &released,
    );
    let unseen = Stock::ReleasedUnseen {
        reservation: "o1/1".into(),
        order: "o1".into(),
        reason: "timed out".into(),
    };
    same::<StockLedger>(
        "stock_ledger.ReleasedUnseen",
        "0a046f312f3112026f311a0974696d6564206f7574",
        &unseen,
    );
    let allocated = Stock::BinsAllocated {
        reservation: "o1/1".into(),
        order: "o1".into(),
        lines: vec![at("A", "L7", 3)],
        pick_list: "p1".into(),
    };
    same::<StockLedger>(
        "stock_ledger.BinsAllocated",
        "0a046f312f3112026f311a0e0a034d55471201411a024c37200322027031",
        &allocated,
    );
    let reallocated = Stock::BinsReallocated {
        reservation: "o1/1".into(),
        order: "o1".into(),
        given_up: vec![at("A", "", 2)],
        taken: vec![at("B", "", 2)],
    };
    same::<StockLedger>(
        "stock_ledger.BinsReallocated",
        "0a046f312f3112026f311a0a0a034d55471201412002220a0a034d55471201422002",
        &reallocated,
    );
    let broken = Stock::PromiseBroken {
        reservation: "o1/1".into(),
        order: "o1".into(),
        sku: "MUG".into(),
        units: 2,
        left: 1,
        reason: "damaged".into(),
    };
    same::<StockLedger>(
        "stock_ledger.PromiseBroken",
        "0a046f312f3112026f311a034d554720022801320764616d61676564",
        &broken,
    );
}
