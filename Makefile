# The handful of things to do here. Logic lives in cargo and .ci/, never in this file.
.PHONY: demo test lint

# Build ferry and show the main job on its own data.
demo:
	cargo run --quiet -p ferry-engine --bin ferry -- demo

# Everything that must pass, on real parts (.ci/packages says which).
test:
	.ci/packages
	cargo build --workspace --bins
	cargo test --workspace

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
