//! The rules of a shipment, and what no order of updates can change.

use nexus_es::fold;
use nexus_es::kit::given;
use proptest::prelude::*;

use super::*;

fn plan() -> Plan {
    Plan {
        order_id: "order".to_owned(),
        account: "main".to_owned(),
        courier: CourierKind::Bosta,
        cod: 4_500_000,
        currency: "EGP".to_owned(),
        reference: "nx-1".to_owned(),
        ..Plan::default()
    }
}

fn plan_it() -> Command {
    Command::Plan { plan: Box::new(plan()), then: Then::AskCourier { request_hash: vec![1] } }
}

fn planned() -> Event {
    Event::Planned(Box::new(plan()))
}

fn requested(attempt: u32, reference: &str) -> Event {
    Event::AwbRequested { attempt, reference: reference.to_owned(), request_hash: vec![1] }
}

fn awb(number: &str) -> Awb {
    Awb {
        awb: number.to_owned(),
        tracking_number: number.to_owned(),
        delivery_id: format!("id-{number}"),
        tracking_url: String::new(),
    }
}

fn issued(attempt: u32, number: &str) -> Event {
    Event::AwbIssued { attempt, awb: awb(number), adopted: false, order_id: "order".to_owned() }
}

fn live() -> Vec<Event> {
    vec![planned(), requested(1, "nx-1"), issued(1, "500")]
}

fn handed_over() -> Event {
    Event::HandedOver(HandedOver {
        at_ms: 9,
        order_id: "order".to_owned(),
        ..HandedOver::default()
    })
}

fn hand_over() -> Command {
    Command::HandOver { at_ms: 9, manifest_id: String::new(), tracking_number: None }
}

fn problem() -> Problem {
    Problem { code: "3003".to_owned(), ..Problem::default() }
}

fn update(status: TrackingStatus, at: i64) -> CourierUpdate {
    CourierUpdate {
        awb: "500".to_owned(),
        delivery_id: "id-500".to_owned(),
        code: status.name().to_owned(),
        kind: "SEND".to_owned(),
        raw_word: String::new(),
        reading: Reading::Plain(status),
        occurred_at_ms: at,
        learned_at_ms: at + 1,
        inbox_event_id: String::new(),
        inbox_position: 0,
        body_hash: format!("{} {at}", status.name()).into_bytes(),
        confirmed: true,
        exception_code: String::new(),
        exception_reason: String::new(),
        attempt: None,
        cod_collected: None,
        raw: Sealed::default(),
        source: Source::Webhook,
    }
}

fn record(state: Shipment, update: &CourierUpdate) -> (Shipment, Vec<Event>) {
    let events = state.decide(&Command::RecordTracking(Box::new(update.clone()))).unwrap();
    (events.iter().fold(state, Shipment::evolve), events)
}

#[test]
fn planning_asks_for_the_awb_in_the_same_breath_and_a_second_request_joins() {
    given::<Shipment>([])
        .when(&plan_it())
        .then([planned(), requested(1, "nx-1")])
        .when(&plan_it())
        .then_no_news()
        .when(&Command::RequestAwb { request_hash: vec![1] })
        .then_no_news();
}

#[test]
fn an_awb_that_lives_is_never_asked_for_again() {
    given::<Shipment>(live())
        .when(&Command::RequestAwb { request_hash: vec![1] })
        .then_no_news()
        .when(&plan_it())
        .then_no_news();
}

#[test]
fn a_second_delivery_for_the_same_parcel_is_surplus() {
    let surplus =
        Event::AwbSurplusFound { kept: "500".to_owned(), surplus: vec!["501".to_owned()] };
    given::<Shipment>(live())
        .when(&Command::RecordIssued { attempt: 1, awb: awb("500"), adopted: true })
        .then_no_news()
        .when(&Command::RecordIssued { attempt: 1, awb: awb("501"), adopted: true })
        .then([surplus]);
}

