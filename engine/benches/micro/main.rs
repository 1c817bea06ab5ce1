//! Micro-benchmarks of the hot parts, each by itself and over the same bytes every time (`make microbench`): digests of leaves
//! and pages, the comparison of a segment, rolling signatures, batches on the wire, the scan of a directory. They say where a
//! change made something faster or slower; what a whole copy takes is for `ferry-bench` to say.

mod batches;
mod leaves;
mod scan;
mod sketches;

use std::error::Error;

use criterion::Criterion;

fn main() -> Result<(), Box<dyn Error>> {
    // Figures and their change since the last time are printed; plots would need another library.
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    leaves::measure(&mut criterion);
    sketches::measure(&mut criterion)?;
    batches::measure(&mut criterion)?;
    scan::measure(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// `len` bytes that no compressor and no comparison finds anything in; the same for the same seed (xorshift, Marsaglia 2003).
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 8) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
