//! The rules of a fulfilment, one test each.

use nexus_es::kit::given;
use proptest::prelude::*;

use super::*;

fn opened() -> Event {
    Event::Opened(Opened {
        order_id: "mona".to_owned(),
        order_number: "1001".to_owned(),
        warehouse: "CAI".to_owned(),
        reservation: "mona/1".to_owned(),
        lines: vec![line("l1", "MUG", 3), line("l2", "MUG", 1), line("l3", "TEA", 2)],
    })
}

fn line(line_id: &str, sku: &str, units: u32) -> OrderLine {
    OrderLine { line_id: line_id.to_owned(), sku: sku.to_owned(), name: sku.to_lowercase(), units }
}

fn listed(pick_list_id: &str) -> Event {
    Event::Listed { pick_list_id: pick_list_id.to_owned(), order_id: "mona".to_owned() }
}

fn list(pick_list_id: &str) -> Command {
    Command::List { pick_list_id: pick_list_id.to_owned() }
}

fn taken(units: [u32; 3]) -> Vec<(String, u32)> {
    ["l1", "l2", "l3"].iter().zip(units).map(|(id, units)| ((*id).to_owned(), units)).collect()
}

fn record(units: [u32; 3]) -> Command {
    Command::RecordPick { pick_list_id: "walk".to_owned(), taken: taken(units) }
}

fn picked_lines(units: [u32; 3]) -> Vec<PickedLine> {
    let wanted = [("l1", "MUG", 3), ("l2", "MUG", 1), ("l3", "TEA", 2)];
    wanted
        .iter()
        .zip(units)
        .map(|((line_id, sku, wanted), picked)| PickedLine {
            line_id: (*line_id).to_owned(),
            sku: (*sku).to_owned(),
            picked,
            short: wanted - picked,
        })
        .collect()
}

fn picked(units: [u32; 3]) -> Event {
    Event::Picked {
        pick_list_id: "walk".to_owned(),
        order_id: "mona".to_owned(),
        lines: picked_lines(units),
    }
}

fn parcel(parcel_id: &str, contents: &[(&str, u32)]) -> Parcel {
    let contents =
        contents.iter().map(|(sku, units)| SkuUnits { sku: (*sku).to_owned(), units: *units });
    Parcel {
        parcel_id: parcel_id.to_owned(),
        box_type: String::new(),
        weight_grams: 500,
        dimensions: None,
        contents: contents.collect(),
    }
}

fn packed(parcels: Vec<Parcel>) -> Event {
    Event::Packed { order_id: "mona".to_owned(), parcels }
}

fn withdraw() -> Command {
    Command::Withdraw {
        order_id: "mona".to_owned(),
        reason: "changed her mind".to_owned(),
        to_put_back: vec![],
    }
}

fn withdrawn(reason: &str) -> Event {
    Event::Withdrawn { order_id: "mona".to_owned(), reason: reason.to_owned(), to_put_back: vec![] }
}

#[test]
fn goods_stand_on_one_list_at_a_time() {
    given::<Fulfillment>([opened()])
        .when(&list("walk"))
        .then([listed("walk")])
        .when(&list("walk"))
        .then_no_news()
        .when(&list("other"))
        .then_refused(Refusal::ListedElsewhere { pick_list_id: "walk".to_owned() });
}

#[test]
fn a_cancelled_list_makes_them_ready_again() {
    let unlist =
        |id: &str| Command::Unlist { pick_list_id: id.to_owned(), reason: "rain".to_owned() };
    let unlisted = Event::Unlisted {
        pick_list_id: "walk".to_owned(),
        order_id: "mona".to_owned(),
        reason: "rain".to_owned(),
    };
    given::<Fulfillment>([opened(), listed("walk")])
        .when(&unlist("other"))
        .then_no_news()
        .when(&unlist("walk"))
        .then([unlisted])
        .when(&list("next"))
        .then([listed("next")]);
}

#[test]
fn what_was_not_taken_is_short() {
    given::<Fulfillment>([opened(), listed("walk")])
        .when(&record([3, 0, 1]))
        .then([picked([3, 0, 1])])
        .when(&record([3, 0, 1]))
        .then_no_news();
}

#[test]
fn a_completed_list_that_is_heard_before_the_listing_lists_it_too() {
    given::<Fulfillment>([opened()])
        .when(&record([3, 1, 2]))
        .then([listed("walk"), picked([3, 1, 2])])
        .when(&list("walk"))
        .then_no_news();
}

#[test]
fn nothing_found_ends_the_part_without_a_parcel() {
    given::<Fulfillment>([opened(), listed("walk")])
        .when(&record([0, 0, 0]))
        .then([picked([0, 0, 0]), withdrawn("none of its goods were found")])
        .when(&record([0, 0, 0]))
        .then_no_news();
}

