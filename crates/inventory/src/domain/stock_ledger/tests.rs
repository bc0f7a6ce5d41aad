//! Each rule of the ledger by example.

use nexus_es::kit::given;
use nexus_es::{Decider, fold};

use super::*;

fn at(sku: &str, bin: &str, units: u32) -> BinUnits {
    BinUnits { sku: sku.into(), bin: bin.into(), lot: Lot::default(), units }
}

fn of(sku: &str, units: u32) -> SkuUnits {
    SkuUnits { sku: sku.into(), units }
}

fn received(lines: &[BinUnits]) -> Event {
    Event::Received { receipt: "D1".into(), lines: lines.to_vec() }
}

fn reserve(name: &str, lines: &[SkuUnits]) -> Command {
    Command::Reserve { reservation: name.into(), order: "ali".into(), lines: lines.to_vec() }
}

fn reserved(name: &str, lines: &[SkuUnits]) -> Event {
    Event::Reserved { reservation: name.into(), order: "ali".into(), lines: lines.to_vec() }
}

fn release(name: &str) -> Command {
    Command::Release { reservation: name.into(), order: "ali".into(), reason: "cancelled".into() }
}

fn walk() -> Walk {
    [("A", 1), ("B", 2), ("C", 3)].map(|(bin, nth)| (bin.into(), nth)).into_iter().collect()
}

fn allocate(names: &[&str]) -> Command {
    let reservations = names.iter().map(|name| (*name).into()).collect();
    Command::AllocateBins { reservations, pick_list: "P1".into(), walk: walk() }
}

fn allocated(name: &str, lines: &[BinUnits]) -> Event {
    Event::BinsAllocated {
        reservation: name.into(),
        order: "ali".into(),
        lines: lines.to_vec(),
        pick_list: "P1".into(),
    }
}

fn reallocated(name: &str, given_up: &[BinUnits], taken: &[BinUnits]) -> Event {
    let (given_up, taken) = (given_up.to_vec(), taken.to_vec());
    Event::BinsReallocated { reservation: name.into(), order: "ali".into(), given_up, taken }
}

fn pick(name: &str, list: &str, lines: &[BinUnits]) -> Command {
    pick_missing(name, list, lines, &[])
}

fn pick_missing(name: &str, list: &str, lines: &[BinUnits], missing: &[BinUnits]) -> Command {
    let (reservation, pick_list) = (name.into(), list.into());
    let (lines, missing) = (lines.to_vec(), not_found(missing));
    Command::Pick { reservation, lines, missing, pick_list, walk: walk() }
}

fn not_found(lines: &[BinUnits]) -> Vec<Missing> {
    lines.iter().map(|at| Missing { at: at.clone(), reason: "empty".into() }).collect()
}

fn short_picked(
    name: &str,
    list: &str,
    lines: &[SkuUnits],
    given_up: &[BinUnits],
    missing: &[BinUnits],
) -> Event {
    Event::ShortPicked {
        reservation: name.into(),
        order: "ali".into(),
        pick_list: list.into(),
        lines: lines.to_vec(),
        given_up: given_up.to_vec(),
        missing: not_found(missing),
    }
}

fn written_off(sku: &str, bin: &str, delta: i64) -> Event {
    Event::Adjusted {
        sku: sku.into(),
        bin: bin.into(),
        lot: Lot::default(),
        delta,
        reason: "found short: empty".into(),
    }
}

fn picked(name: &str, list: &str, lines: &[BinUnits]) -> Event {
    Event::Picked {
        reservation: name.into(),
        order: "ali".into(),
        lines: lines.to_vec(),
        pick_list: list.into(),
    }
}

fn adjust(sku: &str, bin: &str, delta: i64) -> Command {
    Command::Adjust {
        sku: sku.into(),
        bin: bin.into(),
        lot: Lot::default(),
        delta,
        reason: "damaged".into(),
        walk: walk(),
    }
}

fn adjusted(sku: &str, bin: &str, delta: i64) -> Event {
    Event::Adjusted {
        sku: sku.into(),
        bin: bin.into(),
        lot: Lot::default(),
        delta,
        reason: "damaged".into(),
    }
}

fn broken(name: &str, sku: &str, units: u32, left: u32) -> Event {
    Event::PromiseBroken {
        reservation: name.into(),
        order: "ali".into(),
        sku: sku.into(),
        units,
        left,
        reason: "damaged".into(),
    }
}

