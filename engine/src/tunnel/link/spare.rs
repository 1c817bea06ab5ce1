//! Memory of large frames that are done with, for those that come: making, faulting in and clearing it anew costs a tenth of a
//! copy. It holds whatever the last frame left in it; who takes it overwrites that.

use std::sync::{Mutex, PoisonError};

/// Buffers that are kept: as many content frames as wait on a connection.
const KEPT_MAX: usize = super::PLACES;
/// Smaller ones are not worth it.
const LEN_MIN: usize = 32_768;

/// Up to eight buffers.
#[derive(Debug, Default)]
pub struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// A frame is done with.
    pub fn keep(&self, frame: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if frame.capacity() >= LEN_MIN && kept.len() < KEPT_MAX {
            kept.push(frame);
        }
    }

    /// Memory for the next one; empty when there is none.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_large_buffers_are_kept() {
        let spare = Spare::default();
        spare.keep(Vec::with_capacity(LEN_MIN - 1));
        assert_eq!(spare.take().capacity(), 0);
        (0..2 * KEPT_MAX).for_each(|_| spare.keep(vec![7; LEN_MIN]));
        let taken = (0..2 * KEPT_MAX).filter(|_| spare.take().capacity() > 0).count();
        assert_eq!(taken, KEPT_MAX);
    }
}
