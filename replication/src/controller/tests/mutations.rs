//! What clients with a `controller_mutation_rate` may make and delete, on a clock that the tests hold.

use super::*;
use crate::controller::client_quotas::{AlterClientQuotas, QuotaAlteration};
use crate::controller::mutations::{ChargedRequest, Mutation, MutationResults};
use crate::controller::partitions::{CreatePartitions, MorePartitions};
use crate::metadata::quota::QuotaLimit;

/// As clients read it.
const EXCEEDED: &str = "The throttling quota has been exceeded.";

/// As many clients as there is room for, and some more.
const MANY: usize = 10_100;

/// What became of a request of one topic, empty where it was done; and for how many milliseconds its client is to be quiet.
type Outcome = (String, u128);

fn topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic { name: name.to_owned(), partitions: Some(partitions), ..NewTopic::default() }
}

fn create(name: &str, partitions: i32) -> Mutation {
    Mutation::CreateTopics(CreateTopics {
        topics: vec![topic(name, partitions)],
        validate_only: false,
        default_partitions: 2,
        default_replication_factor: 1,
    })
}

/// Only checks, which costs as much.
fn check(name: &str) -> Mutation {
    let Mutation::CreateTopics(create) = create(name, 1) else { unreachable!("it is one") };
    Mutation::CreateTopics(CreateTopics { validate_only: true, ..create })
}

fn delete(name: &str) -> Mutation {
    Mutation::DeleteTopics(DeleteTopics { topics: vec![TopicSelector::Name(name.to_owned())] })
}

fn grow(name: &str, count: i32) -> Mutation {
    let more = MorePartitions { name: name.to_owned(), count, assignments: None };
    Mutation::CreatePartitions(CreatePartitions { topics: vec![more], validate_only: false })
}

impl Controller {
    /// So many partitions a second, or as many as they like, for those who are `kind`, all of them where there is no name.
    fn limit(&mut self, kind: &str, name: Option<&str>, rate: Option<f64>) {
        let entity = vec![(kind.to_owned(), name.map(str::to_owned))];
        let limits = vec![("controller_mutation_rate".to_owned(), rate.map(QuotaLimit::of))];
        let alterations = vec![QuotaAlteration { entity, limits }];
        let alter = AlterClientQuotas { alterations, validate_only: false };
        match self.ask(&ControllerRequest::AlterClientQuotas(alter)) {
            ControllerReply::AlterClientQuotas(results) => assert_eq!(results, [Ok(())]),
            other => panic!("{other:?}"),
        }
    }

    fn charged(&mut self, client_id: &str, is_strict: bool, mutation: Mutation) -> Outcome {
        let (user, client_id) = ("u".to_owned(), client_id.to_owned());
        let request = ControllerRequest::Charged(ChargedRequest { user, client_id, is_strict, mutation });
        let ControllerReply::Charged { results, quiet } = self.ask(&request) else { panic!("{request:?}") };
        let told = |error: Option<String>| error.unwrap_or_default();
        let result = match results {
            MutationResults::CreateTopics(results) => {
                told(results[0].result.as_ref().err().map(ToString::to_string))
            }
            MutationResults::DeleteTopics(results) => {
                told(results[0].result.as_ref().err().map(ToString::to_string))
            }
            MutationResults::CreatePartitions(results) => {
                told(results[0].result.as_ref().err().map(ToString::to_string))
            }
        };
        (result, quiet.as_millis())
    }

    fn strict(&mut self, mutation: Mutation) -> Outcome {
        self.charged("c", true, mutation)
    }

    fn later(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }
}

fn done() -> Outcome {
    (String::new(), 0)
}

fn exceeded(milliseconds: u128) -> Outcome {
    (EXCEEDED.to_owned(), milliseconds)
}

#[test]
fn a_strict_request_that_uses_up_the_tokens_is_carried_out_and_the_next_are_refused_until_they_are_back() {
    let mut controller = Controller::new(1);
    controller.limit("client-id", Some("c"), Some(2.0));
    // Eleven seconds' worth may be made at once, and a topic is made whole.
    assert_eq!(controller.strict(create("wide", 30)), done());
    assert_eq!(controller.strict(create("late", 1)), exceeded(4000));
    assert_eq!(controller.strict(grow("wide", 31)), exceeded(4000));
    assert_eq!(controller.strict(delete("wide")), exceeded(4000));
    assert!(controller.image.topic_by_name("wide").is_some_and(|wide| wide.partitions.len() == 30));
    controller.later(3999);
    assert_eq!(controller.strict(create("late", 1)), exceeded(1));
    controller.later(1);
    assert_eq!(controller.strict(create("late", 1)), done());
    assert_eq!(controller.strict(delete("late")), exceeded(500));
    controller.later(500);
    assert_eq!(controller.strict(grow("wide", 31)), done());
    controller.later(500);
    assert_eq!(controller.strict(delete("wide")), done());
    assert_eq!(controller.strict(create("last", 1)), exceeded(15_500), "each of its partitions counts");
}