fn ship(name: &str, shipment: &str, lines: &[SkuUnits]) -> Command {
    let (reservation, shipment) = (name.into(), shipment.into());
    Command::Ship { reservation, shipment, lines: lines.to_vec() }
}

fn shipped(name: &str, shipment: &str, sku: &str, units: u32) -> Event {
    Event::Shipped {
        reservation: name.into(),
        order: "ali".into(),
        shipment: shipment.into(),
        lines: vec![LotUnits { sku: sku.into(), lot: Lot::default(), units }],
    }
}

#[test]
fn a_delivery_counts_once_and_not_with_another_content() {
    let receive =
        |units| Command::Receive { receipt: "D1".into(), lines: vec![at("MUG", "A", units)] };
    given::<StockLedger>([])
        .when(&receive(5))
        .then([received(&[at("MUG", "A", 5)])])
        .when(&receive(5))
        .then_no_news()
        .when(&receive(6))
        .then_refused(Refusal::OtherContent { reference: "D1".into() });
}

#[test]
fn a_unit_is_never_promised_twice() {
    given::<StockLedger>([received(&[at("MUG", "A", 6), at("MUG", "B", 4), at("CUP", "A", 1)])])
        .when(&reserve("ali/1", &[of("CUP", 1), of("MUG", 8)]))
        .then([reserved("ali/1", &[of("CUP", 1), of("MUG", 8)])])
        .when(&reserve("mona/1", &[of("MUG", 3), of("CUP", 2), of("PAN", 1)]))
        .then_refused(Refusal::Short {
            shortages: vec![
                Shortage { sku: "CUP".into(), asked: 2, available: 0 },
                Shortage { sku: "MUG".into(), asked: 3, available: 2 },
                Shortage { sku: "PAN".into(), asked: 1, available: 0 },
            ],
        });
}

#[test]
fn a_promise_repeated_is_no_news_and_another_under_its_name_is_refused() {
    given::<StockLedger>([received(&[at("MUG", "A", 9)]), reserved("ali/1", &[of("MUG", 2)])])
        .when(&reserve("ali/1", &[of("MUG", 1), of("MUG", 1)]))
        .then_no_news()
        .when(&reserve("ali/1", &[of("MUG", 3)]))
        .then_refused(Refusal::OtherLines);
}

#[test]
fn a_release_gives_back_what_is_left_and_ends_the_name() {
    given::<StockLedger>([
        received(&[at("MUG", "A", 5)]),
        reserved("ali/1", &[of("MUG", 5)]),
        allocated("ali/1", &[at("MUG", "A", 5)]),
        picked("ali/1", "P1", &[at("MUG", "A", 2)]),
    ])
    .when(&release("ali/1"))
    .then([Event::Released {
        reservation: "ali/1".into(),
        order: "ali".into(),
        lines: vec![of("MUG", 3)],
        reason: "cancelled".into(),
        given_up: vec![at("MUG", "A", 3)],
    }])
    .when(&release("ali/1"))
    .then_no_news()
    .when(&reserve("ali/1", &[of("MUG", 5)]))
    .then_refused(Refusal::ReleasedBefore);
}

#[test]
fn a_name_released_before_it_was_seen_can_no_longer_be_reserved() {
    given::<StockLedger>([received(&[at("MUG", "A", 5)])])
        .when(&release("ali/1"))
        .then([Event::ReleasedUnseen {
            reservation: "ali/1".into(),
            order: "ali".into(),
            reason: "cancelled".into(),
        }])
        .when(&release("ali/1"))
        .then_no_news()
        .when(&reserve("ali/1", &[of("MUG", 1)]))
        .then_refused(Refusal::ReleasedBefore);
}

#[test]
fn bins_are_chosen_along_the_walk_over_several_and_only_once() {
    let stock = [at("MUG", "C", 5), at("MUG", "B", 1), at("MUG", "A", 2)];
    given::<StockLedger>([
        received(&stock),
        reserved("ali/1", &[of("MUG", 4)]),
        reserved("mona/1", &[of("MUG", 2)]),
    ])
    .when(&allocate(&["ali/1", "nobody/1", "mona/1", "ali/1"]))
    .then([
        allocated("ali/1", &[at("MUG", "A", 2), at("MUG", "B", 1), at("MUG", "C", 1)]),
        allocated("mona/1", &[at("MUG", "C", 2)]),
    ])
    .when(&allocate(&["mona/1", "ali/1"]))
    .then_no_news();
}

