//! Digests of leaves and pages, and a segment against the leaves of its basis.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ferry_engine::delta::{Basis, compare_segment, leaf_digest, leaf_digests};
use ferry_engine::types::LeafKey;
use ferry_engine::types::limits::{LEAF_LEN, PAGE_LEN, SEGMENT_LEAVES};

use crate::noise;

const KEY: LeafKey = LeafKey([7; 32]);
const SEGMENT_LEN: usize = LEAF_LEN * SEGMENT_LEAVES;

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digest");
    for (name, len) in [("leaf of 64 KiB", LEAF_LEN), ("page of 4 KiB", PAGE_LEN)] {
        let bytes = noise(len, 1);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |bencher| bencher.iter(|| leaf_digest(&KEY, black_box(&bytes))));
    }
    group.finish();

    let source = noise(SEGMENT_LEN, 1);
    let [same, other] = [1, 2].map(|seed| leaf_digests(&KEY, &noise(SEGMENT_LEN, seed)));
    let mut group = criterion.benchmark_group("compare");
    group.throughput(Throughput::Bytes(SEGMENT_LEN as u64));
    for (name, leaves) in [("segment, equal", &same), ("segment, all different", &other)] {
        let compare = || compare_segment(&KEY, black_box(&source), Basis::Digests(leaves), SEGMENT_LEN as u64);
        group.bench_function(name, |bencher| bencher.iter(compare));
    }
    let zeros = vec![0; SEGMENT_LEN];
    let compare = || compare_segment(&KEY, black_box(&zeros), Basis::Zeros, SEGMENT_LEN as u64);
    group.bench_function("segment, zeros on both sides", |bencher| bencher.iter(compare));
    group.finish();
}
