//! What is to move where: pure, the same for the same picture.

use super::picture::{NodeState, PartitionPicture, Picture};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A partition whose replicas are to be others, or in another order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Move {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) from: Vec<i32>,
    pub(super) to: Vec<i32>,
}

impl Move {
    fn new(partition: &PartitionPicture, to: Vec<i32>) -> Self {
        let PartitionPicture { topic, partition, replicas, .. } = partition.clone();
        Self { topic, partition, from: replicas, to }
    }
}

/// How a node is taken out of use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct DrainPlan {
    /// Partitions that the node leads, or would lead: the same replicas, the node last.
    pub(super) leaders: Vec<Move>,
    /// Partitions of which another node takes the node's replica.
    pub(super) replicas: Vec<Move>,
    /// Partitions of which the node keeps its replica, since every other node that may be used has one already.
    pub(super) kept: Vec<(String, i32)>,
}

/// How many replicas each node that may be used has, and what its rack is.
struct Loads<'a> {
    replicas: BTreeMap<i32, usize>,
    racks: BTreeMap<i32, &'a str>,
}

impl<'a> Loads<'a> {
    fn of(picture: &'a Picture) -> Self {
        let active = || picture.nodes.iter().filter(|node| node.state == NodeState::Active);
        let held = |id: i32| picture.partitions.iter().filter(|it| it.replicas.contains(&id)).count();
        Self {
            replicas: active().map(|node| (node.node_id, held(node.node_id))).collect(),
            racks: active().filter_map(|node| Some((node.node_id, node.rack.as_deref()?))).collect(),
        }
    }

    fn give(&mut self, from: i32, to: i32) {
        self.replicas.entry(from).and_modify(|held| *held = held.saturating_sub(1));
        self.replicas.entry(to).and_modify(|held| *held += 1);
    }

    /// Whether one of `replicas` stands where `id` does.
    fn shares_rack(&self, id: i32, replicas: &[i32]) -> bool {
        let rack = self.racks.get(&id);
        rack.is_some() && replicas.iter().any(|other| *other != id && self.racks.get(other) == rack)
    }

    /// Who takes the replica of `leaving`: one in a rack of its own if there is any, and of those the one with the fewest.
    fn successor(&self, leaving: i32, replicas: &[i32]) -> Option<i32> {
        let staying: Vec<i32> = replicas.iter().copied().filter(|id| *id != leaving).collect();
        let candidates = self.replicas.iter().filter(|(id, _)| !replicas.contains(id));
        let (&id, _) =
            candidates.min_by_key(|(id, held)| (self.shares_rack(**id, &staying), **held, **id))?;
        Some(id)
    }
}

/// Moves leaders, and then replicas, from `node` to the others.
pub(super) fn drain(picture: &Picture, node: i32) -> DrainPlan {
    let mut plan = DrainPlan::default();
    let mut loads = Loads::of(picture);
    loads.replicas.remove(&node);
    for partition in picture.partitions.iter().filter(|it| it.replicas.contains(&node)) {
        let others: Vec<i32> = partition.replicas.iter().copied().filter(|id| *id != node).collect();
        let leads = partition.leader == Some(node) || partition.replicas.first() == Some(&node);
        if leads && !others.is_empty() {
            let last = others.iter().copied().chain([node]).collect();
            plan.leaders.push(Move::new(partition, last));
        }
        match loads.successor(node, &partition.replicas) {
            Some(successor) => {
                loads.give(node, successor);
                plan.replicas.push(Move::new(partition, others.into_iter().chain([successor]).collect()));
            }
            None => plan.kept.push((partition.topic.clone(), partition.partition)),
        }
    }
    plan
}

/// Moves replicas from the nodes that have the most to those that have the fewest, until no two differ by more than one,
/// or no move helps. The replica that moves is no leader where that can be chosen, and never shares a rack more than before.
pub(super) fn spread(picture: &Picture) -> Vec<Move> {
    let mut loads = Loads::of(picture);
    let mut targets: Vec<Vec<i32>> = picture.partitions.iter().map(|it| it.replicas.clone()).collect();
    let mut moved = BTreeSet::new();
    let moves_max = targets.iter().map(Vec::len).sum::<usize>();
    for _ in 0..moves_max {
        let Some((index, from, to)) = next_spread(picture, &loads, &targets, &moved) else { break };
        if let Some(target) = targets.get_mut(index) {
            for replica in target.iter_mut().filter(|replica| **replica == from) {
                *replica = to;
            }
        }
        loads.give(from, to);
        moved.insert(index);
    }
    let changed = picture.partitions.iter().zip(targets).filter(|(before, after)| before.replicas != *after);
    changed.map(|(before, after)| Move::new(before, after)).collect()
}