#[test]
fn at_one_step_of_the_walk_the_older_pile_goes_first() {
    let lot = |lot: &str, units| BinUnits { lot: lot.into(), ..at("MUG", "A", units) };
    let later = Event::Received { receipt: "D2".into(), lines: vec![lot("L1", 5)] };
    given::<StockLedger>([received(&[lot("L2", 2)]), later, reserved("ali/1", &[of("MUG", 3)])])
        .when(&allocate(&["ali/1"]))
        .then([allocated("ali/1", &[lot("L2", 2), lot("L1", 1)])]);
}

#[test]
fn what_a_pick_leaves_is_given_back_and_not_picked_with_another_list() {
    given::<StockLedger>([
        received(&[at("MUG", "A", 5)]),
        reserved("ali/1", &[of("MUG", 5)]),
        allocated("ali/1", &[at("MUG", "A", 5)]),
    ])
    .when(&pick("ali/1", "P1", &[at("MUG", "A", 3)]))
    .then([
        picked("ali/1", "P1", &[at("MUG", "A", 3)]),
        short_picked("ali/1", "P1", &[of("MUG", 2)], &[at("MUG", "A", 2)], &[]),
    ])
    .when(&pick("ali/1", "P1", &[at("MUG", "A", 2)]))
    .then_no_news()
    .when(&pick("ali/1", "P2", &[at("MUG", "A", 3)]))
    .then_refused(Refusal::NotHeld { sku: "MUG".into(), asked: 3, held: 0 });
}

#[test]
fn what_was_missing_is_written_off_but_for_what_others_chose_there() {
    let (one, two) = ([at("MUG", "A", 1)], [at("MUG", "A", 2)]);
    given::<StockLedger>([
        received(&[at("MUG", "A", 5)]),
        reserved("ali/1", &[of("MUG", 3)]),
        reserved("mona/1", &[of("MUG", 2)]),
        allocated("ali/1", &[at("MUG", "A", 3)]),
        allocated("mona/1", &two),
    ])
    .when(&pick_missing("ali/1", "P1", &one, &two))
    .then([
        picked("ali/1", "P1", &one),
        short_picked("ali/1", "P1", &[of("MUG", 2)], &two, &two),
        written_off("MUG", "A", -2),
    ])
    .when(&pick_missing("ali/1", "P1", &one, &two))
    .then_no_news()
    .when(&pick_missing("mona/1", "P1", &one, &one))
    .then([
        picked("mona/1", "P1", &one),
        short_picked("mona/1", "P1", &[of("MUG", 1)], &one, &one),
        written_off("MUG", "A", -1),
    ])
    .when(&reserve("zein/1", &[of("MUG", 1)]))
    .then_refused(Refusal::Short {
        shortages: vec![Shortage { sku: "MUG".into(), asked: 1, available: 0 }],
    });
}

#[test]
fn where_nothing_was_found_is_chosen_last_until_units_are_put_there() {
    let two = [at("MUG", "A", 2)];
    let history = [
        received(&[at("MUG", "A", 4), at("MUG", "B", 1)]),
        reserved("ali/1", &[of("MUG", 2)]),
        reserved("mona/1", &[of("MUG", 3)]),
        allocated("ali/1", &two),
    ];
    let nothing = [
        short_picked("ali/1", "P1", &[of("MUG", 2)], &two, &two),
        // The other two are promised: whoever is sent for them looks again.
        written_off("MUG", "A", -2),
    ];
    given::<StockLedger>(history.clone())
        .when(&pick_missing("ali/1", "P1", &[], &two))
        .then(nothing.clone())
        .when(&pick_missing("ali/1", "P1", &[], &two))
        .then_no_news()
        .when(&allocate(&["mona/1"]))
        .then([allocated("mona/1", &[at("MUG", "B", 1), at("MUG", "A", 2)])]);
    let filled = Event::Received { receipt: "D2".into(), lines: vec![at("MUG", "A", 1)] };
    given::<StockLedger>(history.into_iter().chain(nothing).chain([filled]))
        .when(&allocate(&["mona/1"]))
        .then([allocated("mona/1", &[at("MUG", "A", 3)])]);
}

