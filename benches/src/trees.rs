//! Writes larger trees: a million tiny files in deep directories, and what a home directory holds. The same arguments give the
//! same names, bytes and times.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::data::{self, MIB, Written};
use crate::noise::Noise;
use crate::prose::Prose;

/// Files a directory.
const FILES: u64 = 100;

/// A file of text.
///
/// # Errors
/// When it cannot be written.
pub fn text_file(path: &Path, prose: &mut Prose, size: u64, written: Written) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut buffer = vec![0; usize::try_from(size.min(MIB)).unwrap_or_default()];
    let mut left = size;
    while left > 0 {
        let piece = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let piece = buffer.get_mut(..piece).unwrap_or_default();
        prose.fill(piece);
        file.write_all(piece)?;
        left -= piece.len() as u64;
    }
    data::date(path, written)
}

/// `count` files of 1 to 200 bytes of noise; of directories each holds three more, so a million files lie up to ten deep.
///
/// # Errors
/// When it cannot be written.
pub fn tiny_files(root: &Path, seed: u64, count: u64) -> Result<()> {
    let (mut noise, mut bytes) = (Noise::new(seed), [0; 200]);
    let mut directory = PathBuf::new();
    for file in 0..count {
        if file % FILES == 0 {
            directory = nested(root, file / FILES)?;
        }
        let size = usize::try_from(noise.below(200)).unwrap_or_default() + 1;
        let content = bytes.get_mut(..size).unwrap_or_default();
        noise.fill(content);
        let path = directory.join(format!("{:02}", file % FILES));
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(content)?;
            data::stamp(&file, Written::BEFORE)
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// `count` entries as in a home directory: half of them small texts, a quarter longer ones, pictures, a few films and archives;
/// symbolic and hard links; programs, and files for nobody else's eyes.
///
/// # Errors
/// When it cannot be written.
pub fn home(root: &Path, seed: u64, count: u64) -> Result<()> {
    let (mut noise, mut prose) = (Noise::new(seed), Prose::new(seed));
    let (mut directory, mut last) = (PathBuf::new(), None);
    for entry in 0..count {
        // Some directories hold little, some much.
        if entry == 0 || noise.below(20) == 0 {
            directory = nested(root, noise.below(count / 20 + 1))?;
        }
        let path = directory.join(format!("entry-{entry}"));
        last = match (entry % 50, last) {
            (48, Some(target)) => {
                fs::hard_link(&target, &path).with_context(|| format!("cannot link {}", path.display()))?;
                None
            }
            (49, target) => {
                symlink(format!("entry-{}", entry - 2), &path)?;
                target
            }
            _ => {
                home_file(&path, &mut noise, &mut prose)?;
                Some(path)
            }
        };
    }
    Ok(())
}

fn home_file(path: &Path, noise: &mut Noise, prose: &mut Prose) -> Result<()> {
    match noise.below(200) {
        0 => text_file(path, prose, 0, Written::BEFORE)?,
        1..=109 => text_file(path, prose, noise.log_normal(2 << 10), Written::BEFORE)?,
        110..=159 => text_file(path, prose, noise.log_normal(16 << 10), Written::BEFORE)?,
        160..=189 => data::noise_file(path, noise.number(), noise.log_normal(100 << 10), Written::BEFORE)?,
        190..=197 => data::noise_file(path, noise.number(), noise.log_normal(MIB), Written::BEFORE)?,
        198 => data::noise_file(path, noise.number(), noise.log_normal(8 * MIB), Written::BEFORE)?,
        _ => text_file(path, prose, noise.log_normal(8 * MIB), Written::BEFORE)?,
    }
    let mode = match noise.below(20) {
        0 | 1 => 0o755,
        2 => 0o600,
        _ => 0o644,
    };
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// The directory of this number, made: number 0 lies in the root, those from 3n + 1 to 3n + 3 in number n.
fn nested(root: &Path, number: u64) -> Result<PathBuf> {
    let mut numbers = vec![number];
    while let Some(above) = numbers.last().and_then(|number| number.checked_sub(1)) {
        numbers.push(above / 3);
    }
    let path = numbers.iter().rev().fold(root.to_owned(), |path, number| path.join(format!("d{number}")));
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;
    use crate::site::Site;

    #[test]
    fn trees_are_the_same_each_time() {
        let site = Site::scratch().unwrap();
        for root in [site.source(), site.destination()] {
            tiny_files(&root, 1, 1000).unwrap();
            home(&root.join("home"), 1, 300).unwrap();
        }
        assert_eq!(judge::difference(&site.source(), &site.destination()).unwrap(), None);
    }

    #[test]
    fn a_home_holds_links_of_both_kinds_programs_and_secrets() {
        use std::os::unix::fs::MetadataExt;
        let site = Site::scratch().unwrap();
        home(&site.source(), 1, 400).unwrap();
        let (mut pending, mut found) = (vec![site.source()], [0; 4]);
        while let Some(path) = pending.pop() {
            for entry in fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                let facts = fs::symlink_metadata(&path).unwrap();
                let kinds = [facts.is_symlink(), facts.is_file() && facts.nlink() == 2];
                let modes = [facts.is_file() && facts.mode() & 0o7777 == 0o755, facts.mode() & 0o7777 == 0o600];
                found.iter_mut().zip(kinds.into_iter().chain(modes)).for_each(|(count, is)| *count += u32::from(is));
                if facts.is_dir() {
                    pending.push(path);
                }
            }
        }
        assert!(found.iter().all(|count| *count > 4), "{found:?}");
    }

    #[test]
    fn a_million_tiny_files_lie_ten_deep() {
        let site = Site::scratch().unwrap();
        let deepest = nested(&site.source(), 9999).unwrap();
        assert_eq!(deepest.strip_prefix(site.source()).unwrap().components().count(), 10, "{}", deepest.display());
    }
}
