//! Hard-link groups of a pass: the first name of a group is its leader, the others become links to it when it is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::session::fate::lock;
use crate::types::{Entry, LinkGroup, LossKind, Name};
use crate::volume::{Identity, Status};

use super::batches::{OpenBatch, Place};

/// The leader of a group, where it stands.
#[derive(Clone, Debug)]
pub struct Leader {
    pub place: Arc<Place>,
    pub name: Name,
    pub identity: Identity,
}

/// A name that waits for its leader.
#[derive(Debug)]
pub struct Waiter {
    pub batch: Arc<OpenBatch>,
    pub entry: Entry,
    /// What stands at that name now.
    pub existing: Option<Status>,
}

/// What became of a name that joined a group.
#[derive(Debug)]
pub enum Joined {
    /// The leader is there: link now.
    Ready(Leader, Box<Waiter>),
    /// It will be linked when the leader is there.
    Waiting,
    /// The leader failed.
    Failed(Failure),
    /// The group waits for the next pass.
    Postponed(Box<Waiter>),
}

/// Why a leader failed. Problems are those of the pass: a further pass meets them again or mends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is a problem, here or at the sender.
    Problem,
    /// It cannot be kept by rule.
    Lost(LossKind),
}

#[derive(Debug)]
enum Group {
    Pending(Vec<Waiter>),
    Ready(Leader),
    Failed(Failure),
    Postponed,
}

/// The groups of a pass.
#[derive(Debug, Default)]
pub struct Links {
    groups: Mutex<HashMap<LinkGroup, Group>>,
    /// Inodes of the destination that a group has kept; no other group may keep them.
    claimed: Mutex<HashMap<Identity, LinkGroup>>,
}

impl Links {
    /// A new pass: groups are numbered anew.
    pub fn clear(&self) {
        lock(&self.groups).clear();
        lock(&self.claimed).clear();
    }

    /// Whether the entry is the first of its group; if so it leads from here on.
    pub fn lead(&self, group: LinkGroup) -> bool {
        let mut groups = lock(&self.groups);
        if groups.contains_key(&group) {
            return false;
        }
        groups.insert(group, Group::Pending(Vec::new()));
        true
    }

    /// A further name of a group.
    pub fn join(&self, group: LinkGroup, waiter: Waiter) -> Joined {
        match lock(&self.groups).get_mut(&group) {
            Some(Group::Pending(waiters)) => {
                waiters.push(waiter);
                Joined::Waiting
            }
            Some(Group::Ready(leader)) => Joined::Ready(leader.clone(), Box::new(waiter)),
            Some(Group::Failed(why)) => Joined::Failed(*why),
            Some(Group::Postponed) => Joined::Postponed(Box::new(waiter)),
            None => Joined::Failed(Failure::Problem),
        }
    }

    /// The inode of a group's leader, when that is there.
    pub fn leading(&self, group: LinkGroup) -> Option<Identity> {
        match lock(&self.groups).get(&group) {
            Some(Group::Ready(leader)) => Some(leader.identity),
            Some(Group::Pending(_) | Group::Failed(_) | Group::Postponed) | None => None,
        }
    }

    /// The leader is there; those who waited for it.
    pub fn ready(&self, group: LinkGroup, leader: Leader) -> Vec<Waiter> {
        self.replace(group, Group::Ready(leader))
    }

    /// The leader failed; those who waited for it.
    pub fn failed(&self, group: LinkGroup, why: Failure) -> Vec<Waiter> {
        self.replace(group, Group::Failed(why))
    }

    /// Nothing becomes of the group in this pass; said by its leader, before any other name joins.
    pub fn postpone(&self, group: LinkGroup) {
        self.replace(group, Group::Postponed);
    }

    fn replace(&self, group: LinkGroup, now: Group) -> Vec<Waiter> {
        match lock(&self.groups).insert(group, now) {
            Some(Group::Pending(waiters)) => waiters,
            Some(Group::Ready(_) | Group::Failed(_) | Group::Postponed) | None => Vec::new(),
        }
    }

    /// Whether `group` may keep the inode it found at the destination: the first group to ask may.
    pub fn claim(&self, identity: Identity, group: LinkGroup) -> bool {
        *lock(&self.claimed).entry(identity).or_insert(group) == group
    }
}
