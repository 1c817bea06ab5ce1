//! The open descriptors of a volume's directories: a bounded number stays open, the least used are closed.
//!
//! It never opens anything and never hands out a descriptor of another directory: a slot belongs to one directory for
//! life. A descriptor in use is shared, so closing one here cannot pull it from under an operation.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Where one directory keeps its descriptor while it is open.
#[derive(Debug, Default)]
pub(super) struct Slot {
    descriptor: Mutex<Option<Arc<OwnedFd>>>,
    used: AtomicBool,
}

/// Which directories of a volume are open: a queue in which the recently used get a second round.
#[derive(Debug)]
pub(super) struct OpenDirs {
    queue: Mutex<VecDeque<Weak<Slot>>>,
    max: usize,
}

impl Slot {
    /// The descriptor, if it is open.
    pub(super) fn get(&self) -> Option<Arc<OwnedFd>> {
        let descriptor = locked(&self.descriptor).clone();
        if descriptor.is_some() {
            self.used.store(true, Ordering::Relaxed);
        }
        descriptor
    }
}

impl OpenDirs {
    pub(super) fn new(max: usize) -> Self {
        Self { queue: Mutex::default(), max }
    }

    /// Keeps `descriptor` open for `slot` and closes others when there are too many.
    pub(super) fn keep(&self, slot: &Arc<Slot>, descriptor: &Arc<OwnedFd>) {
        let before = locked(&slot.descriptor).replace(Arc::clone(descriptor));
        if before.is_some() {
            return; // Another thread opened it at the same time: the slot is in the queue already.
        }
        let mut queue = locked(&self.queue);
        if queue.len() >= self.max {
            queue.retain(|slot| slot.strong_count() > 0);
        }
        while queue.len() >= self.max.max(1) {
            let Some(slot) = queue.pop_front().and_then(|slot| slot.upgrade()) else { continue };
            if slot.used.swap(false, Ordering::Relaxed) {
                queue.push_back(Arc::downgrade(&slot));
            } else {
                drop(locked(&slot.descriptor).take());
            }
        }
        queue.push_back(Arc::downgrade(slot));
    }
}

/// The content of a mutex; what a panicking thread left behind is still a descriptor or none.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Arc<OwnedFd> {
        Arc::new(std::fs::File::open("/").unwrap().into())
    }

    #[test]
    fn the_one_that_was_not_used_is_closed() {
        let open = OpenDirs::new(2);
        let slots: Vec<Arc<Slot>> = (0..3).map(|_| Arc::default()).collect();
        open.keep(&slots[0], &descriptor());
        open.keep(&slots[1], &descriptor());
        assert!(slots[0].get().is_some());
        open.keep(&slots[2], &descriptor());
        assert!(slots[0].get().is_some());
        assert!(slots[1].get().is_none());
        assert!(slots[2].get().is_some());
    }

    #[test]
    fn directories_that_are_gone_make_room_first() {
        let open = OpenDirs::new(2);
        let kept: Arc<Slot> = Arc::default();
        open.keep(&kept, &descriptor());
        for _ in 0..100 {
            open.keep(&Arc::default(), &descriptor());
        }
        assert!(kept.get().is_some());
        assert!(locked(&open.queue).len() <= 2);
    }
}
