//! The units that people write behind a number of bytes.

/// Bytes in a unit, in any case: `B`; `K`, `M`, `G`, `T` and `KiB` to `TiB` in powers of 1024; `KB` to `TB` in powers of 1000.
/// `None` for anything else, nothing included.
#[must_use]
pub fn bytes_in(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}
