//! The scan of a directory of a thousand files: names, status, and extended attributes where they are asked for. The directory
//! is made in the system's place for temporary files and removed at the end; the cache is warm.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use ferry_engine::types::limits::BATCH_ENTRIES_MAX;
use ferry_engine::volume::{Dir, Volume};

const FILES: u32 = 1_000;

/// A directory that is removed with what is in it.
struct Scratch(PathBuf);

/// # Errors
/// When the directory cannot be made or scanned.
pub fn measure(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let scratch = Scratch(std::env::temp_dir().join(format!("ferry-microbench-{}", std::process::id())));
    fill(&scratch.0)?;
    let volume = Volume::open_source(&scratch.0)?;
    let mut group = criterion.benchmark_group("scan of 1000 files");
    group.throughput(Throughput::Elements(FILES.into()));
    for (name, look) in [("names", Look::Names), ("status", Look::Status), ("status and xattrs", Look::Everything)] {
        let found = scan(volume.root(), look)?;
        if found != FILES as usize {
            return Err(format!("{found} of {FILES} files were found").into());
        }
        group.bench_function(name, |bencher| bencher.iter(|| scan(volume.root(), look)));
    }
    group.finish();
    Ok(())
}

/// How closely each entry is looked at.
#[derive(Clone, Copy)]
enum Look {
    Names,
    Status,
    Everything,
}

/// Lists a directory and counts what is there.
fn scan(dir: &Arc<Dir>, look: Look) -> Result<usize, String> {
    let mut listing = dir.listing().map_err(|error| error.to_string())?;
    let mut found = 0;
    loop {
        let chunk = listing.next_chunk(BATCH_ENTRIES_MAX).map_err(|error| error.to_string())?;
        if chunk.is_empty() {
            return Ok(found);
        }
        for listed in chunk {
            let there = match look {
                Look::Names => true,
                Look::Status => dir.status_of(&listed.name).map_err(|error| error.to_string())?.is_some(),
                Look::Everything => {
                    dir.inspect(&listed.name, listed.kind, &|_| true).map_err(|_| "cannot be inspected")?.is_some()
                }
            };
            found += usize::from(there);
        }
    }
}

fn fill(root: &Path) -> std::io::Result<()> {
    fs::create_dir(root)?;
    (0..FILES).try_for_each(|number| fs::write(root.join(format!("file-{number:04}")), number.to_le_bytes()))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the place for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
