//! `ferry-images`: writes an image as an OCI layout and as an archive. `sidecar-images/build` calls it with the ferry it has just
//! built. It refuses to build ferry itself and to overwrite what is no image of its own.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ferry_images::{layout, transfer};

/// Writes ferry's container images.
#[derive(Debug, Parser)]
#[command(name = "ferry-images", version, max_term_width = 110)]
struct Args {
    #[command(subcommand)]
    image: Image,
}

#[derive(Debug, Subcommand)]
enum Image {
    /// The drop-in transfer image for the Migration Toolkit for Containers.
    Transfer(Transfer),
}

#[derive(Debug, clap::Args)]
struct Transfer {
    /// A static ferry.
    #[arg(long, value_name = "FILE")]
    ferry: PathBuf,
    /// The checkout, for the licence and the default of --out.
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// Where the image goes: DIR/transfer (layout) and DIR/transfer.tar; target/images unless told.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The full name that the image bears in its index.
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("localhost/ferry-transfer:", env!("CARGO_PKG_VERSION")))]
    reference: String,
    /// A static bash, of Debian's package bash-static.
    #[arg(long, value_name = "FILE", default_value = "/bin/bash-static")]
    bash: PathBuf,
    /// The time of everything in the image, in seconds since 1970.
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    epoch: u64,
}

fn main() -> ExitCode {
    let Image::Transfer(args) = Args::parse().image;
    match transfer(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when this cannot be written.
            let _ = writeln!(std::io::stderr(), "ferry-images: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn transfer(args: &Transfer) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| args.root.join("target/images"));
    let parts =
        transfer::Parts { ferry: args.ferry.clone(), bash: args.bash.clone(), licence: args.root.join("LICENSE") };
    let image = layout::Image {
        reference: args.reference.clone(),
        epoch: args.epoch,
        configuration: transfer::configuration(),
        contents: transfer::contents(&parts)?,
    };
    let written = layout::write(&image, &out, "transfer").context("the image was not written")?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}  {}", written.digest, args.reference)?;
    writeln!(stdout, "layout   {}", written.layout.display())?;
    writeln!(stdout, "archive  {} ({} bytes)", written.archive.display(), written.archive_len)?;
    Ok(())
}
