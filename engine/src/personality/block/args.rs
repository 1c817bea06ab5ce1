//! The command lines of `proxy` and `blockrsync`, as the operator writes them for block volumes and VM disks.
//!
//! What only concerns how the programs of that name work inside (the size of their blocks, their log) is read and of no
//! effect here; it is named one by one, so that an option nobody knows is still a mistake.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::tunnel::{Host, HostPort, Module};

/// `proxy`: at the source it knows where a volume goes, at the destination it receives volumes.
#[derive(Debug, Parser)]
#[command(name = "proxy", version, disable_help_subcommand = true)]
pub struct ProxyArgs {
    /// Which side it is.
    #[command(flatten)]
    pub side: SideArgs,
    /// Source: its port.
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub target_port: u16,
    /// Where is listened: for blockrsync at the source, for the tunnel at the destination.
    #[arg(long, value_name = "PORT")]
    pub listen_port: u16,
    /// A volume; at the destination the variable `id-IDENTIFIER` says where it is. May be repeated there.
    #[arg(long = "identifier", value_name = "IDENTIFIER", value_parser = Module::new, required = true)]
    pub identifiers: Vec<Module>,
    /// Made, with the directories above it, when all is done.
    #[arg(long, value_name = "FILE")]
    pub control_file: Option<PathBuf>,
    /// Of no effect here.
    #[command(flatten)]
    pub ignored: Ignored,
}

/// `blockrsync`: sends one device or disk image.
#[derive(Debug, Parser)]
#[command(name = "blockrsync", version, disable_help_subcommand = true)]
pub struct BlockArgs {
    /// The device or the file.
    pub file: PathBuf,
    /// Which side it is; the one with the data is the only one that is run by itself, for the proxy receives.
    #[command(flatten)]
    pub side: SideArgs,
    /// The port of the proxy.
    #[arg(long, value_name = "PORT")]
    pub port: u16,
    /// Of no effect here.
    #[command(flatten)]
    pub ignored: Ignored,
}

/// The side, and whom it connects to.
#[derive(Debug, Args)]
pub struct SideArgs {
    /// The side with the data.
    #[arg(long, required_unless_present = "target", conflicts_with = "target")]
    pub source: bool,
    /// The side the data goes to.
    #[arg(long)]
    pub target: bool,
    /// Source: the host of the tunnel (proxy), of the proxy (blockrsync).
    #[arg(long, value_name = "HOST", value_parser = Host::parse, default_value = "localhost")]
    pub target_address: Host,
}

/// Options that change nothing.
#[derive(Debug, Args)]
pub struct Ignored {
    #[arg(long, hide = true)]
    block_size: Option<u64>,
    #[arg(long, hide = true)]
    blockrsync_path: Option<PathBuf>,
    #[arg(long, hide = true)]
    preallocate: bool,
    #[arg(long, hide = true)]
    zap_log_level: Option<String>,
    #[arg(long, hide = true)]
    zap_devel: bool,
    #[arg(long, hide = true)]
    zap_encoder: Option<String>,
    #[arg(long, hide = true)]
    zap_stacktrace_level: Option<String>,
    #[arg(long, hide = true)]
    zap_time_encoding: Option<String>,
}

impl ProxyArgs {
    /// Where a transfer goes at the source; `None` where the port is 0.
    #[must_use]
    pub fn tunnel(&self) -> Option<HostPort> {
        HostPort::new(self.side.target_address.clone(), self.target_port)
    }
}

impl BlockArgs {
    /// Where the proxy is; `None` where the port is 0.
    #[must_use]
    pub fn proxy(&self) -> Option<HostPort> {
        HostPort::new(self.side.target_address.clone(), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0cc175b9c0f1b6a831c399e269772661";

    #[test]
    fn the_operators_lines_are_understood() {
        let target = "/proxy --target --listen-port 2222 --blockrsync-path /blockrsync --control-file /usr/share/x/done \
             --block-size 131072 --identifier a --identifier b";
        let target = ProxyArgs::try_parse_from(target.split_whitespace()).unwrap();
        assert!(target.side.target && !target.side.source);
        assert_eq!(target.identifiers.iter().map(Module::as_str).collect::<Vec<_>>(), ["a", "b"]);
        let source = format!(
            "/proxy --source --target-address localhost --identifier {ID} --listen-port 9002 --target-port 6443 --control-file /x"
        );
        let source = ProxyArgs::try_parse_from(source.split_whitespace()).unwrap();
        assert_eq!((source.tunnel().unwrap().to_string().as_str(), source.listen_port), ("localhost:6443", 9002));
        let block =
            "/blockrsync /dev/x --source --target-address localhost --port 9002 --zap-log-level 3 --block-size 131072";
        let block = BlockArgs::try_parse_from(block.split_whitespace()).unwrap();
        assert_eq!(
            (block.file.as_path(), block.proxy().unwrap().to_string().as_str()),
            (std::path::Path::new("/dev/x"), "localhost:9002")
        );
    }

    #[test]
    fn a_side_is_one_of_two_and_what_nobody_knows_is_refused() {
        for wrong in [
            "proxy --listen-port 1 --identifier a",
            "proxy --source --target --listen-port 1 --identifier a",
            "proxy --source --identifier a",
            "proxy --source --listen-port 1",
            "proxy --source --listen-port 1 --identifier a --new-option",
            "proxy --source --listen-port 99999 --identifier a",
        ] {
            assert!(ProxyArgs::try_parse_from(wrong.split_whitespace()).is_err(), "{wrong}");
        }
        assert!(BlockArgs::try_parse_from(["blockrsync", "--source", "--port", "1"]).is_err());
    }
}
