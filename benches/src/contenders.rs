//! Who there is to race against, by the names of the command line.

use crate::contender::Contender;
use crate::ferry::{Ferry, Setting};
use crate::local::Local;
use crate::rsync::{Options, Rsync};

/// All of them; ferry itself always takes part.
pub const IDS: [&str; 8] =
    ["ferry-state", "ferry-haproxy", Rsync::REFERENCE, "rsync-best", "rsync", "tar", "cp", "rclone"];
/// Who takes part unless somebody says otherwise: what figures are owed against. A default contest stays short.
pub const DEFAULT: [&str; 3] = ["ferry-state", Rsync::REFERENCE, "rsync-best"];

/// ferry, and those of these names.
#[must_use]
pub fn chosen(ferry: &Ferry, ids: &[String]) -> Vec<Box<dyn Contender>> {
    let mut all = every(ferry);
    all.retain(|each| each.id() == ferry.id() || ids.iter().any(|id| id == each.id()));
    all
}

/// In the order of the table.
fn every(ferry: &Ferry) -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(ferry.clone()),
        Box::new(ferry.set(Setting::Cached)),
        Box::new(ferry.set(Setting::Routed)),
        Box::new(Rsync::with(Options::Default)),
        Box::new(Rsync::with(Options::Best)),
        Box::new(Rsync::with(Options::Clear)),
        Box::new(Local::Tar),
        Box::new(Local::Cp),
        Box::new(Local::Rclone),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_contender_and_ferry_comes_first() {
        let ferry = Ferry::at(&std::env::current_exe().unwrap()).unwrap();
        let found: Vec<&str> = every(&ferry).iter().map(|each| each.id()).collect();
        assert_eq!(found, [&["ferry"], IDS.as_slice()].concat());
        let chosen = chosen(&ferry, &["tar".to_owned()]);
        assert_eq!(chosen.iter().map(|each| each.id()).collect::<Vec<_>>(), ["ferry", "tar"]);
    }
}
