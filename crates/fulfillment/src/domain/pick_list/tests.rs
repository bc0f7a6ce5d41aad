//! The rules of a walk, one test each, and what no sequence of scans can break.

use nexus_es::fold;
use nexus_es::kit::given;
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000;
const MINUTE: i64 = 60_000;

fn place(zone: &str, pick_sequence: u32, bin: &str, sku: &str, lot: &str) -> Place {
    Place {
        zone: zone.to_owned(),
        pick_sequence,
        bin: bin.to_owned(),
        sku: sku.to_owned(),
        lot: lot.to_owned(),
    }
}

fn part(order: &str) -> Part {
    Part {
        order_id: order.to_owned(),
        order_number: format!("N-{order}"),
        fulfillment_id: format!("f-{order}"),
        reservation: format!("{order}/1"),
    }
}

fn share(part: usize, order_line_id: &str, units: u32) -> Split {
    Split { part, order_line_id: order_line_id.to_owned(), units }
}

fn line(line_id: &str, place: Place, split: Vec<Split>) -> Line {
    Line {
        line_id: line_id.to_owned(),
        name: place.sku.to_lowercase(),
        barcodes: vec![(format!("{}-1", place.sku), 1), (format!("{}-6", place.sku), 6)],
        units: split.iter().map(|split| split.units).sum(),
        place,
        split,
    }
}

/// Mugs for Mona (2) and Ali (2), tea for Mona (1) from lot L7.
fn generated() -> Event {
    Event::Generated {
        warehouse: "CAI".to_owned(),
        lines: vec![
            line("L1", place("A", 1, "A-1", "MUG", ""), vec![share(0, "m1", 2), share(1, "a1", 2)]),
            line("L2", place("A", 2, "A-2", "TEA", "L7"), vec![share(0, "m2", 1)]),
        ],
        parts: vec![part("mona"), part("ali")],
    }
}

fn item(sku: &str, units: u32) -> Option<Item> {
    Some(Item { sku: sku.to_owned(), units, lot: String::new(), serial: String::new() })
}

fn scan(scan_id: &str, bin: &str, item: Option<Item>) -> Command {
    scan_by("nour", scan_id, bin, item, NOW)
}

fn scan_by(picker: &str, scan_id: &str, bin: &str, item: Option<Item>, now_ms: i64) -> Command {
    let barcode = item
        .as_ref()
        .map_or_else(|| "???".to_owned(), |item| format!("{}-{}", item.sku, item.units));
    Command::Scan(Scan {
        scan_id: scan_id.to_owned(),
        bin: bin.to_owned(),
        barcode,
        item,
        picker: picker.to_owned(),
        now_ms,
    })
}

/// A list after these commands.
fn after(commands: &[Command]) -> PickList {
    commands.iter().fold(fold(&[generated()]), |list: PickList, command| {
        let events = list.decide(command).unwrap();
        events.iter().fold(list, PickList::evolve)
    })
}

/// The result of the last of these commands, a scan of this id.
fn result(commands: &[Command], scan_id: &str) -> (ScanResult, String, u32, u32) {
    let list = after(commands);
    let outcome = list.outcome(scan_id).unwrap();
    (outcome.result, outcome.line_id.clone(), outcome.picked, outcome.units)
}

fn assign(picker: &str) -> Command {
    Command::Assign { picker: picker.to_owned() }
}

fn short(line_id: &str, found: u32) -> Command {
    Command::ReportShort {
        line_id: line_id.to_owned(),
        found,
        reason: "damaged".to_owned(),
        picker: "nour".to_owned(),
        now_ms: NOW,
    }
}

fn complete() -> Command {
    Command::Complete { picker: "nour".to_owned() }
}

fn withdraw(order: &str) -> Command {
    Command::WithdrawPart { fulfillment_id: format!("f-{order}"), reason: "cancelled".to_owned() }
}