#[test]
fn a_pick_from_a_bin_chosen_for_somebody_else_moves_that_choice() {
    given::<StockLedger>([
        received(&[at("MUG", "A", 2), at("MUG", "B", 2)]),
        reserved("ali/1", &[of("MUG", 2)]),
        reserved("mona/1", &[of("MUG", 2)]),
        allocated("ali/1", &[at("MUG", "A", 2)]),
        allocated("mona/1", &[at("MUG", "B", 2)]),
    ])
    .when(&pick("ali/1", "P1", &[at("MUG", "B", 1)]))
    .then([
        reallocated("ali/1", &[at("MUG", "A", 1)], &[at("MUG", "B", 1)]),
        reallocated("mona/1", &[at("MUG", "B", 1)], &[at("MUG", "A", 1)]),
        picked("ali/1", "P1", &[at("MUG", "B", 1)]),
        short_picked("ali/1", "P1", &[of("MUG", 1)], &[at("MUG", "A", 1)], &[]),
    ])
    .when(&pick("mona/1", "P1", &[at("MUG", "B", 2)]))
    .then_refused(Refusal::BinShort {
        sku: "MUG".into(),
        bin: "B".into(),
        lot: Lot::default(),
        asked: 2,
        there: 1,
    });
}

#[test]
fn a_loss_breaks_the_newest_promises_down_to_what_is_there() {
    given::<StockLedger>([
        received(&[at("MUG", "A", 4), at("MUG", "B", 2)]),
        reserved("ali/1", &[of("MUG", 3)]),
        reserved("mona/1", &[of("MUG", 1)]),
        reserved("zein/1", &[of("MUG", 2)]),
        allocated("ali/1", &[at("MUG", "A", 3)]),
        allocated("zein/1", &[at("MUG", "A", 1), at("MUG", "B", 1)]),
    ])
    .when(&adjust("MUG", "A", -3))
    .then([
        broken("zein/1", "MUG", 2, 0),
        broken("mona/1", "MUG", 1, 0),
        adjusted("MUG", "A", -3),
        reallocated("ali/1", &[at("MUG", "A", 2)], &[at("MUG", "B", 2)]),
        reallocated("zein/1", &[at("MUG", "A", 1), at("MUG", "B", 1)], &[]),
    ]);
}

#[test]
fn a_loss_of_free_units_breaks_nothing_but_no_bin_goes_below_zero() {
    given::<StockLedger>([received(&[at("MUG", "A", 4)]), reserved("ali/1", &[of("MUG", 3)])])
        .when(&adjust("MUG", "A", -1))
        .then([adjusted("MUG", "A", -1)])
        .when(&adjust("MUG", "A", -4))
        .then_refused(Refusal::BinShort {
            sku: "MUG".into(),
            bin: "A".into(),
            lot: Lot::default(),
            asked: 4,
            there: 3,
        });
}

#[test]
fn units_that_move_take_the_choice_of_their_bin_along() {
    let relocate = Command::Move {
        sku: "MUG".into(),
        from: "A".into(),
        to: "C".into(),
        lot: Lot::default(),
        units: 3,
        walk: walk(),
    };
    given::<StockLedger>([
        received(&[at("MUG", "A", 4), at("MUG", "B", 9)]),
        reserved("ali/1", &[of("MUG", 3)]),
        allocated("ali/1", &[at("MUG", "A", 3)]),
    ])
    .when(&relocate)
    .then([
        Event::Moved {
            sku: "MUG".into(),
            from: "A".into(),
            to: "C".into(),
            lot: Lot::default(),
            units: 3,
        },
        reallocated("ali/1", &[at("MUG", "A", 2)], &[at("MUG", "C", 2)]),
    ]);
}

