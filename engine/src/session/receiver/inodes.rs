//! Inodes of the destination that have several names and are changed in place all the same, because every name was found
//! in this volume and in one group of the source (engine-rules 4).
//!
//! ```text
//!  a session's first pass   a leader's large file differs and has several names: its group waits, its names are counted
//!  the end of that pass     as many names as links: none is anywhere else, the inode is whole
//!  the next pass            who comes to a whole inode first has it; a leader changes it in place, others leave it alone
//! ```
//!
//! What waits is bounded. What does not fit, or is not whole, goes the way of every file with several names: a new inode,
//! copied here. It refuses to trust the count alone: the writer asks the open file again before the first change.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use crate::plan::{Verdict, must_break};
use crate::session::fate::lock;
use crate::types::{Entry, LinkGroup, Name, limits};
use crate::volume::Identity;

use super::batches::Place;
use super::consider::IN_PLACE_LEN_MIN;
use super::context::Receiving;
use super::existing::Existing;

/// A name by the directory it is in: a directory that is seen at two places shows each name once.
type Seen = (Identity, Name);

/// The inodes of a session that are worth it.
#[derive(Debug, Default)]
pub struct Inodes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// This pass lets groups wait.
    seeks: bool,
    waiting: HashMap<LinkGroup, Waiting>,
    /// Names of all that wait.
    names: usize,
    whole: HashMap<Identity, Whole>,
}

/// The inode at which a group's leader was found, and what of its names the group has.
#[derive(Debug)]
struct Waiting {
    identity: Identity,
    links: u64,
    seen: HashSet<Seen>,
}

#[derive(Debug)]
struct Whole {
    links: u64,
    taken: Taken,
}

/// Who came to a whole inode first in this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Nobody,
    By(Option<LinkGroup>),
}

impl Inodes {
    /// A pass begins: what the one before it found whole is whole in this one, and in no later one.
    pub fn begin_pass(&self, seeks: bool) {
        let mut state = lock(&self.state);
        let waited = std::mem::take(&mut state.waiting).into_values();
        let whole = waited.filter(|inode| inode.seen.len() as u64 == inode.links);
        state.whole = whole.map(|i| (i.identity, Whole { links: i.links, taken: Taken::Nobody })).collect();
        state.names = 0;
        state.seeks = seeks;
    }

    /// Whether a group waits for the next pass.
    pub fn any_waits(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    /// Lets a group wait, whose leader is that name of that file. `false` when nothing may wait, or too much does.
    fn wait(&self, group: LinkGroup, seen: Seen, identity: Identity, links: u64) -> bool {
        let mut state = lock(&self.state);
        if !state.seeks || state.names >= limits::LINK_NAMES_WAITING_MAX {
            return false;
        }
        state.names += 1;
        state.waiting.insert(group, Waiting { identity, links, seen: HashSet::from([seen]) });
        true
    }

    /// A further name of a group that waits, and what stands there. A name that is not counted makes its inode not whole.
    pub fn found(&self, group: LinkGroup, seen: Seen, existing: Option<Identity>) {
        let mut state = lock(&self.state);
        if state.names >= limits::LINK_NAMES_WAITING_MAX {
            return;
        }
        let Some(waiting) = state.waiting.get_mut(&group) else { return };
        if existing == Some(waiting.identity) && waiting.seen.insert(seen) {
            state.names += 1;
        }
    }

    /// Whether what stands at a name may be read, kept or changed for it: a whole inode serves who came first only, for
    /// it may be changed at any moment of this pass.
    pub fn take(&self, identity: Identity, taker: Option<LinkGroup>) -> bool {
        match lock(&self.state).whole.get_mut(&identity) {
            None => true,
            Some(whole) => {
                if whole.taken == Taken::Nobody {
                    whole.taken = Taken::By(taker);
                }
                whole.taken == Taken::By(taker)
            }
        }
    }

    /// Whether that group may change that file in place, with all its names.
    fn is_whole_for(&self, identity: Identity, links: u64, group: Option<LinkGroup>) -> bool {
        let state = lock(&self.state);
        let whole = state.whole.get(&identity).filter(|whole| group.is_some() && links <= whole.links);
        whole.is_some_and(|whole| whole.taken == Taken::By(group))
    }
}

impl Receiving {
    /// Whether nothing but other names of its inode is against changing a file in place.
    pub fn may_be_in_place(&self, existing: &Existing) -> bool {
        !self.options.atomic && !existing.status.mode.is_set_id() && !existing.has_capability()
    }

    /// Whether other names of a file's inode are against changing it for this entry.
    pub fn must_break(&self, entry: &Entry, existing: &Existing) -> bool {
        must_break(entry, &existing.plan)
            && !self.inodes.is_whole_for(existing.status.identity, existing.status.nlink, entry.link)
    }

