//! A layer: the root as a gzipped tar whose bytes depend on the contents and one time only. It refuses owners other than root and
//! anything that the machine it runs on would add: names of users, its own times, its own order.

use std::io::Write;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use crate::contents::{Contents, Entry};

/// A layer, ready to be named by a manifest.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The gzipped tar.
    pub bytes: Vec<u8>,
    /// The digest of the tar before it was compressed, as the configuration names it (`sha256:` and 64 digits).
    pub diff_id: String,
}

/// `sha256:` and the digest of `bytes` in lower-case hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(bytes)))
}

/// Packs `contents`, everything dated `epoch` (seconds since 1970).
///
/// # Errors
/// When a name or a target is too long for tar.
pub fn pack(contents: &Contents, epoch: u64) -> Result<Layer> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, entry) in contents.iter() {
        append(&mut tar, path, entry, epoch).with_context(|| format!("cannot put {path} into the layer"))?;
    }
    let tar = tar.into_inner()?;
    // No name and no time of its own in gzip's header.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&tar)?;
    Ok(Layer { bytes: gzip.finish()?, diff_id: digest(&tar) })
}

/// Appends one entry. Directories get a closing slash, as every reader of layers expects.
fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, entry: &Entry, epoch: u64) -> Result<()> {
    let (kind, mode, bytes) = match entry {
        Entry::Directory => (EntryType::Directory, 0o755, &[][..]),
        Entry::Text(bytes) => (EntryType::Regular, 0o644, bytes.as_slice()),
        Entry::Program(bytes) => (EntryType::Regular, 0o755, bytes.as_slice()),
        Entry::Link(_) => (EntryType::Symlink, 0o777, &[][..]),
    };
    let mut header = header(kind, mode, bytes.len(), epoch)?;
    match entry {
        Entry::Link(target) => tar.append_link(&mut header, path, target)?,
        Entry::Directory => tar.append_data(&mut header, format!("{path}/"), bytes)?,
        Entry::Text(_) | Entry::Program(_) => tar.append_data(&mut header, path, bytes)?,
    }
    Ok(())
}

/// A header of root's with nothing in it that this machine knows.
///
/// # Errors
/// When the length does not fit into it.
pub fn header(kind: EntryType, mode: u32, len: usize, epoch: u64) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(u64::try_from(len)?);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn contents() -> Result<Contents> {
        let mut contents = Contents::default();
        contents.add("usr/bin/ferry", Entry::Program(b"program".to_vec()))?;
        contents.add("bin", Entry::Link("usr/bin".to_owned()))?;
        contents.add("etc/text", Entry::Text(b"text".to_vec()))?;
        Ok(contents)
    }

    #[test]
    fn a_layer_holds_what_was_put_in_and_belongs_to_root() -> Result<()> {
        let layer = pack(&contents()?, 77)?;
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(layer.bytes.as_slice()).read_to_end(&mut tar)?;
        assert_eq!(digest(&tar), layer.diff_id);
        let mut seen = Vec::new();
        for entry in tar::Archive::new(tar.as_slice()).entries()? {
            let mut entry = entry?;
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            let header = entry.header();
            assert_eq!((header.uid()?, header.gid()?, header.mtime()?), (0, 0, 77));
            let link = entry.link_name()?.map(|link| link.display().to_string()).unwrap_or_default();
            seen.push(format!("{} {:o} {text}{link}", entry.path()?.display(), header.mode()?));
        }
        let expected = [
            "bin 777 usr/bin",
            "etc/ 755 ",
            "etc/text 644 text",
            "usr/ 755 ",
            "usr/bin/ 755 ",
            "usr/bin/ferry 755 program",
        ];
        assert_eq!(seen, expected);
        Ok(())
    }

    #[test]
    fn the_same_contents_give_the_same_bytes_and_another_time_others() -> Result<()> {
        let first = pack(&contents()?, 1)?;
        assert_eq!(first.bytes, pack(&contents()?, 1)?.bytes);
        assert_ne!(first.bytes, pack(&contents()?, 2)?.bytes);
        Ok(())
    }
}
