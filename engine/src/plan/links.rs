//! Finds the names of one inode while the source is walked: the first is the leader and has the content, the others
//! become links to it.
//!
//! Memory is what matters here: about 24 bytes for each inode of which some names were not seen yet, at most
//! `LINK_GROUPS_MAX` of them. An inode is forgotten with its last name. The table knows numbers only, no names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::types::{LinkGroup, limits};

/// A name of an inode with several names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenLink {
    /// The group of names it belongs to.
    pub group: LinkGroup,
    /// True for the first name of the group in this pass.
    pub leader: bool,
}

/// Inodes with several names, of the current pass.
pub struct LinkTable {
    inodes: HashMap<Inode, Group>,
    next: u32,
    max: usize,
}

#[derive(PartialEq, Eq, Hash)]
struct Inode {
    dev: u64,
    ino: u64,
}

struct Group {
    number: u32,
    /// Names not seen yet.
    names_left: u32,
}

impl Default for LinkTable {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::with_bound(limits::LINK_GROUPS_MAX)
    }

    fn with_bound(max: usize) -> Self {
        Self { inodes: HashMap::new(), next: 0, max }
    }

    /// Another pass begins: every name is seen anew, and groups are numbered from 0 again.
    pub fn new_pass(&mut self) {
        self.inodes.clear();
        self.next = 0;
    }

    /// A name of the inode `(dev, ino)` with `nlink` names, 2 or more (an inode with one name needs no table).
    ///
    /// `None` when there is no room for another inode: the name is then sent as a file of its own, which is a problem
    /// to record. A name that appears while the pass goes on, after all that were counted, leads a group of its own.
    pub fn see(&mut self, dev: u64, ino: u64, nlink: u64) -> Option<SeenLink> {
        let full = self.inodes.len() >= self.max;
        match self.inodes.entry(Inode { dev, ino }) {
            Entry::Occupied(mut seen) => {
                let group = seen.get_mut();
                let link = SeenLink { group: LinkGroup(group.number.into()), leader: false };
                group.names_left -= 1;
                if group.names_left == 0 {
                    seen.remove();
                }
                Some(link)
            }
            Entry::Vacant(_) if full => None,
            Entry::Vacant(place) => {
                let number = self.next;
                self.next = number.checked_add(1)?;
                let names_left = u32::try_from(nlink.saturating_sub(1)).unwrap_or(u32::MAX);
                if names_left > 0 {
                    place.insert(Group { number, names_left });
                }
                Some(SeenLink { group: LinkGroup(number.into()), leader: true })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(group: u64, leader: bool) -> Option<SeenLink> {
        Some(SeenLink { group: LinkGroup(group), leader })
    }

    #[test]
    fn the_first_name_leads_and_the_others_follow() {
        let mut table = LinkTable::new();
        assert_eq!(table.see(1, 7, 3), seen(0, true));
        assert_eq!(table.see(1, 8, 2), seen(1, true));
        assert_eq!(table.see(1, 7, 3), seen(0, false));
        assert_eq!(table.see(1, 8, 2), seen(1, false));
        assert_eq!(table.see(1, 7, 3), seen(0, false));
    }

    #[test]
    fn the_same_number_on_another_device_is_another_inode() {
        let mut table = LinkTable::new();
        assert_eq!(table.see(1, 7, 2), seen(0, true));
        assert_eq!(table.see(2, 7, 2), seen(1, true));
    }

    #[test]
    fn an_inode_is_forgotten_with_its_last_name() {
        let mut table = LinkTable::new();
        table.see(1, 7, 2);
        table.see(1, 7, 2);
        assert!(table.inodes.is_empty());
        assert_eq!(table.see(1, 7, 3), seen(1, true), "a name made meanwhile leads a group of its own");
    }

    #[test]
    fn a_full_table_still_knows_what_it_knew() {
        let mut table = LinkTable::with_bound(1);
        assert_eq!(table.see(1, 7, 2), seen(0, true));
        assert_eq!(table.see(1, 8, 2), None);
        assert_eq!(table.see(1, 7, 2), seen(0, false));
        assert_eq!(table.see(1, 8, 2), seen(1, true), "there is room again");
    }

    #[test]
    fn a_new_pass_sees_every_name_anew() {
        let mut table = LinkTable::new();
        table.see(1, 7, 2);
        table.new_pass();
        assert_eq!(table.see(1, 7, 2), seen(0, true));
    }

    #[test]
    fn an_inode_takes_24_bytes() {
        assert_eq!(size_of::<(Inode, Group)>(), 24);
    }
}
