//! Why a group is not stable, in one sentence: whom it waits for, and for how long.

use std::time::Duration;

use super::assignment::Assignment;
use super::description::{Group, Member};
use crate::cli::table::count;

/// How many members a sentence names. More: nobody reads it. Fewer: it does not help to find them.
const NAMED_MAX: usize = 3;

/// The sentence, or `None` where nothing is to be explained.
pub(super) fn why_unstable(group: &Group) -> Option<String> {
    match group.state.as_str() {
        "PreparingRebalance" => Some(why_joining(group)),
        "CompletingRebalance" => Some(why_completing(group)),
        "Assigning" => Some(why_assigning(group)),
        "Reconciling" => Some(why_reconciling(group)),
        _ => None,
    }
}

fn why_joining(group: &Group) -> String {
    let members = count(group.members.len(), "member");
    match awaited(group) {
        Some((names, longest, awaited)) => {
            format!("it has waited for {longest} for {names} to join again ({awaited} of {members})")
        }
        None if group.tells_awaited => {
            format!(
                "it has {members}, misses nobody, and waits a little for more (group.initial.rebalance.delay.ms)"
            )
        }
        None => {
            format!("its members are joining ({members} so far), and the broker does not say who is missing")
        }
    }
}

fn why_completing(group: &Group) -> String {
    let members = count(group.members.len(), "member");
    match awaited(group) {
        Some((names, longest, awaited)) => format!(
            "all have joined, and it has waited for {longest} for {names} to take their partitions ({awaited} of \
             {members})"
        ),
        None => format!("all {members} have joined, and the one that leads has yet to assign the partitions"),
    }
}

/// For whom a group waits: their names, the longest time, how many they are.
fn awaited(group: &Group) -> Option<(String, String, usize)> {
    let awaited: Vec<(&Member, Duration)> =
        group.members.iter().filter_map(|member| Some((member, member.awaited_for?))).collect();
    let longest = awaited.iter().map(|(_, awaited_for)| *awaited_for).max()?;
    Some((names(awaited.iter().map(|(member, _)| *member)), seconds(longest), awaited.len()))
}

fn why_assigning(group: &Group) -> String {
    match (group.group_epoch, group.assignment_epoch) {
        (Some(group_epoch), Some(assignment_epoch)) => format!(
            "its members or topics have changed (epoch {group_epoch}), and partitions are assigned as of epoch \
             {assignment_epoch}"
        ),
        _ => "its members or topics have changed, and partitions are to be assigned".to_owned(),
    }
}

/// A member that has partitions to give up holds up those who are to get them.
fn why_reconciling(group: &Group) -> String {
    let gives_up: Vec<&Member> = group.members.iter().filter(|member| !surplus(member).is_empty()).collect();
    if let Some(first) = gives_up.first() {
        let partitions = gives_up.iter().map(|member| surplus(member).len()).sum();
        let example = surplus(first).into_iter().next().unwrap_or_default();
        return format!(
            "{} has yet to give up {} ({example}{})",
            names(gives_up.iter().copied()),
            count(partitions, "partition"),
            if partitions > 1 { ", ..." } else { "" },
        );
    }
    let epoch = group.assignment_epoch.unwrap_or_default();
    let behind: Vec<&Member> =
        group.members.iter().filter(|member| member.member_epoch.is_some_and(|own| own < epoch)).collect();
    match behind.first() {
        Some(first) => format!(
            "{} has yet to take over what is assigned to it (epoch {} of {epoch})",
            names(behind.iter().copied()),
            first.member_epoch.unwrap_or_default(),
        ),
        None => "its members have yet to take over what is assigned to them".to_owned(),
    }
}

/// What a member owns and is not to own.
fn surplus(member: &Member) -> Vec<String> {
    let nothing = Assignment::new();
    let target = member.target_assignment.as_ref().unwrap_or(&nothing);
    let is_to_own = |topic: &String, partition: &i32| {
        target.get(topic).is_some_and(|partitions| partitions.contains(partition))
    };
    let owned = member
        .assignment
        .iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, partition)));
    owned
        .filter(|(topic, partition)| !is_to_own(topic, partition))
        .map(|(topic, partition)| format!("{topic}-{partition}"))
        .collect()
}

fn names<'a>(members: impl Iterator<Item = &'a Member>) -> String {
    let all: Vec<String> = members.map(name).collect();
    let named = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        others => format!("{named} and {}", count(others, "other")),
    }
}

/// A member by what a person can find it by.
fn name(member: &Member) -> String {
    let instance = member.instance_id.as_ref().map(|id| format!("instance {id}, ")).unwrap_or_default();
    format!("{} ({instance}client {} at {})", member.member_id, member.client_id, member.client_host)
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 { "less than a second".to_owned() } else { format!("{seconds} s") }
}