#[test]
fn an_unknown_outcome_is_looked_up_three_times_before_one_new_attempt() {
    let unknown = Event::AwbUnknown { attempt: 1, reason: "timeout".to_owned() };
    let look = |look| Command::RecordLook { attempt: 1, look };
    let looked = |look| Event::AwbLookedUp { attempt: 1, look };
    let again = Command::AskAgain { attempt: 1, request_hash: vec![1] };
    given::<Shipment>([planned(), requested(1, "nx-1")])
        .when(&Command::RecordUnknown { attempt: 1, reason: "timeout".to_owned() })
        .then([unknown])
        .when(&again)
        .then_no_news()
        .when(&look(1))
        .then([looked(1)])
        .when(&look(1))
        .then_no_news()
        .when(&look(2))
        .then([looked(2)])
        .when(&look(3))
        .then([looked(3)])
        .when(&again)
        .then([requested(2, "nx-1")]);
}

#[test]
fn a_courier_that_never_answers_is_given_up_for_a_person_to_decide() {
    let mut history = vec![planned(), requested(1, "nx-1")];
    for attempt in 1..=MAX_UNANSWERED_ATTEMPTS {
        history.push(Event::AwbUnknown { attempt, reason: "reset".to_owned() });
        history.push(Event::AwbLookedUp { attempt, look: LOOKS_BEFORE_ASKING_AGAIN });
        if attempt < MAX_UNANSWERED_ATTEMPTS {
            history.push(requested(attempt + 1, "nx-1"));
        }
    }
    let attempt = MAX_UNANSWERED_ATTEMPTS;
    let state: Shipment = fold(&history);
    let events = state.decide(&Command::AskAgain { attempt, request_hash: vec![] }).unwrap();
    assert!(matches!(&events[..], [Event::AwbRefused { problem, .. }]
        if problem.code == "COURIER_NO_ANSWER"));
}

#[test]
fn a_lost_answer_is_adopted() {
    let unknown = Event::AwbUnknown { attempt: 1, reason: "timeout".to_owned() };
    let adopted = Event::AwbIssued {
        attempt: 1,
        awb: awb("500"),
        adopted: true,
        order_id: "order".to_owned(),
    };
    given::<Shipment>([planned(), requested(1, "nx-1"), unknown])
        .when(&Command::RecordIssued { attempt: 1, awb: awb("500"), adopted: true })
        .then([adopted]);
}

#[test]
fn a_refused_awb_can_be_asked_for_again_and_an_old_answer_changes_nothing() {
    given::<Shipment>([planned(), requested(1, "nx-1")])
        .when(&Command::RecordRefused { attempt: 1, problem: problem() })
        .then([Event::AwbRefused { attempt: 1, problem: problem() }])
        .when(&Command::RequestAwb { request_hash: vec![1] })
        .then([requested(2, "nx-1")])
        .when(&Command::RecordRefused { attempt: 1, problem: problem() })
        .then_no_news();
}

#[test]
fn a_void_is_asked_for_first_and_the_next_awb_has_a_reference_of_its_own() {
    let reason = || "wrong box".to_owned();
    let voided =
        Event::Voided { awb: "500".to_owned(), reason: reason(), order_id: "order".to_owned() };
    given::<Shipment>(live())
        .when(&Command::RequestVoid { reason: reason() })
        .then([Event::VoidRequested { reason: reason() }])
        .when(&Command::RequestVoid { reason: reason() })
        .then_no_news()
        .when(&Command::RecordVoided)
        .then([voided])
        .when(&Command::RequestAwb { request_hash: vec![1] })
        .then([requested(2, "nx-1-2")]);
}

#[test]
fn a_parcel_whose_awb_is_being_voided_does_not_leave() {
    let void = Event::VoidRequested { reason: "wrong box".to_owned() };
    given::<Shipment>([live(), vec![void]].concat())
        .when(&hand_over())
        .then_refused(Refusal::VoidPending);
}

