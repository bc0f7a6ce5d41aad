//! Rules of one message, and what no order of receipts can break.

use nexus_es::kit::given;
use nexus_es::{Decider, fold};
use proptest::prelude::*;

use super::*;

const AGES: Ages = Ages { stale_ms: 1_000, max_ms: i64::MAX };

fn request() -> Request {
    Request {
        order: "order-1".to_owned(),
        shipment: "ship-1".to_owned(),
        contact: "mona".to_owned(),
        milestone: Milestone::Shipped,
        channel: ChannelKind::WhatsApp,
        language: Language::Ar,
        account: "acc-1".to_owned(),
        provider_template: "order_shipped".to_owned(),
        provider_language: "ar".to_owned(),
        content: None,
        cause: "event-1".to_owned(),
        milestone_at_ms: 1_000,
    }
}

fn attempt() -> Command {
    Command::Attempt { account: "acc-1".to_owned() }
}

fn attempted(attempt: u32) -> Event {
    let callback_data = format!("ship-1~shipped~whatsapp~{attempt}");
    Event::Attempted { attempt, callback_data, account: "acc-1".to_owned() }
}

fn sent(attempt: u32, receipt: &str) -> Event {
    let (provider_id, receipt) = ("wamid.1".to_owned(), receipt.to_owned());
    Event::Sent { attempt, provider_id, at_ms: 5, receipt }
}

fn unknown(attempt: u32) -> Event {
    Event::SendUnknown { attempt, reason: "timeout".to_owned(), resend_at_ms: 9_000 }
}

fn receipt(news: News) -> Command {
    Command::Receive(Receipt {
        id: "r".to_owned(),
        attempt: 1,
        provider_id: "wamid.1".to_owned(),
        at_ms: 5,
        news,
    })
}

fn no() -> No {
    No { code: "131026".to_owned(), reason: "UNDELIVERABLE".to_owned(), detail: String::new() }
}

fn failed() -> News {
    News::Failed { no: no(), retry_at_ms: None, limit: None }
}

fn tried() -> Vec<Event> {
    vec![Event::Requested(request()), attempted(1)]
}

fn tried_and(event: Event) -> Vec<Event> {
    [tried(), vec![event]].concat()
}

#[test]
fn a_message_is_requested_once_and_its_intent_stands_before_the_call() {
    given::<Message>([])
        .when(&Command::Request(request()))
        .then([Event::Requested(request())])
        .when(&Command::Request(request()))
        .then_no_news()
        .when(&attempt())
        .then([attempted(1)])
        .when(&attempt())
        .then_refused(Refusal::NotOpen(Phase::Trying));
}

#[test]
fn nobody_calls_the_channel_for_a_message_nobody_asked_for() {
    given::<Message>([]).when(&attempt()).then_refused(Refusal::NotRequested);
}

#[test]
fn a_suppressed_message_stands_in_the_list_and_is_never_sent() {
    let suppress = Command::Suppress {
        request: Some(request()),
        reason: "NO_CONSENT".to_owned(),
        detail: String::new(),
    };
    let suppressed = Event::Suppressed { reason: "NO_CONSENT".to_owned(), detail: String::new() };
    given::<Message>([])
        .when(&suppress)
        .then([Event::Requested(request()), suppressed])
        .when(&suppress)
        .then_no_news()
        .when(&attempt())
        .then_refused(Refusal::NotOpen(Phase::Suppressed));
}

#[test]
fn what_may_have_been_sent_cannot_be_suppressed() {
    let suppress =
        Command::Suppress { request: None, reason: "SUPERSEDED".to_owned(), detail: String::new() };
    given::<Message>(tried_and(unknown(1)))
        .when(&suppress)
        .then_refused(Refusal::NotOpen(Phase::Lost { resend_at_ms: 9_000 }));
}

#[test]
fn after_a_lost_answer_it_is_sent_once_more_and_never_a_third_time() {
    let lost = fold::<Message>(&tried_and(unknown(1)));
    assert_eq!(lost.step(8_999, false, AGES), Step::Wait { until_ms: 9_000 });
    assert_eq!(lost.step(9_000, false, AGES), Step::Send);
    let twice = fold::<Message>(&[tried_and(unknown(1)), vec![attempted(2), unknown(2)]].concat());
    assert_eq!(twice.step(i64::MAX, false, AGES), Step::Nothing);
    assert!(twice.decide(&attempt()).is_err());
}

#[test]
fn a_receipt_settles_a_lost_answer() {
    given::<Message>(tried_and(unknown(1)))
        .when(&receipt(News::Sent))
        .then([sent(1, "r")])
        .when(&attempt())
        .then_refused(Refusal::NotOpen(Phase::Sent));
}

#[test]
fn a_receipt_that_is_faster_than_the_answer_is_enough() {
    given::<Message>(tried())
        .when(&receipt(News::Delivered))
        .then([sent(1, "r"), Event::Delivered { at_ms: 5, receipt: "r".to_owned() }])
        .when(&Command::Accept { attempt: 1, provider_id: "wamid.1".to_owned(), at_ms: 5 })
        .then_no_news()
        .when(&Command::LoseAnswer { attempt: 1, reason: "timeout".to_owned(), resend_at_ms: 1 })
        .then_no_news();
}

