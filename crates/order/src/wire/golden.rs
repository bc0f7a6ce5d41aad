//! One event of each type, as bytes that were once stored: they read today as they did then.

use nexus_es::{Aggregate, Payload};

use crate::domain::contact::{self, Card, Contact};
use crate::domain::number_series::{self, NumberSeries};
use crate::domain::order::parts::{Fact, Kind, Report, Stage};
use crate::domain::order::{self, Amendment, Hold, Order, Placed};
use crate::domain::phone_claim::{self, PhoneClaim};
use crate::domain::pricing::{Line, Method, Payment, Totals};
use crate::domain::{
    AllocatedLine, Allocation, Consent, Note, Region, SealedValue, Shortage, Visibility,
};

fn sealed() -> SealedValue {
    SealedValue {
        key_id: "contact-mona".to_owned(),
        nonce: vec![1, 2, 3],
        ciphertext: vec![4, 5, 6],
    }
}

fn consent() -> Consent {
    Consent { channel: "whatsapp".to_owned(), granted: true, source: "checkout".to_owned() }
}

fn card() -> Card {
    Card {
        phone_hmac: vec![7, 8],
        profile: sealed(),
        external_reference: "shop-1".to_owned(),
        language: "ar".to_owned(),
    }
}

fn note() -> Note {
    Note { note_id: "n1".to_owned(), text: sealed(), visibility: Visibility::Customer }
}

fn placed() -> Placed {
    Placed {
        number: "NX-1001".to_owned(),
        contact_id: "mona".to_owned(),
        recipient: sealed(),
        region: Region {
            country: "EG".to_owned(),
            governorate: "Cairo".to_owned(),
            city: "Maadi".to_owned(),
        },
        language: "ar".to_owned(),
        lines: vec![Line {
            line_id: "1".to_owned(),
            sku: "MUG-RED".to_owned(),
            name: "Red mug".to_owned(),
            units: 2,
            unit_price: 1_499_000,
            discount: 1_000,
            tax_rate: 140_000,
            line_total: 2_997_000,
            tax: 419_600,
        }],
        currency: "EGP".to_owned(),
        prices_include_tax: true,
        totals: Totals {
            goods: 2_997_000,
            discount: 100,
            shipping: 500_000,
            tax: 419_600,
            total: 3_496_900,
            cod_due: 3_396_900,
        },
        payment: Payment { method: Method::Cod, paid: 100_000 },
        notes: vec![note()],
        external_reference: "web-7".to_owned(),
    }
}

fn amendment() -> Amendment {
    let placed = placed();
    Amendment {
        reason: "moved".to_owned(),
        lines: placed.lines,
        recipient: Some(sealed()),
        region: Some(placed.region),
        payment: Some(Payment { method: Method::Prepaid, paid: 3 }),
        totals: placed.totals,
        notes: vec![note()],
    }
}

fn fact(report: Report) -> Fact {
    Fact {
        part_id: "s1".to_owned(),
        kind: Kind::Shipment,
        parent: "f1".to_owned(),
        warehouse: "CAIRO".to_owned(),
        units: 2,
        parcels: 1,
        sequence: 196_609,
        report,
        tracking_status: "picked_up".to_owned(),
        tracking_number: "7234258".to_owned(),
        cause: vec![9; 16],
        cause_type: "shipment.TrackingRecorded".to_owned(),
        happened_at_ms: 1_764_107_626_000,
    }
}

fn orders() -> Vec<order::Event> {
    use order::Event;
    let allocation = vec![Allocation {
        warehouse: "CAIRO".to_owned(),
        lines: vec![AllocatedLine { line_id: "1".to_owned(), sku: "MUG-RED".to_owned(), units: 2 }],
    }];
    let lines = vec![Shortage { sku: "MUG-RED".to_owned(), asked: 2, available: 1 }];
    let hold =
        Hold { name: "fraud".to_owned(), reason: "check".to_owned(), until_ms: 1_764_107_626_000 };
    vec![
        Event::Created(Box::new(placed())),
        Event::ConfirmationRequested { attempt: 2 },
        Event::Confirmed { attempt: 2, allocation, unstocked_line_ids: vec!["2".to_owned()] },
        Event::ConfirmationRefused { attempt: 1, reason: "STOCK_SHORT".to_owned(), lines },
        Event::Held(hold),
        Event::Released { name: "fraud".to_owned(), lapsed: true },
        Event::PartProgressed(Box::new(fact(Report::Reached(Stage::Shipped)))),
        Event::PartProgressed(Box::new(fact(Report::Exception("DELIVERY_FAILED".to_owned())))),
        Event::PartProgressed(Box::new(fact(Report::Nothing))),
        Event::CancelRequested { reason: "twice".to_owned() },
        Event::Cancelled { reason: "twice".to_owned() },
        Event::Closed { outcome: "delivered".to_owned() },
        Event::NoteAdded(note()),
        Event::Amended(Box::new(amendment())),
    ]
}

fn contacts() -> Vec<contact::Event> {
    use contact::Event;
    vec![
        Event::Registered { card: card(), consents: vec![consent()] },
        Event::Amended { card: card(), previous_phone_hmac: vec![3] },
        Event::ConsentRecorded(consent()),
        Event::Erased { reason: "asked".to_owned(), phone_hmac: vec![7, 8] },
    ]
}

/// Lines of `type schema hex`, as committed.
const GOLDEN: &str = include_str!("golden.txt");

fn stored() -> Vec<Payload> {
    let parse = |line: &str| {
        let mut parts = line.split(' ');
        let mut next = || parts.next().unwrap();
        Payload {
            event_type: next().to_owned(),
            schema: next().parse().unwrap(),
            bytes: hex::decode(next()).unwrap(),
        }
    };
    GOLDEN.lines().map(parse).collect()
}

fn line(payload: &Payload) -> String {
    format!("{} {} {}", payload.event_type, payload.schema, hex::encode(&payload.bytes))
}

#[test]
fn stored_bytes_of_every_event_still_read_as_they_did() {
    let number = number_series::Event::BlockLeased { from: 1001, to: 1100, holder: "a".to_owned() };
    let claimed = phone_claim::Event::Claimed { contact_id: "mona".to_owned() };
    let released = phone_claim::Event::Released {
        contact_id: "mona".to_owned(),
        reason: "amended".to_owned(),
    };
    let now: Vec<_> = orders()
        .iter()
        .map(Order::encode)
        .chain(contacts().iter().map(Contact::encode))
        .chain([claimed.clone(), released.clone()].iter().map(PhoneClaim::encode))
        .chain([NumberSeries::encode(&number)])
        .collect();
    let lines: Vec<_> = now.iter().map(line).collect();
    assert_eq!(lines, stored().iter().map(line).collect::<Vec<_>>());

    let mut stored = stored().into_iter();
    for event in orders() {
        assert_eq!(Order::decode(&stored.next().unwrap()).unwrap(), event);
    }
    for event in contacts() {
        assert_eq!(Contact::decode(&stored.next().unwrap()).unwrap(), event);
    }
    for event in [claimed, released] {
        assert_eq!(PhoneClaim::decode(&stored.next().unwrap()).unwrap(), event);
    }
    assert_eq!(NumberSeries::decode(&stored.next().unwrap()).unwrap(), number);
}

#[test]
fn an_unknown_event_is_refused_by_its_owner() {
    let newer = Payload { event_type: "order.Gifted".to_owned(), schema: 1, bytes: vec![] };
    assert!(Order::decode(&newer).is_err());
    let schema = Payload { event_type: "order.Closed".to_owned(), schema: 2, bytes: vec![] };
    assert!(Order::decode(&schema).is_err());
}
