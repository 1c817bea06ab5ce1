//! The scan of a volume that is one file or one device: one batch with one entry, under the name kept for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::session::fate::Ended;
use crate::types::{ChownTo, Xattrs};
use crate::types::{Content, DirId, Entry, EntryIndex, EntryKind, FileContent, Mode, Name, Owner, Stage, Timestamp};
use crate::volume::{Listed, Status};
use crate::wire::{ListEnd, PassEnd, SINGLE_NAME};

use super::super::book::SentFile;
use super::Scan;

impl Scan<'_> {
    /// Sends the one entry of a single volume called `name`.
    pub(super) fn single(mut self, name: &Name) -> Result<PassEnd, Ended> {
        let sending = self.sending;
        let root = Arc::clone(sending.volume.root());
        let mut draft = self.draft(DirId(0));
        match self.describe(name) {
            Ok((entry, status)) => {
                draft.encoder.push(&entry);
                draft.files.push(SentFile::new(EntryIndex(0), name.clone(), status));
                self.entries = 1;
                self.bytes = status.size;
                sending.progress.entries_scanned.fetch_add(1, Relaxed);
                sending.progress.bytes_total.fetch_add(status.size, Relaxed);
            }
            Err(cause) => sending.problem(root.path().join(name), Stage::Scan, cause),
        }
        self.send(draft, &root, ListEnd::Complete)?;
        sending.progress.scan_complete.store(true, Relaxed);
        Ok(PassEnd { entries: self.entries, bytes: self.bytes, source_empty: false, last: false })
    }

    /// The entry as it goes over the wire, and what is read.
    fn describe(&self, name: &Name) -> Result<(Entry, Status), String> {
        let root = self.sending.volume.root();
        let gone = || "it is not there any more".to_owned();
        let wire_name = Name::new(SINGLE_NAME).map_err(|e| e.to_string())?;
        let status = root.content_status(name).map_err(|e| e.to_string())?.ok_or_else(gone)?;
        let content = Content::File(FileContent { size: status.size });
        match status.kind {
            EntryKind::File => {
                let listed = Listed { name: name.clone(), kind: Some(EntryKind::File), ino: status.identity.ino };
                let (status, xattrs) = self.look(root, &listed)?.ok_or_else(gone)?;
                let owner = self.sending.chown.map_or(status.owner, |ChownTo(owner)| owner);
                let content = Content::File(FileContent { size: status.size });
                let (mode, mtime) = (status.mode, status.mtime);
                Ok((Entry { name: wire_name, mode, owner, mtime, xattrs, link: None, content }, status))
            }
            EntryKind::BlockDevice => {
                let (mode, owner, mtime) = (Mode::from_st_mode(0), Owner::ROOT, Timestamp::default());
                let xattrs = Xattrs::default();
                Ok((Entry { name: wire_name, mode, owner, mtime, xattrs, link: None, content }, status))
            }
            other => Err(format!("it became a {}", other.word())),
        }
    }
}
