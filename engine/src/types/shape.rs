//! What a volume is: a tree, one file, or one block device.

/// What a volume is, with the size of what is a single thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A directory: its contents are the volume's contents.
    Directory,
    /// One regular file of so many bytes.
    File {
        /// Bytes from start to end, holes included.
        size: u64,
    },
    /// One block device of so many bytes.
    Device {
        /// Bytes from start to end.
        size: u64,
    },
}

impl Shape {
    /// The words people use for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File { .. } => "a single file",
            Self::Device { .. } => "a block device",
        }
    }

    /// True for one file or one device.
    #[must_use]
    pub fn is_single(self) -> bool {
        match self {
            Self::Directory => false,
            Self::File { .. } | Self::Device { .. } => true,
        }
    }
}
