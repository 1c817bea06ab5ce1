//! The parts that ferry's black-box tests are made of: trees, a strict comparator, the binary under test, a router, proxies
//! and mounts. It knows ferry by its command line only and refuses to link the engine: what both got wrong alike would pass.

pub mod called;
pub mod certs;
pub mod chaos;
pub mod command;
pub mod compare;
pub mod devices;
pub mod facts;
pub mod fakes;
pub mod ferry;
pub mod mounts;
pub mod operator;
pub mod place;
pub mod pods;
pub mod ports;
pub mod proxy;
pub mod report;
pub mod router;
pub mod scene;
pub mod strace;
pub mod stunnel;
pub mod trees;
pub mod unprivileged;

pub use anyhow::{Context, Result, anyhow, bail, ensure};
