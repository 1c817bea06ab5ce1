//! Content as one zstd frame, and back: contexts that are made once a thread and used again.
//!
//! What is compressed is ours; what is decompressed is a peer's. Of the latter nothing is believed: a frame says how long its
//! content is, that must be what was announced, and no byte beyond it is ever written or made room for. Refuses several
//! frames in a row, frames that are to be skipped, dictionaries, and content that does not shrink by a twentieth.

use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

/// The first bytes of a zstd frame with content (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Content of which fewer bytes are saved than one in so many is not worth the decompression.
const SAVED_MIN: usize = 20;

/// Why a frame is not the content that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// Not one whole zstd frame, or more than one.
    #[error("compressed content is not one whole zstd frame")]
    NoFrame,
    /// It names another length, or none.
    #[error("compressed content names another length than was announced")]
    OtherLength,
    /// It does not unfold to what it names.
    #[error("compressed content is damaged")]
    Damaged,
}

/// Compresses content, one piece at a time. Its memory is made with the first piece.
#[derive(Default)]
pub struct Compressor {
    context: Option<(i32, zstd::bulk::Compressor<'static>)>,
    out: Vec<u8>,
}

/// Decompresses what a peer sent, one piece at a time. Its memory is made with the first piece.
#[derive(Default)]
pub struct Decompressor {
    context: Option<zstd::bulk::Decompressor<'static>>,
    out: Vec<u8>,
}

impl Compressor {
    /// `content` as one frame that names its length, at a level of zstd's (negative ones are faster than 1). `None` when it
    /// does not shrink by a twentieth, or cannot be compressed for want of memory: it is sent as it is then.
    pub fn compress(&mut self, content: &[u8], level: i32) -> Option<&[u8]> {
        let room = content.len() - content.len() / SAVED_MIN;
        if self.out.len() < room {
            self.out.resize(room, 0);
        }
        let (current, context) = match &mut self.context {
            Some(context) => context,
            none => none.insert((level, zstd::bulk::Compressor::new(level).ok()?)),
        };
        if *current != level {
            context.set_compression_level(level).ok()?;
            *current = level;
        }
        // With less room than the content has, what does not shrink ends early.
        let out = self.out.get_mut(..room)?;
        let len = context.compress_to_buffer(content, out).ok()?;
        self.out.get(..len).filter(|_| len < content.len())
    }
}

impl Decompressor {
    /// The `len` bytes that `frame` holds; `len` must be bounded by the caller, room is made for so many.
    ///
    /// # Errors
    /// [`DecompressError`]: it is not one frame of exactly so many bytes.
    pub fn decompress(&mut self, frame: &[u8], len: usize) -> Result<&[u8], DecompressError> {
        let is_content = frame.starts_with(&MAGIC);
        if !is_content || find_frame_compressed_size(frame) != Ok(frame.len()) {
            return Err(DecompressError::NoFrame);
        }
        match get_frame_content_size(frame) {
            Ok(Some(named)) if named == len as u64 => {}
            _ => return Err(DecompressError::OtherLength),
        }
        if self.out.len() < len {
            self.out.resize(len, 0);
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(|_| DecompressError::Damaged)?),
        };
        let out = self.out.get_mut(..len).ok_or(DecompressError::Damaged)?;
        match context.decompress_to_buffer(frame, out) {
            Ok(made) if made == len => self.out.get(..len).ok_or(DecompressError::Damaged),
            Ok(_) | Err(_) => Err(DecompressError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        (0..).flat_map(|n: u32| format!("line {n} of something that repeats\n").into_bytes()).take(len).collect()
    }

    /// Bytes without any pattern.
    fn noise(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut out);
        out
    }

    fn frame(content: &[u8]) -> Vec<u8> {
        Compressor::default().compress(content, 1).unwrap().to_vec()
    }

    #[test]
    fn content_comes_back_at_every_level_with_the_same_contexts() {
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        for level in [-5, 1, 3, 19, 1] {
            for len in [2_000, 262_144, 70_000] {
                let content = text(len);
                let short = compressor.compress(&content, level).unwrap();
                assert!(short.len() < len / 2, "{len} at level {level}");
                assert_eq!(decompressor.decompress(short, len), Ok(content.as_slice()));
            }
        }
    }

    #[test]
    fn what_does_not_shrink_is_left_as_it_is() {
        let mut compressor = Compressor::default();
        assert_eq!(compressor.compress(&noise(262_144), 1), None);
        assert_eq!(compressor.compress(&noise(262_144), 19), None);
        assert_eq!(compressor.compress(b"", 1), None);
        assert_eq!(compressor.compress(b"a", 1), None);
        // A failure leaves nothing behind.
        assert!(compressor.compress(&text(1_000), 1).is_some());
    }

    #[test]
    fn a_frame_of_another_length_than_announced_is_refused_before_anything_is_made() {
        let bomb = frame(&vec![0; 64 << 20]);
        assert!(bomb.len() < 8_192);
        let mut decompressor = Decompressor::default();
        for announced in [1 << 20, 0, (64 << 20) - 1, (64 << 20) + 1] {
            assert_eq!(decompressor.decompress(&bomb, announced), Err(DecompressError::OtherLength));
        }
        assert_eq!(decompressor.out.capacity(), 0, "room was made for a bomb");
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_damaged_and_writes_nothing_beyond() {
        // The content's length stands in the frame's head, behind the magic, the descriptor and the window: 4 bytes.
        let honest = frame(&vec![7; 1 << 20]);
        assert_eq!(honest[6..10], (1_u32 << 20).to_le_bytes(), "another head than expected");
        let mut decompressor = Decompressor::default();
        for len in [1_000_u32, (1 << 20) - 1, (1 << 20) + 1, 4 << 20] {
            let mut lying = honest.clone();
            lying[6..10].copy_from_slice(&len.to_le_bytes());
            assert_eq!(decompressor.decompress(&lying, len as usize), Err(DecompressError::Damaged), "{len}");
        }
        assert!(decompressor.out.len() <= 4 << 20);
        assert_eq!(
            decompressor.decompress(&honest, 1 << 20).map(<[u8]>::len),
            Ok(1 << 20),
            "a lie spoiled the context"
        );
    }

    #[test]
    fn garbage_cuts_and_several_frames_are_no_frame() {
        let mut decompressor = Decompressor::default();
        let honest = frame(&text(5_000));
        for cut in 0..honest.len() {
            assert!(decompressor.decompress(&honest[..cut], 5_000).is_err(), "cut to {cut}");
        }
        let twice = [honest.as_slice(), &honest].concat();
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], honest.as_slice()].concat();
        for bad in [noise(5_000), twice, skipped, [honest.as_slice(), b"!"].concat(), Vec::new()] {
            assert_eq!(decompressor.decompress(&bad, 5_000), Err(DecompressError::NoFrame));
        }
        for at in 0..honest.len() {
            let mut bent = honest.clone();
            bent[at] ^= 0x55;
            // What still unfolds to so many bytes is for the digest to judge.
            if let Ok(made) = decompressor.decompress(&bent, 5_000) {
                assert_eq!(made.len(), 5_000);
            }
        }
    }
}