#[test]
fn picked_units_ship_once_a_shipment_and_on_hand_falls() {
    let history = [
        received(&[at("MUG", "A", 5)]),
        reserved("ali/1", &[of("MUG", 3)]),
        allocated("ali/1", &[at("MUG", "A", 3)]),
        picked("ali/1", "P1", &[at("MUG", "A", 3)]),
    ];
    let before: StockLedger = fold(&history);
    assert_eq!(before.shelf(&"MUG".into()).map(Shelf::on_hand), Some(5));
    given::<StockLedger>(history.clone())
        .when(&ship("ali/1", "S1", &[of("MUG", 2)]))
        .then([shipped("ali/1", "S1", "MUG", 2)])
        .when(&ship("ali/1", "S1", &[of("MUG", 2)]))
        .then_no_news()
        .when(&ship("ali/1", "S2", &[of("MUG", 2)]))
        .then_refused(Refusal::NotPicked { sku: "MUG".into(), asked: 2, picked: 1 });
    given::<StockLedger>(history.clone())
        .when(&ship("ali/1", "S1", &[]))
        .then([shipped("ali/1", "S1", "MUG", 3)])
        .when(&ship("ali/1", "S2", &[]))
        .then_refused(Refusal::NothingPicked);
    let after = before.evolve(&shipped("ali/1", "S1", "MUG", 3));
    assert_eq!(after.shelf(&"MUG".into()).map(Shelf::on_hand), Some(2));
    assert_eq!(after.available(&"MUG".into()), 2);
}

#[test]
fn units_put_back_are_held_again_until_released() {
    let unpick = |units| Command::Unpick {
        reservation: "ali/1".into(),
        lines: vec![at("MUG", "B", units)],
        reason: "cancelled".into(),
        reference: "U1".into(),
    };
    given::<StockLedger>([
        received(&[at("MUG", "A", 3)]),
        reserved("ali/1", &[of("MUG", 2)]),
        allocated("ali/1", &[at("MUG", "A", 2)]),
        picked("ali/1", "P1", &[at("MUG", "A", 2)]),
    ])
    .when(&unpick(2))
    .then([Event::Unpicked {
        reservation: "ali/1".into(),
        order: "ali".into(),
        lines: vec![at("MUG", "B", 2)],
        reason: "cancelled".into(),
        reference: "U1".into(),
    }])
    .when(&unpick(2))
    .then_no_news()
    .when(&release("ali/1"))
    .then([Event::Released {
        reservation: "ali/1".into(),
        order: "ali".into(),
        lines: vec![of("MUG", 2)],
        reason: "cancelled".into(),
        given_up: vec![],
    }]);
}

#[test]
fn a_return_counts_once() {
    let take_back = Command::TakeBack {
        order: "ali".into(),
        shipment: "S1".into(),
        reference: "R1".into(),
        lines: vec![at("MUG", "A", 1)],
    };
    given::<StockLedger>([])
        .when(&take_back)
        .then([Event::TakenBack {
            order: "ali".into(),
            shipment: "S1".into(),
            reference: "R1".into(),
            lines: vec![at("MUG", "A", 1)],
        }])
        .when(&take_back)
        .then_no_news();
}

#[test]
fn nothing_is_known_of_a_reservation_nobody_made() {
    given::<StockLedger>([])
        .when(&pick("ali/1", "P1", &[at("MUG", "A", 1)]))
        .then_refused(Refusal::UnknownReservation);
    given::<StockLedger>([])
        .when(&ship("ali/1", "S1", &[]))
        .then_refused(Refusal::UnknownReservation);
}

#[test]
fn the_ledger_counts_to_its_limit_and_no_further() {
    let most = u32::try_from(MOST_UNITS).unwrap();
    given::<StockLedger>([received(&[at("MUG", "A", most)])])
        .when(&adjust("MUG", "B", 1))
        .then_refused(Refusal::TooMany { sku: "MUG".into() });
}

#[test]
fn ended_reservations_are_forgotten_in_the_end() {
    let mut ledger: StockLedger = fold(&[received(&[at("MUG", "A", 1)])]);
    for nth in 0..=FINISHED_KEPT {
        let name = format!("o{nth}/1");
        ledger = ledger.evolve(&reserved(&name, &[of("MUG", 1)]));
        let released = ledger.decide(&release(&name)).unwrap();
        ledger = released.iter().fold(ledger, StockLedger::evolve);
    }
    assert_eq!(ledger.reservations.len(), FINISHED_KEPT);
    assert_eq!(ledger.reservation(&"o0/1".into()), None);
    assert_eq!(ledger.decide(&reserve("o1/1", &[of("MUG", 1)])), Err(Refusal::ReleasedBefore));
    assert_eq!(ledger.audit(), Vec::<String>::new());
}
