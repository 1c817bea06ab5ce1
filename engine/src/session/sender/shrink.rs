//! One lane's compression: what the next frame gets, what came of it, and the time that took.
//!
//! `plan` decides, `delta` compresses; here they meet the clock. Refuses to spend more than a glance on content like the last
//! that did not shrink.

use std::time::{Duration, Instant};

use crate::delta::Compressor;
use crate::plan::{Compression, FrameCoding, Probed, SentFrame};
use crate::types::Compress;

/// Less content than this is sent as it is.
const CONTENT_LEN_MIN: usize = 256;
/// Of content at least this long a sample is looked at first, when there is doubt.
const SAMPLED_LEN_MIN: usize = 65_536;
/// Bytes of each part of a sample.
const SAMPLE_PART_LEN: usize = 4_096;
/// Parts of a sample, spread over the content.
const SAMPLE_PARTS: usize = 4;
/// The level a sample is compressed with: the question is whether, not how far.
const SAMPLE_LEVEL: i32 = 1;

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Bytes of content it stands for.
    pub content: u64,
    /// Of them, those that are in it.
    pub literal: u64,
    /// Bytes these take, if they are compressed.
    pub compressed_to: Option<u64>,
}

/// The compression of one lane.
pub struct Shrinker {
    course: Compression,
    compressor: Compressor,
    sampler: Compressor,
    sample: Vec<u8>,
    /// The last content that was tried did not shrink.
    doubts: bool,
    /// Content that is read before it is known how it is sent.
    pub room: Vec<u8>,
    /// Since when the thread has been at the next frame, less what it waited meanwhile.
    since: Instant,
    compressing: Duration,
    waited: Duration,
}

impl Shrinker {
    /// Of a lane on which nothing was sent yet.
    pub fn new(asked: Compress) -> Self {
        Self {
            course: Compression::new(asked),
            compressor: Compressor::default(),
            sampler: Compressor::default(),
            sample: Vec::new(),
            doubts: false,
            room: Vec::new(),
            since: Instant::now(),
            compressing: Duration::ZERO,
            waited: Duration::ZERO,
        }
    }

    /// The thread has something to do again; until now it was idle.
    pub fn resumed(&mut self) {
        self.since = Instant::now();
        self.waited = Duration::ZERO;
    }

    /// Whether the next content is sent as it is, whatever it is.
    pub fn is_plain(&self) -> bool {
        self.course.next_frame() == FrameCoding::Plain
    }

    /// The next content, compressed; `None` when it is to be sent as it is.
    pub fn shrink(&mut self, content: &[u8]) -> Option<&[u8]> {
        let coding = self.course.next_frame();
        if coding == FrameCoding::Plain || content.len() < CONTENT_LEN_MIN {
            return None;
        }
        let begun = Instant::now();
        let level = match coding {
            FrameCoding::Plain => None,
            FrameCoding::Compress(level) => Some(level),
            FrameCoding::Probe { level, sent } => {
                let wire = self.compressor.compress(content, level).map_or(content.len(), <[u8]>::len);
                let (content, wire) = (content.len() as u64, wire as u64);
                self.course.probed(&Probed { content, wire, took: begun.elapsed() });
                sent
            }
        };
        let promises = level.filter(|_| !self.doubts || self.sample_shrinks(content));
        let short = promises.and_then(|level| self.compressor.compress(content, level));
        self.compressing += begun.elapsed();
        if level.is_some() {
            self.doubts = short.is_none();
        }
        short
    }

    fn sample_shrinks(&mut self, content: &[u8]) -> bool {
        if content.len() < SAMPLED_LEN_MIN {
            return true;
        }
        self.sample.clear();
        for part in content.chunks(content.len() / SAMPLE_PARTS).take(SAMPLE_PARTS) {
            self.sample.extend_from_slice(part.get(..SAMPLE_PART_LEN).unwrap_or_default());
        }
        self.sampler.compress(&self.sample, SAMPLE_LEVEL).is_some()
    }

    /// The thread waited since then for room to send.
    pub fn waited(&mut self, since: Instant) {
        self.waited += since.elapsed();
    }

    /// A frame of `wire` bytes was sent.
    pub fn sent(&mut self, load: &Load, wire: u64) {
        let waited = std::mem::take(&mut self.waited);
        let now = Instant::now();
        let took = now - std::mem::replace(&mut self.since, now);
        let changed = self.course.sent(&SentFrame {
            content: load.content,
            wire,
            is_compressed: load.compressed_to.is_some(),
            worked: took.saturating_sub(waited),
            compressing: std::mem::take(&mut self.compressing),
            waited,
        });
        match changed {
            Some(Some(level)) => tracing::debug!(level, "the link is what limits this lane; compressing"),
            Some(None) => tracing::debug!("compressing does not pay on this lane; sending plain"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ZstdLevel;

    fn shrinker() -> Shrinker {
        Shrinker::new(Compress::Zstd(ZstdLevel::DEFAULT))
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn noise_gets_a_glance_and_text_after_it_is_found_at_once() {
        let (mut shrinker, noise, text) = (shrinker(), noise(262_144), vec![b'x'; 262_144]);
        assert!(shrinker.shrink(&noise).is_none() && shrinker.doubts);
        assert!(shrinker.shrink(&noise).is_none());
        assert_eq!(shrinker.sample.len(), SAMPLE_PARTS * SAMPLE_PART_LEN);
        assert!(shrinker.shrink(&text).is_some_and(|short| short.len() < 1_000));
        assert!(!shrinker.doubts);
        // Half of it shrinks: the sample is taken from all over it.
        assert!(shrinker.shrink(&noise).is_none());
        assert!(shrinker.shrink(&[noise[..131_072].to_vec(), text[..131_072].to_vec()].concat()).is_some());
    }

    #[test]
    fn nothing_and_little_are_sent_as_they_are() {
        let mut shrinker = shrinker();
        assert!(!shrinker.is_plain());
        assert!(shrinker.shrink(&[]).is_none() && shrinker.shrink(&[0; CONTENT_LEN_MIN - 1]).is_none());
        assert!(shrinker.shrink(&[0; CONTENT_LEN_MIN]).is_some());
        let mut off = Shrinker::new(Compress::Off);
        assert!(off.is_plain() && off.shrink(&[0; 4_096]).is_none());
    }
}
