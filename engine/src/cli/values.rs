//! Single values as they are typed: rates, sizes, durations, owners, connections, kinds of loss, volumes.
//!
//! Pure: text in, a value or a sentence out. Nothing here knows which option the text was given to, looks at a disk,
//! or falls back to a default when it does not understand.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::types::{Compress, LossKind, Owner, RunId, StatePlace, VolumeName, ZstdLevel, bytes_in, limits};

/// Why a value was not understood. The sentence says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a size.
    #[error("a size is a number of bytes with an optional unit, such as 500000, 64K, 10MiB or 2GB")]
    Size,
    /// Too little to measure with.
    #[error("the file of a benchmark has at least 1M: with less only the start of a run is measured")]
    TooSmall,
    /// A rate of nothing would never end.
    #[error("a rate of 0 would stop the transfer; leave the option out for no limit")]
    NoRate,
    /// Not a rate.
    #[error("a rate is a number of bytes a second with an optional unit, such as 500K, 10MiB/s or 100MB/s")]
    Rate,
    /// Larger than 64 bits.
    #[error("the number is too large")]
    TooLarge,
    /// Not a duration.
    #[error(
        "a duration is a number with a unit, such as 500ms, 90s, 10m, 1h30m or 2d; without a unit it means seconds"
    )]
    Duration,
    /// Not an owner.
    #[error("an owner is two numbers, UID:GID, each at most 4294967294; names are not looked up")]
    Owner,
    /// Not a number of connections.
    #[error("connections are a number from 1 to {}, or auto", limits::LANES_MAX)]
    Lanes,
    /// Not a way to compress.
    #[error("compression is auto, off, zstd, or zstd:LEVEL with a level from 1 to {}", ZstdLevel::MAX)]
    Compress,
    /// Not a kind of loss.
    #[error("there is no such kind of loss; the kinds are {}", loss_words())]
    Loss,
    /// Not a run id.
    #[error("a run id is 1 to 64 printable ASCII characters without blanks")]
    Run,
    /// Not `NAME=PATH`.
    #[error("a volume is given as NAME=PATH, such as data=/srv/data")]
    VolumeForm,
    /// The part before `=` is no volume name.
    #[error(
        "the volume's name {0:?} is not usable: it takes 1 to {max} letters, digits, '-', '_' and '.', and starts with a letter or digit",
        max = limits::VOLUME_NAME_LEN_MAX
    )]
    VolumeName(String),
    /// The part after `=` is empty.
    #[error("the volume {0} has an empty path; write {0}=PATH")]
    VolumePath(String),
}

/// How many data connections a session opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// As many as this machine can feed.
    Auto,
    /// Exactly so many, 1 to [`limits::LANES_MAX`].
    Count(u8),
}

/// A volume as typed: its name and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeArg {
    /// What both sides call it.
    pub name: VolumeName,
    /// Where it is here. Any bytes; not looked at yet.
    pub path: PathBuf,
}

/// Where state is kept: nowhere, in the volume, or in the directory that is typed.
#[must_use]
pub fn state(typed: OsString) -> StatePlace {
    match typed.to_str() {
        Some("none") => StatePlace::None,
        Some("volume") => StatePlace::Volume,
        _ => StatePlace::Dir(typed.into()),
    }
}

/// Bytes: a number, and optionally `K`, `M`, `G`, `T` (also `KiB`: powers of 1024) or `KB`, `MB`, `GB`, `TB` (powers of 1000).
///
/// # Errors
/// [`ValueError::Size`] for anything else, [`ValueError::TooLarge`] above 2^64-1.
pub fn size(text: &str) -> Result<u64, ValueError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(ValueError::Size);
    }
    let factor = match unit.trim_start() {
        "" => 1,
        unit => bytes_in(unit).ok_or(ValueError::Size)?,
    };
    let number: u64 = number.parse().map_err(|_| ValueError::TooLarge)?;
    number.checked_mul(factor).ok_or(ValueError::TooLarge)
}

/// Bytes of a benchmark's large file: a [`size`] of at least 1 MiB.
///
/// # Errors
/// [`ValueError::TooSmall`] below that, otherwise as [`size`].
pub fn data_size(text: &str) -> Result<u64, ValueError> {
    size(text).and_then(|size| if size < 1 << 20 { Err(ValueError::TooSmall) } else { Ok(size) })
}

