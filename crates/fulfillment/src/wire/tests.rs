//! Stored bytes of every event still read as they did.

use nexus_es::{Aggregate, Payload};

use crate::domain::fulfillment::{self, Fulfillment, Opened, OrderLine, Parcel, PickedLine};
use crate::domain::pick_list::{
    self, Expected, Line, Part, PartTakes, PickList, Place, ScanRefused, ScanResult, Scanned,
    Split, Take,
};
use crate::domain::{Dimensions, SkuUnits};

fn text(text: &str) -> String {
    text.to_owned()
}

fn mugs(units: u32) -> SkuUnits {
    SkuUnits { sku: text("MUG"), units }
}

fn opened() -> fulfillment::Event {
    fulfillment::Event::Opened(Opened {
        order_id: text("o1"),
        order_number: text("NX-1"),
        warehouse: text("CAI"),
        reservation: text("o1/1"),
        lines: vec![OrderLine {
            line_id: text("l1"),
            sku: text("MUG"),
            name: text("كوب"),
            units: 3,
        }],
    })
}

fn fulfillment_events() -> Vec<(fulfillment::Event, &'static str)> {
    use fulfillment::Event;
    let line = || PickedLine { line_id: text("l1"), sku: text("MUG"), picked: 2, short: 1 };
    let parcel = Parcel {
        parcel_id: text("p1"),
        box_type: text("M"),
        weight_grams: 700,
        dimensions: Some(Dimensions { length: 300, width: 200, height: 100 }),
        contents: vec![mugs(2)],
    };
    vec![
        (
            opened(),
            "0a026f3112044e582d311a0343414922046f312f312a130a026c3112034d55471a06d983\
             d988d8a82003",
        ),
        (Event::Listed { pick_list_id: text("w1"), order_id: text("o1") }, "0a02773112026f31"),
        (
            Event::Unlisted {
                pick_list_id: text("w1"),
                order_id: text("o1"),
                reason: text("rain"),
            },
            "0a02773112026f311a047261696e",
        ),
        (
            Event::Picked { pick_list_id: text("w1"), order_id: text("o1"), lines: vec![line()] },
            "0a02773112026f311a0d0a026c3112034d554718022001",
        ),
        (
            Event::PickDisputed {
                pick_list_id: text("w1"),
                order_id: text("o1"),
                reason: text("NOT_HELD"),
                lines: vec![line()],
            },
            "0a02773112026f311a084e4f545f48454c44220d0a026c3112034d554718022001",
        ),
        (
            Event::Packed { order_id: text("o1"), parcels: vec![parcel] },
            "0a026f31121d0a02703112014d18bc05220808ac0210c80118642a070a034d55471002",
        ),
        (
            Event::HandedOver {
                order_id: text("o1"),
                parcel_id: text("p1"),
                shipment_id: text("s1"),
                last: true,
            },
            "0a026f31120270311a0273312001",
        ),
        (
            Event::Withdrawn {
                order_id: text("o1"),
                reason: text("cancelled"),
                to_put_back: vec![mugs(1)],
            },
            "0a026f31120963616e63656c6c65641a070a034d55471001",
        ),
    ]
}

fn generated() -> pick_list::Event {
    let line = Line {
        line_id: text("L0001"),
        place: Place {
            zone: text("A"),
            pick_sequence: 7,
            bin: text("A-1"),
            sku: text("MUG"),
            lot: text("L7"),
        },
        name: text("كوب"),
        barcodes: vec![(text("5901"), 6)],
        units: 3,
        split: vec![Split { part: 0, order_line_id: text("l1"), units: 3 }],
    };
    let part = Part {
        order_id: text("o1"),
        order_number: text("NX-1"),
        fulfillment_id: text("f1"),
        reservation: text("o1/1"),
    };
    pick_list::Event::Generated { warehouse: text("CAI"), lines: vec![line], parts: vec![part] }
}

