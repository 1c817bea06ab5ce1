//! The pods of the Migration Toolkit's four generations, as the operator renders them: commands, configuration files, secrets,
//! mounts, users; started by runc from an image's root, one network namespace a pod, HAProxy as the route between the two
//! clusters. It refuses to know what is in the image: stock parts and ours are started alike.
//!
//! ```text
//!   source cluster 10.90.1.0/24                 node                    destination cluster 10.90.2.0/24
//!   pod: rsync, stunnel ---- bridge ---- HAProxy :443, by SNI ---- bridge ---- pod: stunnel, rsyncd
//! ```

pub mod block;
pub mod cell;
pub mod client;
pub mod conf;
pub mod container;
pub mod image;
pub mod migration;
pub mod network;
pub mod objects;
pub mod operator;
pub mod pod;
pub mod seccomp;
pub mod security;
pub mod tree;
pub mod version;