/// Bytes a second: a [`size`], with or without `/s`; never 0.
///
/// # Errors
/// [`ValueError::NoRate`] for 0, [`ValueError::Rate`] when it is no rate, [`ValueError::TooLarge`] above 2^64-1.
pub fn rate(text: &str) -> Result<u64, ValueError> {
    match size(text.strip_suffix("/s").unwrap_or(text)) {
        Ok(0) => Err(ValueError::NoRate),
        Ok(rate) => Ok(rate),
        Err(ValueError::TooLarge) => Err(ValueError::TooLarge),
        Err(_) => Err(ValueError::Rate),
    }
}

/// A duration: one or several numbers with the units `ms`, `s`, `m`, `h`, `d`; a number alone is seconds.
///
/// # Errors
/// [`ValueError::Duration`] for anything else, [`ValueError::TooLarge`] above 2^64-1 milliseconds.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Duration::from_secs).map_err(|_| ValueError::TooLarge);
    }
    let mut rest = text;
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(ValueError::Duration)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(ValueError::Duration),
        };
        if number.is_empty() {
            return Err(ValueError::Duration);
        }
        let number: u64 = number.parse().map_err(|_| ValueError::TooLarge)?;
        let part = number.checked_mul(unit_ms).ok_or(ValueError::TooLarge)?;
        total_ms = total_ms.checked_add(part).ok_or(ValueError::TooLarge)?;
        rest = next;
    }
    if text.is_empty() { Err(ValueError::Duration) } else { Ok(Duration::from_millis(total_ms)) }
}

/// `UID:GID`, both numbers.
///
/// # Errors
/// [`ValueError::Owner`] for anything else, the kernel's "leave it" number 2^32-1 included.
pub fn owner(text: &str) -> Result<Owner, ValueError> {
    let (uid, gid) = text.split_once(':').ok_or(ValueError::Owner)?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if plain { text.parse::<u32>().map_err(|_| ValueError::Owner) } else { Err(ValueError::Owner) }
    };
    Owner::new(number(uid)?, number(gid)?).ok_or(ValueError::Owner)
}

/// `auto` or a number of connections.
///
/// # Errors
/// [`ValueError::Lanes`] for anything else.
pub fn lanes(text: &str) -> Result<Lanes, ValueError> {
    if text == "auto" {
        return Ok(Lanes::Auto);
    }
    match text.parse::<u8>() {
        Ok(count) if (1..=limits::LANES_MAX).contains(&usize::from(count)) => Ok(Lanes::Count(count)),
        Ok(_) | Err(_) => Err(ValueError::Lanes),
    }
}

/// `auto`, `off`, `zstd` or `zstd:LEVEL`.
///
/// # Errors
/// [`ValueError::Compress`] for anything else.
pub fn compress(text: &str) -> Result<Compress, ValueError> {
    match text {
        "auto" => Ok(Compress::Auto),
        "off" => Ok(Compress::Off),
        "zstd" => Ok(Compress::Zstd(ZstdLevel::DEFAULT)),
        _ => {
            let level = text.strip_prefix("zstd:").ok_or(ValueError::Compress)?;
            let plain = level.bytes().all(|b| b.is_ascii_digit());
            let level = level.parse().ok().filter(|_| plain).and_then(ZstdLevel::new);
            level.map(Compress::Zstd).ok_or(ValueError::Compress)
        }
    }
}

/// One kind of loss by its word.
///
/// # Errors
/// [`ValueError::Loss`], which lists the words.
pub fn loss(text: &str) -> Result<LossKind, ValueError> {
    LossKind::from_word(text).ok_or(ValueError::Loss)
}

/// A run id.
///
/// # Errors
/// [`ValueError::Run`].
pub fn run(text: &str) -> Result<RunId, ValueError> {
    RunId::new(text).ok_or(ValueError::Run)
}

/// `NAME=PATH`; the path may hold any bytes, `=` among them.
///
/// # Errors
/// [`ValueError::VolumeForm`], [`ValueError::VolumeName`], [`ValueError::VolumePath`].
pub fn volume(text: &OsStr) -> Result<VolumeArg, ValueError> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|b| *b == b'=').ok_or(ValueError::VolumeForm)?;
    let (name, path) = (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default());
    let shown = String::from_utf8_lossy(name).into_owned();
    let name = VolumeName::new(&shown).map_err(|_| ValueError::VolumeName(shown.clone()))?;
    if path.is_empty() {
        return Err(ValueError::VolumePath(shown));
    }
    Ok(VolumeArg { name, path: PathBuf::from(OsString::from_vec(path.to_vec())) })
}

