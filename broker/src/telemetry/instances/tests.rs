//! Who is told what, who comes too soon, and who is forgotten.

use super::*;
use std::net::Ipv4Addr;

const INTERVAL: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(100 + number)
}

fn client(number: u16) -> (Client, SocketAddr) {
    let client = Client {
        client_id: format!("loader-{number}"),
        software_name: "java".to_owned(),
        software_version: "1".to_owned(),
        source_address: "127.0.0.1".to_owned(),
        source_port: number,
    };
    (client, SocketAddr::from((Ipv4Addr::LOCALHOST, number)))
}

fn subscription(settings: &[(&str, &str)]) -> Subscription {
    let configs = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Subscription::read(&configs).expect("valid settings")
}

fn subscribed(subscriptions: &[(&str, &[(&str, &str)])]) -> Instances {
    let mut instances = Instances::default();
    let named = subscriptions.iter().map(|(name, settings)| ((*name).to_owned(), subscription(settings)));
    instances.subscribe(named.collect());
    instances
}

/// Every client pushes all that begins with `a.` each ten seconds.
fn instances() -> Instances {
    subscribed(&[("s", &[("metrics", "a."), ("interval.ms", "10000")])])
}

fn push(granted: &Granted) -> Push {
    Push {
        instance_id: granted.instance_id,
        subscription_id: granted.subscription_id,
        is_terminating: false,
        is_compression_known: true,
        is_too_large: false,
    }
}

fn point(metric: &str) -> Point {
    Point { metric: metric.to_owned(), attributes: Vec::new(), value: 1.0, is_delta: false }
}

#[test]
fn a_client_is_told_all_that_its_subscriptions_want_at_the_shortest_interval() {
    let mut instances = subscribed(&[
        ("all", &[("metrics", "a.,b."), ("interval.ms", "20000")]),
        ("loaders", &[("metrics", "b.,c."), ("interval.ms", "10000"), ("match", "client_id=loader-.*")]),
        ("others", &[("metrics", "*"), ("interval.ms", "100"), ("match", "client_id=other")]),
    ]);
    let granted = instances.get(Uuid::nil(), id(1), client(1), at(0)).unwrap();
    assert_eq!((granted.instance_id, granted.interval), (id(1), INTERVAL));
    assert_eq!(granted.metrics, ["a.", "b.", "c."]);
    let (mut other, connection) = client(2);
    other.client_id = "other".to_owned();
    let granted = instances.get(id(2), id(9), (other, connection), at(0)).unwrap();
    assert_eq!(
        (granted.instance_id, granted.metrics),
        (id(2), vec!["*".to_owned()]),
        "everything needs no other name"
    );
    let granted = Instances::default().get(Uuid::nil(), id(3), client(3), at(0)).unwrap();
    assert!(
        granted.metrics.is_empty() && granted.interval == DEFAULT_INTERVAL,
        "nobody is asked for anything"
    );
}

#[test]
fn who_comes_before_the_interval_is_over_is_told_so() {
    let mut instances = instances();
    let granted = instances.get(Uuid::nil(), id(1), client(1), at(0)).unwrap();
    let too_soon = Err(TelemetryError::TooSoon);
    assert_eq!(instances.get(id(1), id(9), client(1), at(9)).map(drop), too_soon);
    assert_eq!(instances.push(&push(&granted), client(1), at(1)), Ok(()), "the first comes when it likes");
    assert_eq!(instances.push(&push(&granted), client(1), at(10)), too_soon);
    assert_eq!(instances.push(&push(&granted), client(1), at(11)), Ok(()));
    assert_eq!(instances.get(id(1), id(9), client(1), at(20)).map(drop), too_soon);
    assert_eq!(
        instances.get(id(1), id(9), client(1), at(21)).map(|again| again.subscription_id),
        Ok(granted.subscription_id)
    );
}

