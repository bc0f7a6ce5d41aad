//! What happens to an order, and what cannot.

use nexus_es::kit::{Given, given};
use nexus_es::{Decider, fold};
use proptest::prelude::*;

use super::parts::{Exception, Report};
use super::*;
use crate::domain::AllocatedLine;

fn created() -> Event {
    Event::Created(Box::new(Placed { number: "NX-1001".to_owned(), ..Placed::default() }))
}

fn allocation(warehouses: &[&str]) -> Vec<Allocation> {
    let line = |line_id: &str| AllocatedLine {
        line_id: line_id.to_owned(),
        sku: "MUG-RED".to_owned(),
        units: 2,
    };
    warehouses
        .iter()
        .map(|warehouse| Allocation { warehouse: (*warehouse).to_owned(), lines: vec![line("1")] })
        .collect()
}

fn requested(attempt: u32) -> Event {
    Event::ConfirmationRequested { attempt }
}

fn confirmed(warehouses: &[&str]) -> Event {
    Event::Confirmed { attempt: 1, allocation: allocation(warehouses), unstocked_line_ids: vec![] }
}

fn confirm(attempt: u32) -> Command {
    Command::Confirm { attempt, allocation: allocation(&["CAIRO"]), unstocked_line_ids: vec![] }
}

fn cancel() -> Command {
    Command::Cancel { reason: "changed her mind".to_owned() }
}

fn cancel_requested() -> Event {
    Event::CancelRequested { reason: "changed her mind".to_owned() }
}

fn cancelled() -> Event {
    Event::Cancelled { reason: "changed her mind".to_owned() }
}

fn fact(kind: Kind, part_id: &str, sequence: u64, report: Report) -> Fact {
    let parent = if kind == Kind::Shipment { "f-CAIRO" } else { "" };
    Fact {
        part_id: part_id.to_owned(),
        kind,
        parent: parent.to_owned(),
        warehouse: part_id.strip_prefix("f-").unwrap_or_default().to_owned(),
        units: 2,
        parcels: 0,
        sequence,
        report,
        tracking_status: String::new(),
        tracking_number: String::new(),
        cause: vec![1],
        cause_type: "fulfillment.Picked".to_owned(),
        happened_at_ms: 5,
    }
}

fn fulfillment(sequence: u64, stage: Stage) -> Fact {
    let parcels = if stage == Stage::Packed { 2 } else { 0 };
    Fact { parcels, ..fact(Kind::Fulfillment, "f-CAIRO", sequence, Report::Reached(stage)) }
}

fn shipment(part_id: &str, sequence: u64, stage: Stage) -> Fact {
    fact(Kind::Shipment, part_id, sequence, Report::Reached(stage))
}

fn progressed(fact: Fact) -> Event {
    Event::PartProgressed(Box::new(fact))
}

fn order(facts: &[Fact]) -> Order {
    let mut events = vec![created(), requested(1), confirmed(&["CAIRO"])];
    events.extend(facts.iter().cloned().map(progressed));
    fold(&events)
}

fn in_cairo(more: impl IntoIterator<Item = Event>) -> Given<Order> {
    given([created(), requested(1), confirmed(&["CAIRO"])].into_iter().chain(more))
}

fn headline(facts: &[Fact]) -> &'static str {
    order(facts).headline().word()
}

#[test]
fn an_order_is_created_once() {
    let create = || Command::Create(Box::default());
    given::<Order>([]).when(&create()).then([Event::Created(Box::default())]);
    given::<Order>([created()]).when(&create()).then_refused(Refusal::Exists);
    given::<Order>([]).when(&Command::RequestConfirmation).then_refused(Refusal::Unknown);
}

#[test]
fn confirming_asks_once_and_each_new_try_is_a_new_attempt() {
    let refused =
        Event::ConfirmationRefused { attempt: 1, reason: "STOCK_SHORT".to_owned(), lines: vec![] };
    given::<Order>([created()])
        .when(&Command::RequestConfirmation)
        .then([requested(1)])
        .when(&Command::RequestConfirmation)
        .then_no_news();
    given::<Order>([created(), requested(1), refused])
        .when(&Command::RequestConfirmation)
        .then([requested(2)]);
    in_cairo([]).when(&Command::RequestConfirmation).then_no_news();
    given::<Order>([created(), cancelled()])
        .when(&Command::RequestConfirmation)
        .then_refused(Refusal::NotConfirmable { status: "cancelled" });
}

#[test]
fn only_the_attempt_that_is_waited_for_confirms() {
    given::<Order>([created(), requested(1)])
        .when(&confirm(1))
        .then([confirmed(&["CAIRO"])])
        .when(&confirm(1))
        .then_no_news();
    given::<Order>([created(), requested(1), requested(2)])
        .when(&confirm(1))
        .then_refused(Refusal::NotAsked { attempt: 1 });
    let refused =
        Event::ConfirmationRefused { attempt: 1, reason: "TIMED_OUT".to_owned(), lines: vec![] };
    given::<Order>([created(), requested(1), refused])
        .when(&confirm(1))
        .then_refused(Refusal::NotAsked { attempt: 1 });
}

