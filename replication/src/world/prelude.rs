//! Moments that histories begin in, because chance leads there rarely and much can go wrong from there.

use super::World;
use super::checker::Violation;
use storage::ids::BrokerId;

const A: BrokerId = BrokerId(1);
const B: BrokerId = BrokerId(2);
const C: BrokerId = BrokerId(3);

impl World {
    /// Every node learns what the controller has decided.
    pub(super) fn learn_all(&mut self) -> Result<(), Violation> {
        let latest = self.controller.latest_index();
        [A, B, C].into_iter().try_for_each(|id| self.learn(id, latest))
    }

    /// A follower fetches once: its request reaches the leader, and the answer comes back.
    pub(super) fn exchange(&mut self, id: BrokerId) -> Result<(), Violation> {
        if self.open_connection(id).is_none() {
            self.connect(id);
        }
        self.fetch(id);
        let is_open = |world: &Self, index: usize| {
            world.connections.get(index).is_some_and(|it| it.follower == id && it.is_open())
        };
        let Some(index) = (0..self.connections.len()).find(|index| is_open(self, *index)) else {
            return Ok(());
        };
        while is_open(self, index) && self.connections[index].has_mail() {
            self.deliver_to_leader(index)?;
            self.deliver_to_follower(index)?;
        }
        Ok(())
    }

    fn write_many(&mut self, id: BrokerId, count: usize) -> Result<(), Violation> {
        (0..count).try_for_each(|_| self.write(id).map(drop))
    }

    fn flush_all(&mut self, id: BrokerId) -> Result<(), Violation> {
        self.flush(id, self.node(id).log.end())
    }

    /// The third replica is out of sync and has nothing, and the second leads, before it has heard that what the first
    /// and itself hold is committed.
    pub(super) fn after_an_election(&mut self) -> Result<(), Violation> {
        self.controller.fence(C);
        self.controller.unfence(C);
        self.learn_all()?;
        self.write_many(A, 12)?;
        self.flush_all(A)?;
        for _ in 0..3 {
            self.exchange(B)?;
        }
        self.flush_all(B)?;
        let to_a = self.connections.len() - 1;
        self.deliver_to_leader(to_a)?;
        self.controller.move_leader(B);
        self.learn_all()
    }

    /// The third replica flushed records of the first, which the second did not have and cut away when it led for a while;
    /// the first leads again and has written others with the second, and the word of that flush is still on its way to it.
    pub(super) fn after_a_leader_came_back(&mut self) -> Result<(), Violation> {
        self.write_many(A, 4)?;
        self.exchange(C)?;
        self.flush_all(C)?;
        for leader in [B, A] {
            self.controller.move_leader(leader);
            self.learn_all()?;
            self.exchange(C)?;
            self.exchange(C)?;
        }
        self.write_many(A, 4)?;
        self.exchange(B)?;
        self.flush_all(A)?;
        self.flush_all(B)?;
        self.exchange(B)
    }
}