#[test]
fn a_request_that_is_not_strict_is_carried_out_and_its_client_told_to_keep_quiet() {
    let mut controller = Controller::new(1);
    controller.limit("client-id", Some("c"), Some(2.0));
    assert_eq!(controller.charged("c", false, create("a", 22)), done());
    assert_eq!(controller.charged("c", false, create("b", 3)), (String::new(), 1500));
    assert_eq!(controller.charged("c", false, create("c", 1)), (String::new(), 2000));
    assert_eq!(controller.strict(create("d", 1)), exceeded(2000), "they share the tokens");
}

#[test]
fn topics_of_one_request_are_charged_one_by_one() {
    let mut controller = Controller::new(1);
    controller.limit("client-id", Some("c"), Some(1.0));
    let create = CreateTopics {
        topics: vec![topic("a", 5), topic("none", 0), topic("b", 7), topic("c", 1)],
        validate_only: false,
        default_partitions: 2,
        default_replication_factor: 1,
    };
    let (user, client_id, is_strict) = ("u".to_owned(), "c".to_owned(), true);
    let mutation = Mutation::CreateTopics(create);
    let request = ControllerRequest::Charged(ChargedRequest { user, client_id, is_strict, mutation });
    let reply = controller.ask(&request);
    let ControllerReply::Charged { results: MutationResults::CreateTopics(results), quiet } = reply else {
        panic!("{reply:?}")
    };
    let told =
        results.iter().map(|it| it.result.as_ref().map_or_else(ToString::to_string, |_| "".to_owned()));
    let invalid = CreateTopicError::InvalidPartitions.to_string();
    assert_eq!(told.collect::<Vec<_>>(), ["", &invalid, "", EXCEEDED]);
    assert_eq!(quiet, Duration::from_secs(1));
}

#[test]
fn what_is_refused_for_another_reason_costs_nothing_and_says_that_reason() {
    let mut controller = Controller::new(1);
    controller.limit("client-id", Some("c"), Some(1.0));
    for _ in 0..100 {
        assert_ne!(controller.strict(create("none", 0)).0, "");
        assert_ne!(controller.strict(grow("nowhere", 9)).0, "");
        assert_ne!(controller.strict(delete("nowhere")).0, "");
    }
    assert_eq!(controller.strict(create("a", 12)), done());
    let (refused, quiet) = controller.strict(create("a", 1));
    assert_eq!((refused.as_str(), quiet), ("Topic 'a' already exists.", 0), "not that it is over its quota");
}

#[test]
fn the_most_exact_quota_holds_and_who_has_none_is_not_limited() {
    let mut controller = Controller::new(1);
    controller.limit("client-id", None, Some(1.0));
    assert_eq!(controller.charged("c", true, create("a", 50)), done());
    assert_eq!(controller.charged("d", true, create("b", 50)), done(), "each has its own tokens");
    assert_eq!(controller.charged("d", true, create("e", 1)), exceeded(39_000));
    controller.limit("user", Some("u"), Some(100.0));
    assert_eq!(controller.charged("c", true, create("f", 1101)), done());
    assert_eq!(controller.charged("d", true, create("e", 1)), exceeded(10), "a user's clients share them");
    controller.limit("user", Some("u"), None);
    controller.limit("client-id", None, None);
    assert_eq!(controller.charged("d", true, create("e", 1)), done());
}

#[test]
fn clients_without_end_take_no_more_memory_and_make_room_once_they_are_quiet() {
    let mut controller = Controller::new(1);
    controller.limit("client-id", None, Some(1.0));
    controller.limit("client-id", Some("c"), Some(1.0));
    assert_eq!(controller.strict(create("a", 1)), done());
    let refused = (0..MANY).filter(|client| {
        let outcome = controller.charged(&format!("client-{client}"), true, check("b"));
        assert!(outcome == done() || outcome == exceeded(1000), "{outcome:?}");
        outcome != done()
    });
    assert_eq!(refused.count(), MANY - 9_999 - 12, "those for whom there is no room share their tokens");
    assert_eq!(controller.allowances.remembered(), 10_000);
    assert_eq!(controller.strict(create("b", 1)), done(), "those that are remembered do not");
    controller.later(11_000);
    assert_eq!(controller.charged("another", true, create("c", 1)), done());
    assert!(controller.allowances.remembered() < 10, "those that have all their tokens back are forgotten");
}