#[test]
fn a_refused_confirmation_leaves_the_order_pending() {
    let short = Shortage { sku: "MUG-RED".to_owned(), asked: 2, available: 1 };
    let refuse = Command::RefuseConfirmation {
        attempt: 1,
        reason: "STOCK_SHORT".to_owned(),
        lines: vec![short.clone()],
    };
    let refused = Event::ConfirmationRefused {
        attempt: 1,
        reason: "STOCK_SHORT".to_owned(),
        lines: vec![short],
    };
    given::<Order>([created(), requested(1)])
        .when(&refuse)
        .then([refused])
        .when(&refuse)
        .then_no_news();
    in_cairo([]).when(&refuse).then_refused(Refusal::NotAsked { attempt: 1 });
}

#[test]
fn pending_is_cancelled_at_once_and_cancelling_twice_is_no_news() {
    given::<Order>([created()]).when(&cancel()).then([cancelled()]).when(&cancel()).then_no_news();
}

#[test]
fn a_cancel_while_confirming_waits_for_the_stock_answer() {
    given::<Order>([created(), requested(1), cancel_requested()])
        .when(&confirm(1))
        .then_refused(Refusal::CancelRequested);
    given::<Order>([created(), requested(1)])
        .when(&cancel())
        .then([cancel_requested()])
        .when(&Command::FinishCancel)
        .then([cancelled()])
        .when(&Command::FinishCancel)
        .then_no_news();
}

#[test]
fn a_confirmed_order_is_cancelled_in_two_steps_and_one_in_work_not_at_all() {
    in_cairo([]).when(&cancel()).then([cancel_requested()]);
    in_cairo([progressed(fulfillment(1, Stage::Confirmed))])
        .when(&cancel())
        .then([cancel_requested()]);
    in_cairo([progressed(fulfillment(2, Stage::Processing))])
        .when(&cancel())
        .then_refused(Refusal::NotCancellable { status: "processing" });
}

#[test]
fn lines_are_amended_while_pending_and_the_address_until_a_shipment_knows_it() {
    let to_giza = || {
        let recipient = Some(SealedValue::default());
        Amendment { reason: "moved".to_owned(), recipient, ..Amendment::default() }
    };
    let line = Line {
        line_id: "2".to_owned(),
        sku: "TEA".to_owned(),
        name: "Tea".to_owned(),
        units: 1,
        unit_price: 0,
        discount: 0,
        tax_rate: 0,
        line_total: 0,
        tax: 0,
    };
    let more = || Amendment { lines: vec![line.clone()], ..to_giza() };
    let amend = |it: Amendment| Command::Amend { amendment: Box::new(it), base: 0 };
    let amended = |it: Amendment| Event::Amended(Box::new(it));
    given::<Order>([]).when(&amend(more())).then_refused(Refusal::Unknown);
    given::<Order>([created()])
        .when(&amend(more()))
        .then([amended(more())])
        .when(&amend(more()))
        .then_refused(Refusal::AmendedMeanwhile);
    in_cairo([])
        .when(&amend(more()))
        .then_refused(Refusal::NotAmendable { status: "confirmed", what: "lines" });
    in_cairo([]).when(&amend(to_giza())).then([amended(to_giza())]);
    in_cairo([progressed(shipment("a", 1, Stage::Packed))])
        .when(&amend(to_giza()))
        .then_refused(Refusal::NotAmendable { status: "confirmed", what: "shipping_address" });
    let note = Amendment { recipient: None, ..to_giza() };
    given::<Order>([created(), cancelled()]).when(&amend(note.clone())).then([amended(note)]);
}

#[test]
fn several_holds_stand_at_once_and_the_last_release_resumes() {
    let hold = |name: &str| Hold { name: name.to_owned(), reason: "fraud".to_owned(), until_ms: 0 };
    let release = |name: &str| Command::Release { name: name.to_owned(), lapsed: false };
    let released = |name: &str| Event::Released { name: name.to_owned(), lapsed: false };
    let held: Order = fold(&[created(), Event::Held(hold("fraud")), Event::Held(hold("address"))]);
    assert_eq!(held.headline(), Headline::OnHold);
    given::<Order>([created(), Event::Held(hold("fraud")), Event::Held(hold("address"))])
        .when(&Command::Hold(hold("fraud")))
        .then_no_news()
        .when(&release("fraud"))
        .then([released("fraud")])
        .when(&Command::RequestConfirmation)
        .then_refused(Refusal::OnHold { names: vec!["address".to_owned()] });
    given::<Order>([created()])
        .when(&release("fraud"))
        .then_refused(Refusal::NoSuchHold { name: "fraud".to_owned() });
    in_cairo([
        progressed(fulfillment(4, Stage::Packed)),
        progressed(shipment("a", 2, Stage::Shipped)),
    ])
    .when(&Command::Hold(hold("late")))
    .then([Event::Held(hold("late"))]);
    given::<Order>([created(), cancelled()])
        .when(&Command::Hold(hold("late")))
        .then_refused(Refusal::NotHoldable { status: "cancelled" });
}

