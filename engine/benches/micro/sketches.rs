//! Rolling signatures over the window of a frame's worth of content: made, and compared with content that is equal, shifted by
//! an insertion, or altogether new.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ferry_engine::delta::{SketchError, diff, sketch};
use ferry_engine::types::limits::DATA_LEN_MAX;

use crate::noise;

/// # Errors
/// When a signature is not understood: there would be nothing to measure.
pub fn measure(criterion: &mut Criterion) -> Result<(), SketchError> {
    let window = noise(DATA_LEN_MAX, 1);
    let reach = window.len() as u64;
    let signature = sketch(&window);
    let mut shifted = window.clone();
    shifted.splice(1_000..1_000, *b"nineteen more bytes");
    shifted.truncate(DATA_LEN_MAX);
    let new = noise(DATA_LEN_MAX, 2);

    let mut group = criterion.benchmark_group("sketch");
    group.throughput(Throughput::Bytes(reach));
    group.bench_function("signature of 256 KiB", |bencher| bencher.iter(|| sketch(black_box(&window))));
    for (name, source) in [("diff, equal", &window), ("diff, shifted", &shifted), ("diff, nothing in common", &new)] {
        diff(&signature, reach, source)?;
        group.bench_function(name, |bencher| bencher.iter(|| diff(&signature, reach, black_box(source))));
    }
    group.finish();
    Ok(())
}