/// The partition, and from which node to which: the first that helps, of the widest gap.
fn next_spread(
    picture: &Picture,
    loads: &Loads<'_>,
    targets: &[Vec<i32>],
    moved: &BTreeSet<usize>,
) -> Option<(usize, i32, i32)> {
    let mut by_load: Vec<(usize, i32)> = loads.replicas.iter().map(|(id, held)| (*held, *id)).collect();
    by_load.sort_unstable();
    for &(most, from) in by_load.iter().rev() {
        for &(fewest, to) in &by_load {
            if most <= fewest + 1 {
                break;
            }
            let fits = |(index, target): &(usize, &Vec<i32>)| {
                let is_free = picture.partitions.get(*index).is_some_and(|it| !it.is_moving);
                let staying: Vec<i32> = target.iter().copied().filter(|id| *id != from).collect();
                is_free
                    && !moved.contains(index)
                    && target.contains(&from)
                    && !target.contains(&to)
                    && (!loads.shares_rack(to, &staying) || loads.shares_rack(from, &staying))
            };
            let leads = |(_, target): &(usize, &Vec<i32>)| target.first() == Some(&from);
            let fitting = targets.iter().enumerate().filter(fits);
            if let Some((index, _)) = fitting.min_by_key(|it| (leads(it), it.0)) {
                return Some((index, from, to));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::picture::{NodePicture, NodeState, PartitionPicture, Picture};
    use super::{drain, spread};

    /// Nodes with these racks, 1 first, and partitions of one topic on these nodes, led by the first.
    fn picture(racks: &[&str], partitions: &[&[i32]]) -> Picture {
        let node = |(id, rack): (i32, &&str)| NodePicture {
            node_id: id,
            address: None,
            rack: (!rack.is_empty()).then(|| (*rack).to_owned()),
            state: NodeState::Active,
        };
        let partition = |(index, replicas): (i32, &&[i32])| PartitionPicture {
            topic: "t".to_owned(),
            partition: index,
            leader: replicas.first().copied(),
            replicas: replicas.to_vec(),
            in_sync: replicas.to_vec(),
            ..PartitionPicture::default()
        };
        Picture {
            nodes: (1..).zip(racks).map(node).collect(),
            partitions: (0..).zip(partitions).map(partition).collect(),
            ..Picture::default()
        }
    }

    fn targets(moves: &[super::Move]) -> Vec<(i32, Vec<i32>)> {
        moves.iter().map(|it| (it.partition, it.to.clone())).collect()
    }

    #[test]
    fn a_node_of_three_gives_its_leaders_away_and_keeps_its_replicas() {
        let picture = picture(&["", "", ""], &[&[3, 1, 2], &[1, 2, 3]]);
        let plan = drain(&picture, 3);
        assert_eq!(targets(&plan.leaders), [(0, vec![1, 2, 3])]);
        assert_eq!(targets(&plan.replicas), []);
        assert_eq!(plan.kept, [("t".to_owned(), 0), ("t".to_owned(), 1)]);
    }

    #[test]
    fn the_replicas_of_a_drained_node_go_to_who_has_the_fewest_in_a_rack_of_its_own() {
        let partitions: &[&[i32]] = &[&[1, 2], &[1, 2], &[1, 3], &[4, 5]];
        let plan = drain(&picture(&["", "", "", "", ""], partitions), 1);
        assert_eq!(targets(&plan.leaders), [(0, vec![2, 1]), (1, vec![2, 1]), (2, vec![3, 1])]);
        assert_eq!(targets(&plan.replicas), [(0, vec![2, 3]), (1, vec![2, 4]), (2, vec![3, 5])]);
        assert_eq!(plan.kept, []);
        let plan = drain(&picture(&["a", "b", "b", "a"], &[&[1, 2], &[4, 3]]), 1);
        assert_eq!(
            targets(&plan.replicas),
            [(0, vec![2, 4])],
            "4 has as many as 3, in the rack that is left"
        );
    }

    #[test]
    fn a_new_node_gets_its_share_of_followers() {
        let partitions: &[&[i32]] = &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2], &[1, 2, 3]];
        let moves = spread(&picture(&["", "", "", ""], partitions));
        assert_eq!(moves.len(), 3, "{moves:?}");
        for moved in &moves {
            assert_eq!(moved.from.first(), moved.to.first(), "its leader stays: {moved:?}");
            assert!(moved.to.contains(&4), "{moved:?}");
        }
    }

    #[test]
    fn an_even_cluster_stays_as_it_is() {
        assert_eq!(spread(&picture(&["", "", ""], &[&[1, 2, 3], &[2, 3, 1]])), []);
        assert_eq!(spread(&picture(&["", ""], &[&[1]])), [], "1 and 0 is as even as it gets");
    }

    #[test]
    fn replicas_do_not_come_together_in_a_rack() {
        let partitions: &[&[i32]] = &[&[1, 2], &[1, 2], &[1, 2], &[1, 2]];
        let moves = spread(&picture(&["a", "b", "b"], partitions));
        assert_eq!(targets(&moves), [(0, vec![1, 3]), (1, vec![1, 3])]);
    }
}