#[test]
fn a_refused_void_can_be_tried_again() {
    let void = || Event::VoidRequested { reason: "late".to_owned() };
    given::<Shipment>([live(), vec![void()]].concat())
        .when(&Command::RecordVoidRefused(problem()))
        .then([Event::VoidRefused(problem())])
        .when(&Command::RequestVoid { reason: "late".to_owned() })
        .then([void()]);
}

#[test]
fn only_a_parcel_with_a_live_awb_is_handed_over_and_only_under_its_own_label() {
    given::<Shipment>([planned(), requested(1, "nx-1")])
        .when(&hand_over())
        .then_refused(Refusal::WrongStatus { status: "awb_requested" });
    given::<Shipment>(live())
        .when(&Command::HandOver {
            at_ms: 9,
            manifest_id: String::new(),
            tracking_number: Some("501".to_owned()),
        })
        .then_refused(Refusal::WrongLabel { expected: "500".to_owned() });
    given::<Shipment>(live())
        .when(&hand_over())
        .then([handed_over()])
        .when(&hand_over())
        .then_no_news();
}

#[test]
fn another_account_takes_over_only_while_no_awb_can_live() {
    let other = Plan { account: "other".to_owned(), ..plan() };
    let move_it = Command::Plan {
        plan: Box::new(other.clone()),
        then: Then::TakeTypedNumber("77".to_owned()),
    };
    given::<Shipment>(live())
        .when(&move_it)
        .then_refused(Refusal::OtherAccount { account: "main".to_owned() });
    let refused = Event::AwbRefused { attempt: 1, problem: problem() };
    let typed = Awb { awb: "77".to_owned(), tracking_number: "77".to_owned(), ..Awb::default() };
    given::<Shipment>([planned(), requested(1, "nx-1"), refused]).when(&move_it).then([
        Event::Planned(Box::new(other)),
        Event::AwbRequested { attempt: 2, reference: "nx-1".to_owned(), request_hash: vec![] },
        Event::AwbIssued { attempt: 2, awb: typed, adopted: false, order_id: "order".to_owned() },
    ]);
}

#[test]
fn the_first_stored_label_stays_and_prints_are_counted() {
    let label = |hash: u8| Label {
        format: LabelFormat::A6,
        blob_sha256: vec![hash],
        label_sha256: vec![hash],
        size_bytes: 1,
        own: false,
        key_id: String::new(),
        nonce: vec![],
    };
    let print = Command::PrintLabel { format: LabelFormat::A6 };
    let printed = |copy| Event::LabelPrinted { copy, format: LabelFormat::A6 };
    given::<Shipment>(live()).when(&print).then_refused(Refusal::NoLabel);
    given::<Shipment>(live())
        .when(&Command::StoreLabel(label(1)))
        .then([Event::LabelStored(label(1))])
        .when(&Command::StoreLabel(label(2)))
        .then_no_news()
        .when(&print)
        .then([printed(1)])
        .when(&print)
        .then([printed(2)]);
}

#[test]
fn a_pickup_that_nobody_scanned_hands_the_parcel_over() {
    let (state, events) = record(fold(&live()), &update(TrackingStatus::PickedUp, 5));
    assert!(matches!(&events[1], Event::HandedOver(told) if told.by_courier));
    assert_eq!(state.status(), "handed_over");
}

#[test]
fn an_unconfirmed_end_is_kept_and_changes_nothing() {
    let claim = CourierUpdate { confirmed: false, ..update(TrackingStatus::Delivered, 5) };
    let (state, events) = record(fold(&live()), &claim);
    assert_eq!(events.len(), 1);
    assert_eq!(state.status(), "awb_live");
    let (state, _) = record(state, &update(TrackingStatus::Delivered, 5));
    assert_eq!(state.status(), "closed");
}

#[test]
fn an_update_of_a_voided_awb_is_kept_and_changes_nothing() {
    let text = String::new;
    let dead = Event::Voided { awb: "500".to_owned(), reason: text(), order_id: text() };
    let void = Event::VoidRequested { reason: text() };
    let history = [live(), vec![void, dead, requested(2, "nx-1-2"), issued(2, "600")]].concat();
    let (state, events) = record(fold(&history), &update(TrackingStatus::PickedUp, 5));
    assert!(matches!(&events[..], [Event::TrackingRecorded { recorded, .. }]
        if recorded.warning == "NOT_THE_LIVE_AWB" && !recorded.applied));
    assert_eq!(state.status(), "awb_live");
}