/// All words of losses, for help and errors.
#[must_use]
pub fn loss_words() -> String {
    LossKind::ALL.map(LossKind::word).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("64K"), Ok(65_536));
        assert_eq!(size("10MiB"), Ok(10 << 20));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert_eq!(size("1t"), Ok(1 << 40));
        for bad in ["", "K", "-1", "1.5G", "10Q", "1 0", "١"] {
            assert_eq!(size(bad), Err(ValueError::Size), "{bad:?}");
        }
        assert_eq!(size("18446744073709551616"), Err(ValueError::TooLarge));
        assert_eq!(size("18446744073709551615K"), Err(ValueError::TooLarge));
    }

    #[test]
    fn a_rate_is_a_size_a_second_and_never_nothing() {
        assert_eq!(rate("100MB/s"), Ok(100_000_000));
        assert_eq!(rate("500K"), Ok(512_000));
        assert_eq!(rate("0"), Err(ValueError::NoRate));
        assert_eq!(rate("fast"), Err(ValueError::Rate));
    }

    #[test]
    fn durations_add_up_their_parts() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for bad in ["", "m", "1x", "1h30", "-5s", "1.5h", "5 s"] {
            assert_eq!(duration(bad), Err(ValueError::Duration), "{bad:?}");
        }
        assert_eq!(duration("99999999999999999999s"), Err(ValueError::TooLarge));
        assert_eq!(duration("18446744073709551615d"), Err(ValueError::TooLarge));
    }

    #[test]
    fn owners_are_two_plain_numbers() {
        assert_eq!(owner("1000:0"), Ok(Owner::new(1000, 0).unwrap()));
        assert_eq!(owner("4294967294:4294967294"), Ok(Owner::new(u32::MAX - 1, u32::MAX - 1).unwrap()));
        for bad in ["", "1000", ":", "1000:", "root:root", "4294967295:0", "+1:1", "1:2:3", "1: 2"] {
            assert_eq!(owner(bad), Err(ValueError::Owner), "{bad:?}");
        }
    }

    #[test]
    fn connections_are_few_or_auto() {
        assert_eq!(lanes("auto"), Ok(Lanes::Auto));
        assert_eq!(lanes("8"), Ok(Lanes::Count(8)));
        for bad in ["0", "9", "256", "many", ""] {
            assert_eq!(lanes(bad), Err(ValueError::Lanes), "{bad:?}");
        }
    }

    #[test]
    fn compression_is_measured_off_or_a_level() {
        assert_eq!(compress("auto"), Ok(Compress::Auto));
        assert_eq!(compress("off"), Ok(Compress::Off));
        assert_eq!(compress("zstd"), compress("zstd:3"));
        assert_eq!(compress("zstd:19"), Ok(Compress::Zstd(ZstdLevel::new(19).unwrap())));
        for bad in ["", "on", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd:+1", "zstd:1 ", "zstd:999", "gzip", "Zstd"]
        {
            assert_eq!(compress(bad), Err(ValueError::Compress), "{bad:?}");
        }
        let sentence = ValueError::Compress.to_string();
        assert!(sentence.contains("auto, off, zstd") && sentence.contains("1 to 19"), "{sentence}");
    }

    #[test]
    fn a_wrong_kind_of_loss_is_answered_with_the_right_ones() {
        assert_eq!(loss("trusted-xattrs"), Ok(LossKind::TrustedXattrs));
        let sentence = loss("owner").unwrap_err().to_string();
        assert!(sentence.contains("ownership, devices, trusted-xattrs"), "{sentence}");
    }

    #[test]
    fn a_volume_is_a_name_and_any_path() {
        let plain = volume(OsStr::new("data=/srv/a=b")).unwrap();
        assert_eq!(plain.name.as_str(), "data");
        assert_eq!(plain.path, PathBuf::from("/srv/a=b"));
        let bytes = volume(OsStr::from_bytes(b"d=/srv/\xff")).unwrap();
        assert_eq!(bytes.path.as_os_str().as_bytes(), b"/srv/\xff");
        assert_eq!(volume(OsStr::new("/srv/data")), Err(ValueError::VolumeForm));
        assert_eq!(volume(OsStr::new("=/srv/data")), Err(ValueError::VolumeName(String::new())));
        assert_eq!(volume(OsStr::new("a b=/srv")), Err(ValueError::VolumeName("a b".into())));
        assert_eq!(volume(OsStr::new("data=")), Err(ValueError::VolumePath("data".into())));
    }
}