#[test]
fn a_right_scan_starts_the_walk_leases_the_line_and_counts() {
    let lease = NOW + 15 * MINUTE;
    let scanned = |scan_id: &str| {
        Event::Scanned(Scanned {
            scan_id: scan_id.to_owned(),
            line_id: "L1".to_owned(),
            bin: "A-1".to_owned(),
            barcode: "MUG-1".to_owned(),
            serial: String::new(),
            units: 1,
            picker: "nour".to_owned(),
            leased_until_ms: lease,
        })
    };
    let leased =
        Event::LineLeased { line_id: "L1".to_owned(), picker: "nour".to_owned(), until_ms: lease };
    given::<PickList>([generated()])
        .when(&scan("s1", "A-1", item("MUG", 1)))
        .then([Event::Started { picker: "nour".to_owned() }, leased, scanned("s1")])
        .when(&scan("s2", "A-1", item("MUG", 1)))
        .then([scanned("s2")])
        .when(&scan("s2", "A-1", item("MUG", 1)))
        .then_no_news();
}

#[test]
fn a_repeated_scan_id_keeps_its_first_result() {
    let twice = [
        scan("s1", "", item("MUG", 1)),
        scan("s2", "", item("MUG", 1)),
        scan("s1", "", item("POT", 1)),
    ];
    assert_eq!(result(&twice, "s1"), (ScanResult::Accepted, "L1".to_owned(), 1, 4));
    assert_eq!(after(&twice).lines[0].picked, 2);
}

#[test]
fn an_item_nobody_wants_is_wrong_and_an_unknown_barcode_is_unknown() {
    let (wrong, line, ..) = result(&[scan("s", "A-1", item("POT", 1))], "s");
    assert_eq!((wrong, line.as_str()), (ScanResult::WrongItem, "L1"));
    let (unknown, line, ..) = result(&[scan("s", "", None)], "s");
    assert_eq!((unknown, line.as_str()), (ScanResult::UnknownBarcode, "L1"));
}

#[test]
fn the_wrong_bin_is_told_with_the_right_one() {
    let list = after(&[scan("s", "B-9", item("MUG", 1))]);
    let outcome = list.outcome("s").unwrap();
    assert_eq!(outcome.result, ScanResult::WrongBin);
    let expected = Expected { bin: "A-1".to_owned(), sku: "MUG".to_owned(), lot: String::new() };
    assert_eq!(outcome.expected, Some(expected));
    // Another line's bin is as wrong for a mug.
    assert_eq!(result(&[scan("s", "A-2", item("MUG", 1))], "s").0, ScanResult::WrongBin);
}

#[test]
fn in_front_of_the_right_bin_another_lines_item_is_wrong() {
    assert_eq!(result(&[scan("s", "A-1", item("TEA", 1))], "s").0, ScanResult::WrongItem);
    assert_eq!(result(&[scan("s", "A-2", item("TEA", 1))], "s").0, ScanResult::Accepted);
}

#[test]
fn another_lot_is_wrong_and_a_barcode_without_a_lot_is_taken() {
    let lot = |lot: &str| item("TEA", 1).map(|item| Item { lot: lot.to_owned(), ..item });
    assert_eq!(result(&[scan("s", "", lot("L8"))], "s").0, ScanResult::WrongLot);
    assert_eq!(result(&[scan("s", "", lot("L7"))], "s").0, ScanResult::Accepted);
    assert_eq!(result(&[scan("s", "", item("TEA", 1))], "s").0, ScanResult::Accepted);
}

#[test]
fn a_serial_number_is_taken_once() {
    let serial = |id: &str| {
        let item = item("MUG", 1).map(|item| Item { serial: "SN1".to_owned(), ..item });
        scan(id, "", item)
    };
    assert_eq!(result(&[serial("s1"), serial("s2")], "s2").0, ScanResult::DuplicateSerial);
}