#[test]
fn the_headline_follows_the_goods_from_confirmed_to_delivered() {
    let steps = [
        (fulfillment(1, Stage::Confirmed), "confirmed"),
        (fulfillment(2, Stage::Processing), "processing"),
        (fulfillment(3, Stage::Picked), "picked"),
        (fulfillment(4, Stage::Packed), "packed"),
        (shipment("a", 1, Stage::Packed), "packed"),
        (shipment("a", 2, Stage::Shipped), "packed"),
        (shipment("b", 1, Stage::Packed), "packed"),
        (shipment("b", 2, Stage::Shipped), "shipped"),
        (shipment("a", 3, Stage::Delivered), "shipped"),
        (shipment("b", 3, Stage::Delivered), "delivered"),
    ];
    let mut facts = Vec::new();
    assert_eq!(headline(&facts), "confirmed");
    for (fact, expected) in steps {
        facts.push(fact);
        assert_eq!(headline(&facts), expected, "{facts:?}");
    }
}

#[test]
fn an_order_is_as_far_as_its_least_advanced_part_and_says_how_many_are_further() {
    let facts = [
        fulfillment(4, Stage::Packed),
        shipment("a", 3, Stage::Delivered),
        shipment("b", 2, Stage::Shipped),
    ];
    assert_eq!(order(&facts).standing().progress().as_deref(), Some("1 of 2 delivered"));
    let two = [created(), requested(1), confirmed(&["CAIRO", "GIZA"])];
    let order: Order = fold(two.iter().chain(&[progressed(fulfillment(3, Stage::Picked))]));
    assert_eq!(order.headline().word(), "confirmed");
    assert_eq!(order.standing().progress().as_deref(), Some("1 of 2 picked"));
}

#[test]
fn a_failed_attempt_shows_until_the_next_forward_update() {
    let failed = fact(Kind::Shipment, "a", 3, Report::Exception("DELIVERY_FAILED".to_owned()));
    let packed = Fact { parcels: 1, ..fulfillment(4, Stage::Packed) };
    let mut facts = vec![packed, shipment("a", 2, Stage::Shipped), failed];
    assert_eq!(headline(&facts), "exception");
    facts.push(shipment("a", 4, Stage::Shipped));
    assert_eq!(headline(&facts), "shipped");
}

#[test]
fn a_cancelled_shipment_does_not_count_and_its_parcel_lies_packed_again() {
    let packed = Fact { parcels: 1, ..fulfillment(4, Stage::Packed) };
    let facts = [packed.clone(), shipment("a", 1, Stage::Cancelled)];
    assert_eq!(headline(&facts), "packed");
    let facts = [packed, shipment("a", 1, Stage::Cancelled), shipment("b", 2, Stage::Shipped)];
    assert_eq!(headline(&facts), "shipped");
}

#[test]
fn an_order_of_which_nothing_was_found_waits_for_a_person_and_can_be_cancelled_or_held() {
    let withdrawn = fulfillment(4, Stage::Cancelled);
    let nothing = order(std::slice::from_ref(&withdrawn));
    assert_eq!(nothing.headline(), Headline::Exception);
    let exceptions = nothing.standing().exceptions();
    let why = Exception { reason: "NOTHING_PICKED".to_owned(), since_ms: 5 };
    assert_eq!(exceptions, [("f-CAIRO", why)]);
    let hold = Hold { name: "ask".to_owned(), reason: "ask her".to_owned(), until_ms: 0 };
    in_cairo([progressed(withdrawn.clone())])
        .when(&Command::Hold(hold.clone()))
        .then([Event::Held(hold)])
        .when(&cancel())
        .then([cancel_requested()])
        .when(&Command::FinishCancel)
        .then([cancelled()]);
    // What was withdrawn because of a cancel is no exception.
    let history = [created(), requested(1), confirmed(&["CAIRO"]), cancel_requested()];
    let cancelling: Order = fold(history.iter().chain(&[progressed(withdrawn)]));
    assert_eq!(cancelling.headline(), Headline::Cancelled);
    assert_eq!(cancelling.standing().exceptions(), []);
}