fn scan_events() -> Vec<(pick_list::Event, &'static str)> {
    use pick_list::Event;
    let scanned = Scanned {
        scan_id: text("s1"),
        line_id: text("L0001"),
        bin: text("A-1"),
        barcode: text("5901"),
        serial: text("SN7"),
        units: 6,
        picker: text("nour"),
        leased_until_ms: 1_764_000_000_000,
    };
    let refused = ScanRefused {
        scan_id: text("s2"),
        result: ScanResult::WrongLot,
        bin: text("A-1"),
        barcode: text("5901"),
        line_id: text("L0001"),
        expected: Some(Expected { bin: text("A-1"), sku: text("MUG"), lot: text("L7") }),
        picker: text("nour"),
        taken_by: String::new(),
    };
    vec![
        (
            Event::Scanned(scanned),
            "0a02733112054c303030311a03412d31220435393031280632046e6f75723a03534e3740\
             80d0dfb4ab33",
        ),
        (
            Event::ScanRefused(refused),
            "0a027332120957524f4e475f4c4f541a03412d312204353930312a054c30303031320341\
             2d313a034d554742024c374a046e6f7572",
        ),
    ]
}

fn pick_list_events() -> Vec<(pick_list::Event, &'static str)> {
    use pick_list::Event;
    let take = Take {
        order_line_id: text("l1"),
        sku: text("MUG"),
        bin: text("A-1"),
        lot: text("L7"),
        picked: 2,
        short: 1,
    };
    let part = PartTakes {
        fulfillment_id: text("f1"),
        order_id: text("o1"),
        reservation: text("o1/1"),
        takes: vec![take],
    };
    vec![
        (
            generated(),
            "0a0343414912360a054c303030311203412d311a014120072a034d554732024c373a06d9\
             83d988d8a842080a04353930311006480352062a026c3130031a140a026f3112044e582d\
             311a02663122046f312f31",
        ),
        (Event::Assigned { picker: text("nour") }, "0a046e6f7572"),
        (Event::Started { picker: text("nour") }, "0a046e6f7572"),
        (
            Event::LineLeased {
                line_id: text("L0001"),
                picker: text("nour"),
                until_ms: 1_764_000_000_000,
            },
            "0a054c3030303112046e6f75721880d0dfb4ab33",
        ),
        (
            Event::ShortPicked {
                line_id: text("L0001"),
                found: 2,
                missing: 1,
                reason: text("damaged"),
                picker: text("nour"),
            },
            "0a054c3030303110021801220764616d616765642a046e6f7572",
        ),
        (
            Event::Completed { picker: text("nour"), parts: vec![part] },
            "0a046e6f757212260a02663112026f311a046f312f3122160a026c3112034d55471a0341\
             2d3122024c3728023001",
        ),
        (
            Event::Cancelled { reason: text("rain"), fulfillment_ids: vec![text("f1")] },
            "0a047261696e12026631",
        ),
        (
            Event::OrderWithdrawn {
                order_id: text("o1"),
                fulfillment_id: text("f1"),
                reason: text("cancelled"),
            },
            "0a026f31120266311a0963616e63656c6c6564",
        ),
    ]
}

/// What was stored once still decodes to the same event, and is still what is stored.
fn check<A: Aggregate>(events: Vec<(A::Event, &'static str)>)
where
    A::Event: PartialEq + std::fmt::Debug,
{
    for (event, golden) in events {
        let stored = A::encode(&event);
        assert_eq!(hex::encode(&stored.bytes), golden, "{}", stored.event_type);
        let bytes = hex::decode(golden).unwrap();
        let read = A::decode(&Payload { bytes, ..stored.clone() }).unwrap();
        assert_eq!(read, event, "{}", stored.event_type);
        assert!(A::decode(&Payload { schema: 99, ..stored }).is_err());
    }
}

#[test]
fn stored_fulfilments_read_as_they_did() {
    check::<Fulfillment>(fulfillment_events());
}

#[test]
fn stored_pick_lists_read_as_they_did() {
    check::<PickList>(pick_list_events());
    check::<PickList>(scan_events());
}

#[test]
fn an_event_of_a_newer_writer_is_not_guessed() {
    let newer = Payload { event_type: text("pick_list.Folded"), schema: 1, bytes: vec![] };
    assert!(matches!(PickList::decode(&newer), Err(nexus_es::BadEvent::Unknown { .. })));
}

#[test]
fn a_split_that_names_no_part_is_malformed() {
    let pick_list::Event::Generated { warehouse, lines, .. } = generated() else { panic!() };
    let stored = PickList::encode(&pick_list::Event::Generated { warehouse, lines, parts: vec![] });
    assert!(matches!(PickList::decode(&stored), Err(nexus_es::BadEvent::Malformed { .. })));
}