#[test]
fn a_case_past_the_demand_is_refused() {
    let refused = result(&[scan("s", "", item("MUG", 6))], "s");
    assert_eq!(refused, (ScanResult::LineComplete, "L1".to_owned(), 0, 4));
    let full = [scan("s1", "", item("MUG", 4)), scan("s2", "", item("MUG", 1))];
    assert_eq!(result(&full, "s1"), (ScanResult::Accepted, "L1".to_owned(), 4, 4));
    assert_eq!(result(&full, "s2"), (ScanResult::LineComplete, "L1".to_owned(), 4, 4));
}

#[test]
fn a_line_is_one_pickers_for_fifteen_minutes_after_each_scan() {
    let other = |id: &str, now| scan_by("omar", id, "", item("MUG", 1), now);
    let hands = [assign("nour"), scan("s1", "", item("MUG", 1)), assign("omar")];
    let list = after(&[&hands[..], &[other("s2", NOW + 14 * MINUTE)]].concat());
    let outcome = list.outcome("s2").unwrap();
    assert_eq!((outcome.result, outcome.taken_by.as_str()), (ScanResult::TakenBy, "nour"));
    let late = [&hands[..], &[other("s2", NOW + 15 * MINUTE)]].concat();
    assert_eq!(result(&late, "s2"), (ScanResult::Accepted, "L1".to_owned(), 2, 4));
}

#[test]
fn a_second_picker_gets_the_next_free_line_of_the_article() {
    let two_bins = Event::Generated {
        warehouse: "CAI".to_owned(),
        lines: vec![
            line("L1", place("A", 1, "A-1", "MUG", ""), vec![share(0, "m1", 2)]),
            line("L2", place("A", 2, "A-2", "MUG", ""), vec![share(0, "m1", 2)]),
        ],
        parts: vec![part("mona")],
    };
    let mut list = fold::<PickList>(&[two_bins]);
    for command in [assign("nour"), scan("s1", "", item("MUG", 1)), assign("omar")] {
        let events = list.decide(&command).unwrap();
        list = events.iter().fold(list, PickList::evolve);
    }
    let events = list.decide(&scan_by("omar", "s2", "", item("MUG", 1), NOW)).unwrap();
    list = events.iter().fold(list, PickList::evolve);
    assert_eq!(list.outcome("s2").unwrap().line_id, "L2");
}

#[test]
fn the_assigned_picker_scans_whoevers_key() {
    let list = after(&[assign("nour"), scan_by("key-7", "s1", "", item("MUG", 1), NOW)]);
    assert_eq!(list.lines[0].taken_by("omar", NOW), Some("nour"));
}

#[test]
fn a_finished_list_is_stale() {
    let done = [
        scan("s1", "", item("MUG", 4)),
        scan("s2", "", item("TEA", 1)),
        complete(),
        scan("s3", "", item("TEA", 1)),
    ];
    assert_eq!(result(&done, "s3").0, ScanResult::StaleList);
    let cancelled = [Command::Cancel { reason: "rain".to_owned() }, scan("s", "", item("MUG", 1))];
    assert_eq!(result(&cancelled, "s").0, ScanResult::StaleList);
}

#[test]
fn open_lines_are_named_when_a_list_is_completed_too_early() {
    let history = fold_events(&[scan("s1", "", item("MUG", 4))]);
    let open = OpenLine {
        line_id: "L2".to_owned(),
        bin: "A-2".to_owned(),
        sku: "TEA".to_owned(),
        left: 1,
    };
    given::<PickList>(history).when(&complete()).then_refused(Refusal::OpenLines(vec![open]));
}

#[test]
fn the_last_orders_are_short_first() {
    let commands = [
        scan("s1", "", item("MUG", 1)),
        scan("s2", "", item("MUG", 1)),
        scan("s3", "", item("MUG", 1)),
        short("L1", 3),
        short("L2", 0),
    ];
    let take = |order_line_id: &str, sku: &str, bin: &str, lot: &str, picked, short| Take {
        order_line_id: order_line_id.to_owned(),
        sku: sku.to_owned(),
        bin: bin.to_owned(),
        lot: lot.to_owned(),
        picked,
        short,
    };
    let part = |order: &str, takes| PartTakes {
        fulfillment_id: format!("f-{order}"),
        order_id: order.to_owned(),
        reservation: format!("{order}/1"),
        takes,
    };
    let mona = vec![take("m1", "MUG", "A-1", "", 2, 0), take("m2", "TEA", "A-2", "L7", 0, 1)];
    let ali = vec![take("a1", "MUG", "A-1", "", 1, 1)];
    given::<PickList>(fold_events(&commands)).when(&complete()).then([Event::Completed {
        picker: "nour".to_owned(),
        parts: vec![part("mona", mona), part("ali", ali)],
    }]);
}