#[cfg(test)]
mod tests {
    use super::why_unstable;
    use crate::cli::groups::assignment::Assignment;
    use crate::cli::groups::description::{Group, Member};
    use std::time::Duration;

    fn member(id: &str, awaited_s: Option<u64>) -> Member {
        Member {
            member_id: id.to_owned(),
            client_id: "app".to_owned(),
            client_host: "10.0.0.1".to_owned(),
            awaited_for: awaited_s.map(Duration::from_secs),
            ..Member::default()
        }
    }

    fn classic(state: &str, members: Vec<Member>) -> Group {
        Group { state: state.to_owned(), members, ..Group::default() }
    }

    fn consumer(state: &str, members: Vec<Member>) -> Group {
        Group { group_epoch: Some(7), assignment_epoch: Some(6), ..classic(state, members) }
    }

    fn owner(id: &str, epoch: i32, owns: &[i32], is_to_own: &[i32]) -> Member {
        let assignment = |partitions: &[i32]| Assignment::from([("events".to_owned(), partitions.to_vec())]);
        Member {
            member_epoch: Some(epoch),
            assignment: assignment(owns),
            target_assignment: Some(assignment(is_to_own)),
            ..member(id, None)
        }
    }

    fn sentence(group: &Group) -> String {
        why_unstable(group).unwrap()
    }

    #[test]
    fn a_group_that_is_stable_or_empty_needs_no_explanation() {
        for state in ["Stable", "Empty", "Dead"] {
            assert_eq!(why_unstable(&classic(state, vec![member("a", None)])), None);
        }
    }

    #[test]
    fn those_who_have_not_joined_are_named_with_the_time() {
        let static_member = Member { instance_id: Some("first".to_owned()), ..member("b", Some(2)) };
        let group =
            classic("PreparingRebalance", vec![member("a", Some(12)), static_member, member("c", None)]);
        assert_eq!(
            sentence(&group),
            "it has waited for 12 s for a (client app at 10.0.0.1), b (instance first, client app at 10.0.0.1) to join \
             again (2 of 3 members)"
        );
        let crowd =
            classic("PreparingRebalance", (0..9).map(|id| member(&id.to_string(), Some(0))).collect());
        assert_eq!(
            sentence(&crowd),
            "it has waited for less than a second for 0 (client app at 10.0.0.1), 1 (client app at 10.0.0.1), 2 (client \
             app at 10.0.0.1) and 6 others to join again (9 of 9 members)"
        );
    }

    #[test]
    fn a_broker_that_does_not_say_who_is_missing_is_not_guessed_at() {
        let group = classic("PreparingRebalance", vec![member("a", None)]);
        assert_eq!(
            sentence(&group),
            "its members are joining (1 member so far), and the broker does not say who is missing"
        );
        let group = classic("CompletingRebalance", vec![member("a", None), member("b", None)]);
        assert_eq!(
            sentence(&group),
            "all 2 members have joined, and the one that leads has yet to assign the partitions"
        );
    }

    #[test]
    fn those_who_have_joined_and_not_taken_their_partitions_are_named() {
        let group = classic("CompletingRebalance", vec![member("a", Some(4)), member("b", None)]);
        assert_eq!(
            sentence(&group),
            "all have joined, and it has waited for 4 s for a (client app at 10.0.0.1) to take their partitions (1 of 2 \
             members)"
        );
    }

    #[test]
    fn a_new_group_waits_for_nobody_in_particular() {
        let joining = classic("PreparingRebalance", vec![member("a", None)]);
        let group = Group { tells_awaited: true, ..joining };
        assert_eq!(
            sentence(&group),
            "it has 1 member, misses nobody, and waits a little for more (group.initial.rebalance.delay.ms)"
        );
    }

    #[test]
    fn who_holds_on_to_partitions_is_named_before_those_who_wait_for_them() {
        let holder = owner("a", 5, &[0, 1, 2], &[0]);
        let waiter = owner("b", 5, &[], &[1, 2]);
        let group = consumer("Reconciling", vec![waiter.clone(), holder]);
        assert_eq!(
            sentence(&group),
            "a (client app at 10.0.0.1) has yet to give up 2 partitions (events-1, ...)"
        );
        let group = consumer("Reconciling", vec![waiter]);
        assert_eq!(
            sentence(&group),
            "b (client app at 10.0.0.1) has yet to take over what is assigned to it (epoch 5 of 6)"
        );
        assert_eq!(
            sentence(&consumer("Assigning", Vec::new())),
            "its members or topics have changed (epoch 7), and partitions are assigned as of epoch 6"
        );
    }
}
