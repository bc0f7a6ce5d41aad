//! Long and large histories, and what is on the wire.

use bytes::Bytes;
use nexus_es::Version;
use nexus_es::commit::{Commit, MAX_COMMIT_BYTES};
use nexus_es::log::{Append, EventLog, LogError};
use nexus_es::{AggregateId, Position};

use crate::server::{Server, Setup};
use crate::steps::{commit, order, read};

#[tokio::test]
async fn a_history_longer_than_a_page_is_read_whole_from_the_server() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let ali = order("ali");
    let (mut version, mut versions) = (Version::NONE, Vec::new());
    for number in 0..2_005 {
        let append = commit(&ali, version, &format!("{number}"));
        version = log.append(append).await.unwrap().version;
        versions.push(version);
    }
    for after in [0_usize, 1, 1_000, 1_004, 1_005, 2_004, 2_005] {
        let from = after.checked_sub(1).map_or(Version::NONE, |last| versions[last]);
        let loaded = log.load(&ali, from).await.unwrap();
        let loaded: Vec<_> = loaded.iter().map(|stored| stored.version).collect();
        assert_eq!(loaded, versions[after..], "after {after}");
    }
}

#[tokio::test]
async fn a_history_of_the_largest_commits_is_read_whole_from_the_server() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let ali = order("ali");
    let mut version = Version::NONE;
    // More than one page of bytes; none compresses to nothing.
    for number in 0..70_u8 {
        let mut bytes = vec![number; MAX_COMMIT_BYTES];
        bytes.iter_mut().step_by(3).zip(0_u32..).for_each(|(byte, seed)| {
            *byte = seed.wrapping_mul(2_654_435_761).to_be_bytes()[0];
        });
        let append = Append { bytes: Bytes::from(bytes), ..commit(&ali, version, "") };
        version = log.append(append).await.unwrap().version;
    }
    let loaded = log.load(&ali, Version::NONE).await.unwrap();
    assert_eq!(loaded.len(), 70);
    for (stored, number) in loaded.iter().zip(0..) {
        assert_eq!((stored.bytes.len(), stored.bytes[1]), (MAX_COMMIT_BYTES, number));
    }
}

#[tokio::test]
async fn a_message_on_the_server_has_only_its_guard_its_id_and_the_trace_beside_the_commit() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let append = commit(&order("ali"), Version::NONE, "stored");
    let place = log.append(append.clone()).await.unwrap();
    let context = server.context().await;
    let stream = context.get_stream("ORDER").await.unwrap();
    let message = stream.get_raw_message(place.position.0).await.unwrap();
    assert_eq!(message.subject.as_str(), "evt.order.order.ali");
    assert_eq!(message.payload, append.bytes);
    let mut headers: Vec<_> = message
        .headers
        .iter()
        .map(|(name, values)| (name.to_string(), values[0].as_str().to_owned()))
        .collect();
    headers.sort();
    let expected = [
        ("Nats-Expected-Last-Subject-Sequence", "0"),
        ("Nats-Msg-Id", &append.commit_id.to_string()),
        ("traceparent", &append.traceparent),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_service_without_a_stream_on_the_server_is_refused() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let nobody = AggregateId::new("nobody", "order", "ali").unwrap();
    let loaded = log.load(&nobody, Version::NONE).await;
    assert!(matches!(loaded, Err(LogError::Unavailable(_))), "{loaded:?}");
    assert!(log.append(commit(&nobody, Version::NONE, "x")).await.is_err());
    assert!(log.tail("nobody", Position::START).await.is_err());
    assert!(log.head("nobody").await.is_err());
}

#[tokio::test]
async fn a_tail_tells_what_it_cannot_decode_by_its_position_and_goes_on() {
    let server = Server::start(Setup::default()).await;
    let log = server.log().await;
    let good = log.append(commit(&order("ali"), Version::NONE, "good")).await.unwrap();
    let context = server.context().await;
    // One that names no aggregate, and one that is no commit.
    for (subject, payload) in
        [("evt.order.order.b\u{e4}d", "good"), ("evt.order.order.x", "\u{7f}")]
    {
        context.publish(subject, payload.into()).await.unwrap().await.unwrap();
    }
    let after = log.append(commit(&order("mona"), Version::NONE, "after")).await.unwrap();
    for start in [Position::START, good.position, Position(good.position.0 + 1)] {
        let mut tail = log.tail("order", start).await.unwrap();
        let met = read(&mut *tail, usize::try_from(after.position.0 - start.0).unwrap()).await;
        let positions: Vec<_> = met.iter().map(|met| met.position.0).collect();
        assert_eq!(positions, Vec::from_iter(start.0 + 1..=after.position.0));
        for stray in met.iter().filter(|met| (2..=3).contains(&met.position.0)) {
            assert!(Commit::decode(&stray.bytes).is_err(), "{stray:?}");
        }
        assert_eq!(met.last().unwrap().bytes, "after");
    }
}