#[test]
fn what_the_courier_collected_is_told_once() {
    let paid =
        CourierUpdate { cod_collected: Some(4_500_000), ..update(TrackingStatus::Delivered, 5) };
    let told = |events: &[Event]| {
        events.iter().filter(|event| matches!(event, Event::CodCollected { .. })).count()
    };
    let (state, first) = record(fold(&live()), &paid);
    assert_eq!(told(&first), 1);
    assert_eq!(told(&record(state, &paid).1), 0);
}

#[test]
fn a_ledger_that_says_no_leaves_the_parcel_shipped() {
    let (reason, detail) = (|| "NOT_PICKED".to_owned(), || "nothing is picked".to_owned());
    let failed =
        Event::DispatchFailed { order_id: "order".to_owned(), reason: reason(), detail: detail() };
    given::<Shipment>([live(), vec![handed_over()]].concat())
        .when(&Command::RecordDispatchFailed { reason: reason(), detail: detail() })
        .then([failed])
        .when(&Command::RecordDispatched)
        .then([Event::Dispatched { order_id: "order".to_owned() }])
        .when(&Command::RecordDispatched)
        .then_no_news();
}

fn any_update() -> impl Strategy<Value = CourierUpdate> {
    let readings = TrackingStatus::ALL.map(Reading::Plain).into_iter().chain([
        Reading::NoChange,
        Reading::Collected,
        Reading::AtCustomer,
        Reading::InTransitUnlessCollected,
        Reading::OutForDeliveryUnlessVisited,
        Reading::CancelledUnlessPickedUp,
    ]);
    let readings: Vec<_> = readings.collect();
    (proptest::sample::select(readings), 0..6_i64, any::<bool>(), proptest::option::of(0..3_u32))
        .prop_map(|(reading, at, confirmed, attempt)| CourierUpdate {
            reading,
            code: format!("{reading:?}"),
            body_hash: format!("{reading:?} {at} {attempt:?}").into_bytes(),
            confirmed,
            attempt,
            cod_collected: (reading == Reading::Plain(TrackingStatus::Delivered)).then_some(at),
            ..update(TrackingStatus::InTransit, at)
        })
}

/// The log set without what only says when we learned of it.
fn log_set(events: &[Event]) -> Vec<(Vec<u8>, i64, bool)> {
    let mut rows: Vec<_> = events
        .iter()
        .filter_map(|event| {
            let Event::TrackingRecorded { recorded, .. } = event else { return None };
            let update = &recorded.update;
            Some((update.body_hash.clone(), update.occurred_at_ms, update.confirmed))
        })
        .collect();
    rows.sort();
    rows
}

fn with_repeats() -> impl Strategy<Value = (Vec<CourierUpdate>, Vec<CourierUpdate>)> {
    proptest::collection::vec(any_update(), 1..8).prop_flat_map(|mut updates| {
        // The courier posts the first half twice.
        let repeats = updates[..updates.len() / 2].to_vec();
        updates.extend(repeats);
        (Just(updates.clone()), Just(updates).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn all_orders_of_one_update_set_with_repeats_give_one_state_and_one_log_set(
        (updates, shuffled) in with_repeats(),
    ) {
        let run = |updates: &[CourierUpdate]| {
            let start = (fold::<Shipment>(&live()), vec![]);
            updates.iter().fold(start, |(state, mut all), update| {
                let (state, events) = record(state, update);
                all.extend(events);
                (state, all)
            })
        };
        let ((one, one_log), (other, other_log)) = (run(&updates), run(&shuffled));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.status(), other.status());
        prop_assert_eq!(log_set(&one_log), log_set(&other_log));
    }
}
