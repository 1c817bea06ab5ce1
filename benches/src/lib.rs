//! The parts of `ferry-bench`: deterministic data, contenders that move it from one place to another, what each run took, and
//! how that compares with what is owed. It knows every contender by its command line only, ferry too, and believes no exit
//! code: after each run source and destination are compared.
//!
//! ```text
//! cases (what is moved) --> data, trees --> site --> course (source, destination, devices)
//!                                                      |
//! ferry, rsync, local --> stage --> process -----------+--> contest (rounds) --> figures, bars, owed --> report
//!    (contenders)   (daemons, client,  (time)       judge, caches                                        |
//!                    relay, line, span)                                                        table, plot, JSON
//! ```

pub mod bars;
pub mod caches;
pub mod cases;
pub mod contender;
pub mod contenders;
pub mod contest;
pub mod course;
pub mod data;
pub mod device;
pub mod ferry;
pub mod figures;
pub mod flow;
pub mod judge;
pub mod line;
pub mod local;
pub mod machine;
pub mod noise;
pub mod owed;
pub mod plot;
pub mod process;
pub mod procfs;
pub mod prose;
pub mod relay;
pub mod report;
pub mod rsync;
#[cfg(test)]
mod sample;
pub mod site;
pub mod span;
pub mod table;
pub mod trees;