#[test]
fn a_short_line_takes_what_was_found_and_no_more() {
    let found_two =
        [short("L1", 2), scan("s1", "", item("MUG", 2)), scan("s2", "", item("MUG", 1))];
    assert_eq!(result(&found_two, "s1").0, ScanResult::Accepted);
    assert_eq!(result(&found_two, "s2").0, ScanResult::LineComplete);
}

#[test]
fn a_short_report_must_make_sense() {
    let history = || fold_events(&[scan("s1", "", item("MUG", 2))]);
    let asked = |command: &Command, refusal| {
        given::<PickList>(history()).when(command).then_refused(refusal);
    };
    asked(&short("L1", 1), Refusal::FoundLessThanScanned { picked: 2 });
    asked(&short("L1", 4), Refusal::NothingMissing { units: 4 });
    asked(&short("L9", 0), Refusal::UnknownLine { line_id: "L9".to_owned() });
    let silent = Command::ReportShort {
        line_id: "L1".to_owned(),
        found: 2,
        reason: " ".to_owned(),
        picker: "nour".to_owned(),
        now_ms: NOW,
    };
    asked(&silent, Refusal::NoReason);
}

#[test]
fn a_cancelled_orders_units_leave_the_list_at_once() {
    let list = after(&[scan("s1", "", item("MUG", 3)), withdraw("mona")]);
    assert_eq!((list.lines[0].line.units, list.lines[0].picked), (2, 2));
    let left_over = vec![SkuUnits { sku: "MUG".to_owned(), units: 1 }];
    assert_eq!(list.to_put_back("f-mona"), left_over);
    let stale = result(&[withdraw("mona"), scan("s1", "", item("TEA", 1))], "s1");
    assert_eq!(stale.0, ScanResult::StaleList);
}

#[test]
fn a_list_without_orders_is_cancelled() {
    let withdrawn = Event::OrderWithdrawn {
        order_id: "ali".to_owned(),
        fulfillment_id: "f-ali".to_owned(),
        reason: "cancelled".to_owned(),
    };
    let ended = Event::Cancelled { reason: "cancelled".to_owned(), fulfillment_ids: vec![] };
    given::<PickList>(fold_events(&[withdraw("mona")]))
        .when(&withdraw("ali"))
        .then([withdrawn, ended])
        .when(&withdraw("ali"))
        .then_no_news();
}

#[test]
fn a_completed_list_lets_no_order_go() {
    let done = [scan("s1", "", item("MUG", 4)), scan("s2", "", item("TEA", 1)), complete()];
    given::<PickList>(fold_events(&done))
        .when(&withdraw("mona"))
        .then_refused(Refusal::Over(Status::Completed));
}

#[test]
fn lines_follow_the_walk_and_merge_what_several_orders_want() {
    let wanted = |lines: &[(&str, &str, u32)], places: &[(Place, u32)]| Wanted {
        lines: lines.iter().map(|(id, sku, n)| ((*id).to_owned(), (*sku).to_owned(), *n)).collect(),
        places: places.to_vec(),
    };
    let mug_near = place("A", 2, "A-2", "MUG", "");
    let mug_far = place("B", 1, "B-1", "MUG", "");
    let tea = place("A", 1, "A-1", "TEA", "");
    let lines = walk(&[
        wanted(
            &[("m1", "MUG", 2), ("m2", "MUG", 1), ("m3", "TEA", 1)],
            &[(mug_far.clone(), 1), (mug_near.clone(), 2), (tea.clone(), 1)],
        ),
        wanted(&[("a1", "MUG", 4)], &[(mug_near.clone(), 4)]),
    ]);
    let shown: Vec<_> =
        lines.iter().map(|l| (l.line_id.as_str(), &l.place, l.units, l.split.clone())).collect();
    assert_eq!(
        shown,
        [
            ("L0001", &tea, 1, vec![share(0, "m3", 1)]),
            ("L0002", &mug_near, 6, vec![share(0, "m1", 2), share(1, "a1", 4)]),
            ("L0003", &mug_far, 1, vec![share(0, "m2", 1)]),
        ]
    );
}