#[test]
fn a_failure_is_final_unless_more_was_known_before() {
    given::<Message>(tried_and(sent(1, "")))
        .when(&receipt(failed()))
        .then([Event::Failed { no: no(), receipt: "r".to_owned() }])
        .when(&receipt(News::Read))
        .then_no_news();
    given::<Message>(tried_and(Event::Delivered { at_ms: 5, receipt: "r".to_owned() }))
        .when(&receipt(failed()))
        .then_no_news();
}

#[test]
fn the_failure_of_an_older_attempt_does_not_fail_the_newer_one() {
    given::<Message>([tried_and(unknown(1)), vec![attempted(2)]].concat())
        .when(&receipt(failed()))
        .then_no_news();
}

#[test]
fn a_refusal_that_may_pass_is_tried_again_until_the_limit() {
    let refuse =
        |attempt| Command::RefuseAttempt { attempt, no: no(), retry_at_ms: 7, limit: Some(2) };
    let again = Event::AttemptFailed {
        attempt: 1,
        code: "131026".to_owned(),
        reason: "UNDELIVERABLE".to_owned(),
        retry_at_ms: 7,
    };
    given::<Message>(tried())
        .when(&refuse(1))
        .then([again])
        .when(&attempt())
        .then([attempted(2)])
        .when(&refuse(2))
        .then([Event::Failed { no: no(), receipt: String::new() }]);
}

#[test]
fn a_message_that_waits_is_out_of_date_once_a_later_milestone_is_told() {
    let queued = fold::<Message>(&[Event::Requested(request())]);
    assert_eq!(queued.step(1_500, true, AGES), Step::Send);
    assert_eq!(queued.step(2_500, true, AGES), Step::Supersede);
    assert_eq!(queued.step(2_500, false, AGES), Step::Send);
    let waiting = fold::<Message>(&tried_and(Event::AttemptFailed {
        attempt: 1,
        code: String::new(),
        reason: String::new(),
        retry_at_ms: 7,
    }));
    assert_eq!(waiting.step(0, true, AGES), Step::Supersede);
}

#[test]
fn yesterdays_news_is_not_told_even_when_nothing_came_after_it() {
    let ages = Ages { stale_ms: 1_000, max_ms: 5_000 };
    let queued = fold::<Message>(&[Event::Requested(request())]);
    assert_eq!(queued.step(6_001, false, ages), Step::Expire);
    assert_eq!(fold::<Message>(&tried_and(unknown(1))).step(9_001, false, ages), Step::Nothing);
}

#[test]
fn a_cut_off_attempt_counts_as_a_lost_answer() {
    let trying = fold::<Message>(&tried());
    assert_eq!(trying.step(0, false, AGES), Step::Interrupted { attempt: 1 });
}

fn status() -> impl Strategy<Value = News> {
    prop_oneof![Just(News::Sent), Just(News::Delivered), Just(News::Read)]
}

fn rank(phase: Phase) -> u32 {
    match phase {
        Phase::New | Phase::Queued | Phase::Trying => 0,
        Phase::Waiting { .. } | Phase::Lost { .. } => 0,
        Phase::Sent => 1,
        Phase::Delivered => 2,
        Phase::Read => 3,
        Phase::Failed | Phase::Suppressed => 9,
    }
}

fn told(state: Message, command: &Command) -> Message {
    let events = state.decide(command).unwrap_or_default();
    events.iter().fold(state, Message::evolve)
}

proptest! {
    #[test]
    fn receipts_in_any_order_end_at_the_highest(news in prop::collection::vec(status(), 1..12)) {
        let highest = news.iter().map(|news| match news {
            News::Sent => 1,
            News::Delivered => 2,
            News::Read => 3,
            News::Failed { .. } => 0,
        }).max().unwrap_or(0);
        let mut message = fold::<Message>(&tried());
        let mut last = 0;
        for news in news {
            message = told(message, &receipt(news));
            prop_assert!(rank(message.phase) >= last);
            last = rank(message.phase);
        }
        prop_assert_eq!(last, highest);
    }

    #[test]
    fn the_channel_is_asked_twice_at_most_when_every_answer_is_lost(
        clock in prop::collection::vec(0_i64..30_000, 1..20),
    ) {
        let mut message = fold::<Message>(&[Event::Requested(request())]);
        let mut calls = 0;
        for now_ms in clock {
            match message.step(now_ms, false, AGES) {
                Step::Send => {
                    message = told(message, &attempt());
                    calls += 1;
                }
                Step::Interrupted { attempt } => {
                    let reason = "interrupted".to_owned();
                    let lose = Command::LoseAnswer { attempt, reason, resend_at_ms: now_ms };
                    message = told(message, &lose);
                }
                Step::Nothing | Step::Wait { .. } | Step::Supersede | Step::Expire => {}
            }
        }
        prop_assert!(calls <= 2);
    }
}
