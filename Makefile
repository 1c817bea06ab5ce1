# The handful of things to do here. Logic lives in cargo and .ci/, never in this file.
.PHONY: demo test lint bench microbench

# Build ferry and show the main job on its own data.
demo:
	cargo run --quiet -p ferry-engine --bin ferry -- demo

# Everything that must pass, on real parts (.ci/packages says which). The binary and the image come first: most tests run them. Two tests
# at a time, however many cores there are: some fill 12 GiB of memory with a tree, others measure time.
test: export RUST_TEST_THREADS ?= 2
test:
	.ci/packages
	cargo build --workspace --bins
	FERRY_PROFILE=dev sidecar-images/build transfer
	cargo test --workspace --no-fail-fast

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# ferry against rsync over stunnel on this machine, as root in memory: BENCH="--scale 0.1 --case pages" for a quick look.
bench:
	cargo build --release --bins -p ferry-engine -p ferry-benches && target/release/ferry-bench $(BENCH)

# The hot parts one by one; what changed since the last time is said. MICROBENCH="digest" for some of them.
microbench:
	cargo bench -p ferry-engine --bench micro -- $(MICROBENCH)