/// The events that these commands lead to, from the list's beginning.
fn fold_events(commands: &[Command]) -> Vec<Event> {
    let mut events = vec![generated()];
    for command in commands {
        let list = fold::<PickList>(&events);
        events.extend(list.decide(command).unwrap());
    }
    events
}

fn any_command() -> impl Strategy<Value = Command> {
    let any_scan = (0_u32..40, 0_usize..3, 0_usize..4, 1_u32..4, 0_usize..3, 0_i64..40);
    let scans = any_scan.prop_map(|(id, bin, sku, units, picker, minutes)| {
        let item = ["MUG", "TEA", "POT"].get(sku).and_then(|sku| item(sku, units));
        let serial = if id % 3 == 0 { format!("SN{}", id % 5) } else { String::new() };
        let lot = if id % 4 == 0 { format!("L{}", 7 + id % 2) } else { String::new() };
        let item = item.map(|item| Item { serial, lot, ..item });
        let picker = ["nour", "omar", "sara"][picker];
        scan_by(picker, &format!("s{id}"), ["", "A-1", "A-2"][bin], item, NOW + minutes * MINUTE)
    });
    prop_oneof![
        8 => scans,
        1 => (0_usize..3).prop_map(|picker| assign(["nour", "omar", "sara"][picker])),
        1 => (0_usize..2, 0_u32..5).prop_map(|(line, found)| short(["L1", "L2"][line], found)),
        1 => Just(complete()),
        1 => (0_usize..2).prop_map(|order| withdraw(["mona", "ali"][order])),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_scans_takes_more_than_is_wanted(
        commands in prop::collection::vec(any_command(), 0..60),
    ) {
        let mut list = fold::<PickList>(&[generated()]);
        let (mut accepted, mut put_back) = (0, 0);
        let mut seen = BTreeSet::new();
        for command in &commands {
            let Ok(events) = list.decide(command) else { continue };
            for event in &events {
                match event {
                    Event::Scanned(scanned) => {
                        prop_assert!(seen.insert(scanned.scan_id.clone()), "counted twice");
                        accepted += scanned.units;
                    }
                    Event::ScanRefused(refused) => {
                        prop_assert!(seen.insert(refused.scan_id.clone()), "told twice");
                    }
                    Event::Completed { parts, .. } => {
                        let takes = parts.iter().flat_map(|part| &part.takes);
                        let (picked, short) = takes.fold((0, 0), |(p, s), take| {
                            (p + take.picked, s + take.short)
                        });
                        let units: u32 = list.lines.iter().map(|line| line.line.units).sum();
                        prop_assert_eq!(picked + short, units);
                        prop_assert_eq!(picked + put_back, accepted);
                    }
                    Event::Generated { .. }
                    | Event::Assigned { .. }
                    | Event::Started { .. }
                    | Event::LineLeased { .. }
                    | Event::ShortPicked { .. }
                    | Event::Cancelled { .. }
                    | Event::OrderWithdrawn { .. } => {}
                }
            }
            list = events.iter().fold(list, PickList::evolve);
            let back = list.withdrawn.values().flatten().map(|item| item.units);
            put_back = back.sum();
            let mut picked = 0;
            for line in &list.lines {
                prop_assert!(line.picked + line.short <= line.line.units);
                picked += line.picked;
            }
            prop_assert_eq!(picked + put_back, accepted);
        }
    }
}
