//! A thread that stands in the directory it looks at.
//!
//! Linux before 6.13 knows no call for the extended attributes of (directory, name). Opening each file for them is a third
//! of a run that changes nothing (engine-rules 11). A thread with a working directory of its own may stand in the
//! directory and name the entry, for whoever comes behind it cannot be led elsewhere either: a single name, not followed.
//! The process' working directory stays where it is. Where the kernel or a seccomp profile refuses, files are opened.
//!
//! Only threads that say so ([`stand_alone`]) leave the common working directory: they must start no threads and use no
//! relative paths.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::retry_on_intr;
use rustix::thread::UnshareFlags;

/// Where a thread stands.
enum Foothold {
    /// Where the process does.
    Common,
    /// On its own feet; in which directory, once it went to one.
    Own(Option<Arc<OwnedFd>>),
}

thread_local! {
    static FOOTHOLD: RefCell<Foothold> = const { RefCell::new(Foothold::Common) };
}

/// Gives this thread a working directory of its own, where that is permitted; nothing else changes where it is not.
pub fn stand_alone() {
    #[expect(deprecated, reason = "deprecated for descriptor tables only; this shares them as before")]
    let unshared = rustix::thread::unshare(UnshareFlags::FS);
    match unshared {
        Ok(()) => FOOTHOLD.set(Foothold::Own(None)),
        Err(error) => tracing::debug!(%error, "no working directory of its own: files are opened to be looked at"),
    }
}

/// True when this thread stands in `directory` now, so that a bare name is an entry of it.
pub(super) fn stands_in(directory: &Arc<OwnedFd>) -> bool {
    FOOTHOLD.with_borrow_mut(|foothold| match foothold {
        Foothold::Common => false,
        Foothold::Own(Some(at)) if Arc::ptr_eq(at, directory) => true,
        Foothold::Own(at) => {
            // What may not be entered is looked at in the other way, which has the error to tell.
            let entered = retry_on_intr(|| rustix::process::fchdir(directory)).is_ok();
            *at = entered.then(|| Arc::clone(directory));
            entered
        }
    })
}