#[test]
fn a_dispute_ends_when_the_ledger_books_the_pick_after_all() {
    let disputed = Event::PickDisputed {
        pick_list_id: "walk".to_owned(),
        order_id: "mona".to_owned(),
        reason: "NOT_HELD".to_owned(),
        lines: picked_lines([3, 1, 2]),
    };
    let dispute = Command::DisputePick {
        pick_list_id: "walk".to_owned(),
        reason: "NOT_HELD".to_owned(),
        taken: taken([3, 1, 2]),
    };
    given::<Fulfillment>([opened(), listed("walk"), disputed.clone()])
        .when(&Command::Pack { parcels: vec![] })
        .then_refused(Refusal::Disputed { reason: "NOT_HELD".to_owned() });
    given::<Fulfillment>([opened(), listed("walk")])
        .when(&dispute)
        .then([disputed])
        .when(&dispute)
        .then_no_news()
        .when(&record([3, 1, 2]))
        .then([picked([3, 1, 2])]);
}

#[test]
fn parcels_hold_exactly_what_was_picked() {
    let history = || [opened(), listed("walk"), picked([3, 1, 1])];
    let all = vec![parcel("p1", &[("MUG", 4)]), parcel("p2", &[("TEA", 1)])];
    given::<Fulfillment>(history())
        .when(&Command::Pack { parcels: vec![parcel("p1", &[("MUG", 3), ("TEA", 2), ("POT", 1)])] })
        .then_refused(Refusal::ContentsDiffer(vec![
            Difference { sku: "MUG".to_owned(), picked: 4, packed: 3 },
            Difference { sku: "POT".to_owned(), picked: 0, packed: 1 },
            Difference { sku: "TEA".to_owned(), picked: 1, packed: 2 },
        ]));
    given::<Fulfillment>(history())
        .when(&Command::Pack { parcels: all.clone() })
        .then([packed(all.clone())])
        .when(&Command::Pack { parcels: all })
        .then_no_news()
        .when(&Command::Pack { parcels: vec![parcel("p1", &[("MUG", 4), ("TEA", 1)])] })
        .then_refused(Refusal::PackedOtherwise);
}

#[test]
fn goods_that_are_not_picked_cannot_be_packed() {
    given::<Fulfillment>([opened(), listed("walk")])
        .when(&Command::Pack { parcels: vec![parcel("p1", &[("MUG", 4)])] })
        .then_refused(Refusal::Past(Stage::Listed));
    given::<Fulfillment>([])
        .when(&Command::Pack { parcels: vec![] })
        .then_refused(Refusal::NotOpened);
}

#[test]
fn the_last_parcel_hands_the_whole_over() {
    let hand_over = |parcel: &str| Command::HandOver {
        parcel_id: parcel.to_owned(),
        shipment_id: format!("s-{parcel}"),
    };
    let handed_over = |parcel: &str, last| Event::HandedOver {
        order_id: "mona".to_owned(),
        parcel_id: parcel.to_owned(),
        shipment_id: format!("s-{parcel}"),
        last,
    };
    let parcels = vec![parcel("p1", &[("MUG", 4)]), parcel("p2", &[("TEA", 2)])];
    given::<Fulfillment>([opened(), listed("walk"), picked([3, 1, 2]), packed(parcels)])
        .when(&hand_over("p2"))
        .then([handed_over("p2", false)])
        .when(&hand_over("p2"))
        .then_no_news()
        .when(&hand_over("p1"))
        .then([handed_over("p1", true)])
        .when(&hand_over("p1"))
        .then_no_news();
}

#[test]
fn a_cancelled_order_withdraws_until_its_goods_are_picked() {
    given::<Fulfillment>([opened(), listed("walk")])
        .when(&withdraw())
        .then([withdrawn("changed her mind")])
        .when(&withdraw())
        .then_no_news()
        .when(&list("walk"))
        .then_refused(Refusal::Past(Stage::Withdrawn));
    given::<Fulfillment>([opened(), listed("walk"), picked([3, 1, 2])])
        .when(&withdraw())
        .then_refused(Refusal::Past(Stage::Picked));
}

#[test]
fn a_cancellation_heard_before_the_opening_holds() {
    let Event::Opened(opening) = opened() else { unreachable!() };
    given::<Fulfillment>([])
        .when(&withdraw())
        .then([withdrawn("changed her mind")])
        .when(&Command::Open(opening))
        .then_no_news();
}

proptest! {
    #[test]
    fn picked_and_short_are_together_what_was_wanted(units in prop::array::uniform3(0_u32..6)) {
        let state = nexus_es::fold::<Fulfillment>(&[opened(), listed("walk")]);
        let events = state.decide(&record(units)).unwrap();
        for (line, picked) in state.opened.lines.iter().zip(state.evolve_all(&events).picked) {
            prop_assert_eq!(line.units, picked.picked + picked.short);
        }
    }
}

impl Fulfillment {
    fn evolve_all(&self, events: &[Event]) -> Self {
        events.iter().fold(self.clone(), Self::evolve)
    }
}
