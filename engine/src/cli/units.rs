//! Numbers as people read them: bytes, counts, durations.

use std::time::Duration;

/// Bytes in powers of 1024, three digits: `0 B`, `1.50 KiB`, `15.2 MiB`, `312 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut name = "B";
    for unit in UNITS {
        // 1023.5 would be shown as "1024".
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    match value {
        v if v < 9.995 => format!("{v:.2} {name}"),
        v if v < 99.95 => format!("{v:.1} {name}"),
        v => format!("{v:.0} {name}"),
    }
}

/// A count with its thousands apart: `1,234,567`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A duration: `0.3 s`, `59.9 s`, `4m05s`, `3h07m`, `2d03h`.
#[must_use]
pub fn duration(length: Duration) -> String {
    let secs = length.as_secs();
    match secs {
        0..60 => format!("{}.{} s", secs, length.subsec_millis() / 100),
        60..3_600 => format!("{}m{:02}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h{:02}m", secs / 3_600, secs / 60 % 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs / 3_600 % 24),
    }
}

/// A time that is an estimate or a limit, in whole seconds: `4 s`, `4m05s`; an hour sharp is `1h`.
#[must_use]
pub fn time_left(length: Duration) -> String {
    let secs = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    match secs {
        0..60 => format!("{secs} s"),
        _ if secs.is_multiple_of(86_400) => format!("{}d", secs / 86_400),
        _ if secs.is_multiple_of(3_600) => format!("{}h", secs / 3_600),
        _ if secs < 3_600 && secs.is_multiple_of(60) => format!("{}m", secs / 60),
        _ => duration(Duration::from_secs(secs)),
    }
}

/// Bytes over a time: `12.3 MiB/s`; nothing when the time is too short to say.
#[must_use]
pub fn rate(bytes_moved: u64, time: Duration) -> Option<String> {
    let ms = u64::try_from(time.as_millis()).ok().filter(|ms| *ms >= 10)?;
    let a_second = u128::from(bytes_moved) * 1000 / u128::from(ms);
    Some(format!("{}/s", bytes(u64::try_from(a_second).unwrap_or(u64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_the_right_unit() {
        let shown = [0, 1023, 1024, 1536, 1024 * 1024 - 1, 15 << 20, 312 << 30, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "1.00 MiB", "15.0 MiB", "312 GiB", "16.0 EiB"]);
    }

    #[test]
    fn counts_and_durations_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let lengths = [300, 59_999, 245_000, 11_220_000, 183_600_000].map(Duration::from_millis);
        assert_eq!(lengths.map(duration), ["0.3 s", "59.9 s", "4m05s", "3h07m", "2d03h"]);
        let left = [0, 3_400, 65_000, 120_000, 3_600_000].map(Duration::from_millis);
        assert_eq!(left.map(time_left), ["0 s", "4 s", "1m05s", "2m", "1h"]);
        assert_eq!(rate(1 << 20, Duration::from_millis(500)).as_deref(), Some("2.00 MiB/s"));
        assert_eq!(rate(1, Duration::ZERO), None);
    }
}