#[test]
fn a_part_that_was_withdrawn_does_not_count_beside_one_that_goes_on() {
    let two = [created(), requested(1), confirmed(&["CAIRO", "GIZA"])];
    let in_giza = |stage| fact(Kind::Fulfillment, "f-GIZA", 3, Report::Reached(stage));
    let withdrawn = progressed(fulfillment(4, Stage::Cancelled));
    let order: Order = fold(two.iter().chain(std::slice::from_ref(&withdrawn)));
    assert_eq!(order.headline().word(), "confirmed", "Giza is still to be heard of");
    let picked = progressed(in_giza(Stage::Picked));
    let order: Order = fold(two.iter().chain(&[picked, withdrawn.clone()]));
    assert_eq!(order.headline().word(), "picked");
    let both = [withdrawn, progressed(in_giza(Stage::Cancelled))];
    let order: Order = fold(two.iter().chain(&both));
    assert_eq!(order.headline(), Headline::Exception);
    assert_eq!(order.standing().exceptions().len(), 2);
}

#[test]
fn a_delivered_order_is_closed_and_can_still_come_back() {
    let packed = Fact { parcels: 1, ..fulfillment(4, Stage::Packed) };
    let delivered = shipment("a", 3, Stage::Delivered);
    in_cairo([progressed(packed.clone())])
        .when(&Command::Progress(Box::new(delivered.clone())))
        .then([progressed(delivered.clone()), Event::Closed { outcome: "delivered".to_owned() }]);
    let facts = [packed, delivered, shipment("a", 4, Stage::Returning)];
    assert_eq!(headline(&facts), "returning");
}

#[test]
fn a_late_or_repeated_fact_is_no_news() {
    let picked = fulfillment(3, Stage::Picked);
    in_cairo([progressed(picked.clone())])
        .when(&Command::Progress(Box::new(picked)))
        .then_no_news()
        .when(&Command::Progress(Box::new(fulfillment(2, Stage::Processing))))
        .then_no_news();
}

#[test]
fn a_broken_promise_shows_until_the_goods_are_picked_all_the_same() {
    let broken = Fact {
        warehouse: "CAIRO".to_owned(),
        ..fact(Kind::Promise, "o/1", 9, Report::Exception("PROMISE_BROKEN".to_owned()))
    };
    assert_eq!(headline(std::slice::from_ref(&broken)), "exception");
    assert_eq!(headline(&[broken, fulfillment(3, Stage::Picked)]), "picked");
}

/// The facts of one order of two parcels, each part's in its own order.
fn history() -> Vec<Fact> {
    let failed =
        |part: &str| fact(Kind::Shipment, part, 4, Report::Exception("DELIVERY_FAILED".to_owned()));
    vec![
        fulfillment(1, Stage::Confirmed),
        fulfillment(2, Stage::Processing),
        fulfillment(3, Stage::Confirmed),
        fulfillment(4, Stage::Processing),
        fulfillment(5, Stage::Picked),
        fulfillment(6, Stage::Packed),
        shipment("a", 1, Stage::Packed),
        shipment("a", 3, Stage::Shipped),
        failed("a"),
        shipment("a", 5, Stage::Shipped),
        shipment("a", 6, Stage::Delivered),
        shipment("b", 1, Stage::Packed),
        shipment("b", 2, Stage::Cancelled),
        shipment("c", 1, Stage::Packed),
        shipment("c", 2, Stage::Shipped),
        failed("c"),
        shipment("c", 7, Stage::Returning),
    ]
}

fn rank(word: &str) -> Option<Stage> {
    Stage::parse(word)
}

proptest! {
    #[test]
    fn any_order_and_repetition_of_facts_gives_the_same_parts_and_headline(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let all = history();
        // Shuffled with repeats, then everything once more so that nothing is missing.
        let shuffled: Vec<_> = picks.iter().map(|pick| pick.get(&all).clone()).collect();
        let mut state = order(&[]);
        for fact in shuffled.iter().chain(all.iter().rev()) {
            let events = state.decide(&Command::Progress(Box::new(fact.clone()))).unwrap();
            state = events.iter().fold(state, Order::evolve);
        }
        let straight = order(&all);
        prop_assert_eq!(&state.parts, &straight.parts);
        prop_assert_eq!(state.headline(), straight.headline());
    }

    #[test]
    fn no_fact_takes_the_headline_past_a_part_that_is_behind(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let all = history();
        let facts: Vec<_> = picks.iter().map(|pick| pick.get(&all).clone()).collect();
        let state = order(&facts);
        let fulfilled = state.parts.get("f-CAIRO").map_or(Stage::Confirmed, |part| part.stage());
        if let Some(stage) = rank(state.headline().word())
            && stage > Stage::Packed
        {
            prop_assert!(fulfilled >= Stage::Packed, "{:?} while {:?}", stage, fulfilled);
        }
    }
}
