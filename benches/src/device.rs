//! A loop device over a file, for the case of block devices. It is detached at once, while it is still open here: the kernel
//! then frees it when the last who has it open is gone, so it outlives this process in no way it may end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::judge;

/// A loop device and the image beneath it.
#[derive(Debug)]
pub struct Device {
    node: PathBuf,
    image: PathBuf,
    /// What keeps it.
    _held: File,
}

impl Device {
    /// A device over this image; needs root.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn over(image: &Path) -> Result<Self> {
        let made = output(Command::new("losetup").args(["--show", "--find"]).arg(image))?;
        let node = PathBuf::from(made.trim());
        let held = File::open(&node).with_context(|| format!("cannot open {}", node.display()));
        output(Command::new("losetup").arg("--detach").arg(&node))?;
        Ok(Self { node, image: image.to_owned(), _held: held? })
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// Writes what was written to it into the image, and forgets what was read.
    ///
    /// # Errors
    /// When that fails.
    pub fn flush(&self) -> Result<()> {
        output(Command::new("blockdev").arg("--flushbufs").arg(&self.node)).map(drop)
    }

    /// Makes its contents those of another image, of the same size.
    ///
    /// # Errors
    /// When one cannot be read or written.
    pub fn refill(&self, from: &Path) -> Result<()> {
        // Before, so that nothing old is written later; after, so that nothing old is read.
        self.flush()?;
        let mut to = File::options().write(true).open(&self.image).context("cannot open the image of a device")?;
        let mut from = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
        let copied = io::copy(&mut from, &mut to).context("cannot fill a device")?;
        ensure!(copied == to.metadata()?.len(), "{copied} bytes do not fill a device");
        self.flush()
    }

    /// The first byte in which another differs.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn difference(&self, other: &Self) -> Result<Option<u64>> {
        self.flush()?;
        other.flush()?;
        judge::first_difference(&self.image, &other.image)
    }
}

fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("cannot start {command:?}: is util-linux installed?"))?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?} ended with {}, it needs root: {}", done.status, complaint.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::data::{self, MIB, Written};
    use crate::site::Site;

    #[test]
    fn what_is_written_to_a_device_is_a_difference_until_it_is_refilled() {
        let site = Site::scratch().unwrap();
        let image = |name: &str| site.logs().join(name);
        for name in ["one", "two", "kept"] {
            data::noise_file(&image(name), 1, MIB, Written::BEFORE).unwrap();
        }
        let (one, two) = (Device::over(&image("one")).unwrap(), Device::over(&image("two")).unwrap());
        assert_eq!(one.difference(&two).unwrap(), None);
        File::options().write(true).open(two.node()).unwrap().write_all_at(&[9; 4096], 8192).unwrap();
        assert!(one.difference(&two).unwrap().is_some_and(|at| at >= 8192));
        two.refill(&image("kept")).unwrap();
        assert_eq!(one.difference(&two).unwrap(), None);
    }

    #[test]
    fn the_kernel_frees_a_device_once_nobody_has_it_open() {
        let site = Site::scratch().unwrap();
        let image = site.logs().join("image");
        data::noise_file(&image, 1, MIB, Written::BEFORE).unwrap();
        let device = Device::over(&image).unwrap();
        let node = device.node().file_name().unwrap().to_string_lossy().into_owned();
        let flag = std::fs::read_to_string(format!("/sys/block/{node}/loop/autoclear")).unwrap();
        assert_eq!(flag.trim(), "1", "not the kernel's to free");
        drop(device);
        let over = || output(Command::new("losetup").arg("--associated").arg(&image)).unwrap();
        let start = std::time::Instant::now();
        while !over().is_empty() && start.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert_eq!(over(), "");
    }
}