    /// Whether a leader waits for the next pass, when it will be known whether its file may be changed in place.
    pub fn waits_for_its_names(&self, place: &Place, entry: &Entry, existing: &Existing, verdict: Verdict) -> bool {
        let Some(group) = entry.link else { return false };
        let status = &existing.status;
        let differs = match verdict {
            // With equal size and time only `--checksum` asks; that it finds something is not likely.
            Verdict::Content => entry.size() != status.size || self.volume.clamp(entry.mtime) != status.mtime,
            Verdict::Keep { attributes } => attributes.any(),
            Verdict::Create | Verdict::Replace | Verdict::Blocked | Verdict::MakeWay => false,
        };
        // What is smaller is sent whole, or copied sooner than a pass goes by.
        let is_large = entry.size() > limits::PACKED_FILE_LEN_MAX
            && status.size > 0
            && entry.size().max(status.size) >= IN_PLACE_LEN_MIN;
        let waits = differs
            && is_large
            && self.must_break(entry, existing)
            && self.may_be_in_place(existing)
            && self.inodes.wait(group, (place.dir.identity(), entry.name.clone()), status.identity, status.nlink);
        if waits {
            self.links.postpone(group);
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INODE: Identity = Identity { dev: 1, ino: 7 };
    const ONE: Option<LinkGroup> = Some(LinkGroup(1));
    const OTHER: Option<LinkGroup> = Some(LinkGroup(2));

    fn seen(dir: u64, name: &[u8]) -> Seen {
        (Identity { dev: 1, ino: dir }, Name::new(name).unwrap())
    }

    /// Group 1 is led by an inode of so many links; what else is seen of it.
    fn after(links: u64, others: &[(u64, &[u8], Identity)]) -> Inodes {
        let inodes = Inodes::default();
        inodes.begin_pass(true);
        assert!(inodes.wait(LinkGroup(1), seen(2, b"leader"), INODE, links));
        for (dir, name, identity) in others {
            inodes.found(LinkGroup(1), seen(*dir, name), Some(*identity));
        }
        inodes.found(LinkGroup(1), seen(2, b"missing"), None);
        assert!(inodes.any_waits());
        inodes.begin_pass(false);
        inodes
    }

    #[test]
    fn an_inode_is_whole_when_every_name_was_seen_in_one_group() {
        let another = Identity { dev: 1, ino: 8 };
        let whole = after(3, &[(2, b"a", INODE), (3, b"a", INODE), (3, b"b", another)]);
        assert!(whole.take(INODE, ONE) && whole.is_whole_for(INODE, 3, ONE));
        assert!(whole.is_whole_for(INODE, 2, ONE), "a name less");
        assert!(!whole.is_whole_for(INODE, 4, ONE), "a name more");
        let lacking = after(3, &[(2, b"a", INODE)]);
        assert!(lacking.take(INODE, ONE) && !lacking.is_whole_for(INODE, 3, ONE), "a name is elsewhere");
        let twice = after(3, &[(2, b"a", INODE), (2, b"a", INODE)]);
        assert!(twice.take(INODE, ONE) && !twice.is_whole_for(INODE, 3, ONE), "one name at two places");
    }

    #[test]
    fn a_whole_inode_is_for_who_comes_first_and_for_one_pass() {
        let inodes = after(2, &[(2, b"a", INODE)]);
        assert!(!inodes.is_whole_for(INODE, 2, ONE), "nobody has taken it");
        assert!(inodes.take(INODE, OTHER), "groups may have changed");
        assert!(!inodes.take(INODE, ONE) && !inodes.take(INODE, None));
        assert!(inodes.is_whole_for(INODE, 2, OTHER) && !inodes.is_whole_for(INODE, 2, ONE));
        inodes.begin_pass(false);
        assert!(inodes.take(INODE, ONE) && !inodes.is_whole_for(INODE, 2, ONE), "it was for one pass");
        let read = after(2, &[(2, b"a", INODE)]);
        assert!(read.take(INODE, None) && !read.take(INODE, ONE), "it is being read");
        assert!(!read.is_whole_for(INODE, 2, None));
    }

    #[test]
    fn only_a_first_pass_lets_groups_wait_and_only_so_many() {
        let inodes = Inodes::default();
        inodes.begin_pass(false);
        assert!(!inodes.wait(LinkGroup(1), seen(2, b"a"), INODE, 2));
        inodes.begin_pass(true);
        for number in 0..limits::LINK_NAMES_WAITING_MAX as u64 {
            assert!(inodes.wait(LinkGroup(number), seen(number, b"a"), INODE, 2));
        }
        assert!(!inodes.wait(LinkGroup(u64::MAX), seen(1, b"b"), INODE, 2));
        inodes.found(LinkGroup(1), seen(1, b"b"), Some(INODE));
        inodes.begin_pass(false);
        assert!(inodes.take(INODE, ONE) && !inodes.is_whole_for(INODE, 2, ONE), "what was not counted is not known");
    }
}
