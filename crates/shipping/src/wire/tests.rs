//! Golden bytes: what was stored once reads the same for ever.

use std::fmt::Debug;

use nexus_es::{Aggregate, Payload};

use crate::domain::cash_claim::{self, CashClaim};
use crate::domain::courier_account::{self, CourierAccount, Credentials, Mode, Opening, Webhook};
use crate::domain::manifest::{self, Manifest, Misfit};
use crate::domain::shipment::{
    Awb, CourierUpdate, Event, HandedOver, Label, Parcel, Plan, Problem, Recorded, Shipment, Source,
};
use crate::domain::tracking::{Reading, TrackingStatus};
use crate::domain::{CourierKind, LabelFormat, Sealed};

fn sealed() -> Sealed {
    Sealed { key_id: "k".to_owned(), nonce: vec![1], ciphertext: vec![2] }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn plan() -> Plan {
    Plan {
        order_id: text("o"),
        order_number: text("1001"),
        fulfillment_id: text("f"),
        warehouse: text("CAI"),
        reservation: text("o/1"),
        parcel: Parcel {
            parcel_id: text("p"),
            box_type: text("S"),
            weight_grams: 900,
            dimensions_mm: Some((1, 2, 3)),
            contents: vec![(text("TSHIRT"), 2)],
        },
        account: text("a"),
        courier: CourierKind::Bosta,
        cod: 1_499_000,
        currency: text("EGP"),
        reference: text("nx-1"),
        contact_id: text("c"),
        recipient: sealed(),
        public_token_sha256: vec![3],
        public_token: sealed(),
        language: text("ar"),
    }
}

fn problem() -> Problem {
    Problem { code: text("3003"), field: text("x"), detail: text("d"), hint: text("h") }
}

fn recorded() -> Recorded {
    Recorded {
        update: CourierUpdate {
            awb: text("500"),
            delivery_id: text("id"),
            code: text("49"),
            kind: text("SEND"),
            raw_word: text("Canceled"),
            reading: Reading::CancelledUnlessPickedUp,
            occurred_at_ms: 5,
            learned_at_ms: 6,
            inbox_event_id: text("e"),
            inbox_position: 7,
            body_hash: vec![8],
            confirmed: true,
            exception_code: text("3"),
            exception_reason: text("postponed"),
            attempt: Some(1),
            cod_collected: Some(2),
            raw: sealed(),
            source: Source::Webhook,
        },
        late: true,
        duplicate: true,
        applied: true,
        tracking: TrackingStatus::Returning,
        warning: text("w"),
    }
}

fn shipment_events() -> Vec<Event> {
    let awb = Awb {
        awb: text("500"),
        tracking_number: text("500"),
        delivery_id: text("id"),
        tracking_url: text("u"),
    };
    vec![
        Event::Planned(Box::new(plan())),
        Event::AwbRequested { attempt: 1, reference: text("nx-1"), request_hash: vec![9] },
        Event::AwbIssued { attempt: 1, awb, adopted: true, order_id: text("o") },
        Event::AwbRefused { attempt: 1, problem: problem() },
        Event::AwbUnknown { attempt: 1, reason: text("timeout") },
        Event::AwbLookedUp { attempt: 1, look: 2 },
        Event::AwbSurplusFound { kept: text("500"), surplus: vec![text("501")] },
        Event::LabelStored(Label {
            format: LabelFormat::A6,
            blob_sha256: vec![1],
            label_sha256: vec![2],
            size_bytes: 3,
            own: true,
            key_id: text("k"),
            nonce: vec![4],
        }),
        Event::LabelPrinted { copy: 2, format: LabelFormat::A4 },
        Event::HandedOver(HandedOver {
            at_ms: 5,
            manifest_id: text("m"),
            order_id: text("o"),
            fulfillment_id: text("f"),
            parcel_id: text("p"),
            by_courier: true,
        }),
        Event::VoidRequested { reason: text("r") },
        Event::Voided { awb: text("500"), reason: text("r"), order_id: text("o") },
        Event::VoidRefused(Problem { field: String::new(), ..problem() }),
        Event::TrackingRecorded { order_id: text("o"), recorded: Box::new(recorded()) },
        Event::CodCollected { order_id: text("o"), due: 1, collected: 2, currency: text("EGP") },
        Event::Dispatched { order_id: text("o") },
        Event::DispatchFailed { order_id: text("o"), reason: text("R"), detail: text("d") },
        Event::Closed { order_id: text("o"), tracking: TrackingStatus::Delivered },
    ]
}

fn account_events() -> Vec<courier_account::Event> {
    let credentials = Credentials { sealed: Some(sealed()), last4: text("1234") };
    let amendment = courier_account::Amendment {
        name: Some(text("n")),
        mode: Some(Mode::Live),
        pickup_location: Some(text("l")),
        webhook_header: Some(text("x-h")),
    };
    vec![
        courier_account::Event::Opened(Box::new(Opening {
            courier: CourierKind::Bosta,
            name: text("Main"),
            mode: Mode::Sandbox,
            credentials: credentials.clone(),
            webhook: Webhook {
                token_sha256: vec![1],
                token: sealed(),
                secret_sha256: vec![2],
                secret: Some(sealed()),
                header: text("x-s"),
            },
            pickup_location: text("l"),
        })),
        courier_account::Event::Amended(amendment),
        courier_account::Event::CredentialsRotated(credentials),
    ]
}

fn manifest_events() -> Vec<manifest::Event> {
    vec![
        manifest::Event::Opened { account: text("a"), courier: CourierKind::Bosta },
        manifest::Event::Scanned(manifest::Parcel {
            shipment_id: text("s"),
            tracking_number: text("500"),
            order_number: text("1001"),
            cod: 7,
            currency: text("EGP"),
        }),
        manifest::Event::ScanRefused { tracking_number: text("501"), misfit: Misfit::UnknownLabel },
        manifest::Event::Closed { shipments: vec![text("s")], at_ms: 5, document_sha256: vec![6] },
    ]
}

/// `type hex` of each event, one a line.
fn lines<A: Aggregate>(events: &[A::Event]) -> String {
    let line = |event| {
        let stored = A::encode(event);
        format!("{} {} {}\n", stored.event_type, stored.schema, hex::encode(stored.bytes))
    };
    events.iter().map(line).collect()
}

fn reads_back<A: Aggregate>(events: &[A::Event], golden: &str)
where
    A::Event: PartialEq + Debug,
{
    assert_eq!(lines::<A>(events), golden, "stored bytes must never change");
    for (event, line) in events.iter().zip(golden.lines()) {
        let mut words = line.split(' ');
        let payload = Payload {
            event_type: text(words.next().unwrap()),
            schema: words.next().unwrap().parse().unwrap(),
            bytes: hex::decode(words.next().unwrap_or_default()).unwrap(),
        };
        assert_eq!(&A::decode(&payload).unwrap(), event, "{line}");
    }
}

#[test]
fn stored_shipment_events_read_as_they_did() {
    reads_back::<Shipment>(&shipment_events(), include_str!("golden/shipment.txt"));
}

#[test]
fn stored_account_events_read_as_they_did() {
    reads_back::<CourierAccount>(&account_events(), include_str!("golden/courier_account.txt"));
}

#[test]
fn stored_cash_claims_read_as_they_did() {
    let claimed = [cash_claim::Event::Claimed { parcel_id: text("p") }];
    reads_back::<CashClaim>(&claimed, include_str!("golden/cash_claim.txt"));
}

#[test]
fn stored_manifest_events_read_as_they_did() {
    reads_back::<Manifest>(&manifest_events(), include_str!("golden/manifest.txt"));
}

#[test]
fn an_unknown_event_is_refused_by_its_owner() {
    let payload = Payload { event_type: text("shipment.Teleported"), schema: 1, bytes: vec![] };
    assert!(Shipment::decode(&payload).is_err());
}