#[test]
fn what_is_wrong_with_a_push_is_told_in_kafkas_order() {
    let mut instances = instances();
    let granted = instances.get(Uuid::nil(), id(1), client(1), at(0)).unwrap();
    let wrong =
        Push { subscription_id: granted.subscription_id ^ 1, is_compression_known: false, ..push(&granted) };
    assert_eq!(instances.push(&wrong, client(1), at(0)), Err(TelemetryError::UnknownSubscription));
    assert!(instances.get(id(1), id(9), client(1), at(0)).is_ok(), "it is to ask again at once");
    let wrong = Push { is_compression_known: false, is_too_large: true, ..push(&granted) };
    assert_eq!(instances.push(&wrong, client(1), at(10)), Err(TelemetryError::UnsupportedCompression));
    let wrong = Push { is_too_large: true, ..push(&granted) };
    assert_eq!(instances.push(&wrong, client(1), at(20)), Err(TelemetryError::TooLarge));
    for reserved in RESERVED {
        let wrong = Push { instance_id: reserved, ..push(&granted) };
        assert_eq!(instances.push(&wrong, client(1), at(30)), Err(TelemetryError::InvalidInstanceId));
    }
}

#[test]
fn the_last_push_comes_at_once_and_is_the_last() {
    let mut instances = instances();
    let granted = instances.get(Uuid::nil(), id(1), client(1), at(0)).unwrap();
    assert_eq!(instances.push(&push(&granted), client(1), at(0)), Ok(()));
    let last = Push { is_terminating: true, ..push(&granted) };
    assert_eq!(instances.push(&last, client(1), at(1)), Ok(()));
    assert_eq!(instances.push(&last, client(1), at(60)), Err(TelemetryError::Terminated));
}

#[test]
fn another_subscription_is_another_id_and_is_told_at_once() {
    let mut instances = instances();
    let granted = instances.get(Uuid::nil(), id(1), client(1), at(0)).unwrap();
    assert_eq!(instances.push(&push(&granted), client(1), at(0)), Ok(()));
    assert_eq!(instances.take(id(1), &[point("a.b")]), 0);
    instances
        .subscribe([("s".to_owned(), subscription(&[("metrics", "b."), ("interval.ms", "10000")]))].into());
    assert_eq!(instances.push(&push(&granted), client(1), at(1)), Err(TelemetryError::UnknownSubscription));
    let again = instances.get(id(1), id(9), client(1), at(1)).unwrap();
    assert_ne!(again.subscription_id, granted.subscription_id);
    assert_eq!((again.metrics, instances.series_count), (vec!["b.".to_owned()], 1), "what it pushed stays");
}

#[test]
fn a_client_that_another_node_knew_may_push_at_once() {
    let granted = instances().get(Uuid::nil(), id(1), client(1), at(0)).unwrap();
    assert_eq!(instances().push(&push(&granted), client(2), at(0)), Ok(()));
}

#[test]
fn who_is_gone_is_forgotten_with_what_it_pushed() {
    let mut instances = instances();
    for number in 1..=3 {
        let granted = instances.get(Uuid::nil(), id(number.into()), client(number), at(0)).unwrap();
        assert_eq!(instances.push(&push(&granted), client(number), at(0)), Ok(()));
        assert_eq!(instances.take(granted.instance_id, &[point("a.b"), point("a.c")]), 0);
    }
    assert_eq!((instances.len(), instances.series_count), (3, 6));
    instances.disconnected(client(1).1);
    instances.disconnected(client(1).1);
    assert_eq!((instances.len(), instances.series_count), (2, 4));
    assert_eq!(instances.take(id(1), &[point("a.b")]), 1, "it came after its connection had ended");
    // Another name over the same connection is the same client.
    let _granted = instances.get(id(7), id(9), client(2), at(50)).unwrap();
    assert_eq!((instances.len(), instances.series_count), (2, 2));
    instances.expire(at(59));
    assert_eq!(instances.len(), 2);
    instances.expire(at(60));
    assert_eq!((instances.len(), instances.series_count), (1, 0));
    instances.expire(at(110));
    assert!(instances.by_id.is_empty() && instances.by_connection.is_empty());
}

#[test]
fn ids_that_are_made_up_push_out_the_oldest_and_take_no_more_room() {
    let mut instances = instances();
    let addresses = (1..=u16::MAX).zip(0_u64..).take(CLIENTS_MAX + 5);
    for (number, second) in addresses {
        instances.get(id(number.into()), id(0), client(number), at(second)).unwrap();
    }
    assert_eq!((instances.len(), instances.by_connection.len()), (CLIENTS_MAX, CLIENTS_MAX));
    assert!(!instances.by_id.contains_key(&id(5)) && instances.by_id.contains_key(&id(6)));
}

#[test]
fn ids_are_written_as_kafka_writes_them() {
    assert_eq!(base64_of(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(base64_of(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
    assert_eq!(base64_of(Uuid::from_u128(u128::MAX)), "_____________________w");
}
