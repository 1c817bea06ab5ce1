//! Logs: what the rooms below say through `tracing`, to standard error.
//!
//! Without `-v` a sender says only warnings; a receiver, which nobody watches a bar of, also says each session.
//! `FERRY_LOG` replaces the choice (`debug`, or `ferry_engine::tunnel=trace,warn`).

use std::io::IsTerminal;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::console::{Console, LogWriter};

/// Who is speaking, for what is said without `-v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Only what someone must act on.
    Quiet,
    /// Sessions as they come and go, too.
    Sessions,
}

/// `FERRY_LOG` does not say what to log.
#[derive(Debug, thiserror::Error)]
#[error(
    "FERRY_LOG={text:?} is not understood; write for example FERRY_LOG=debug or FERRY_LOG=ferry_engine::tunnel=trace"
)]
pub struct LogError {
    text: String,
    source: ParseError,
}

/// Starts logging for this process. A second call changes nothing.
///
/// # Errors
/// [`LogError`] when `variable`, the value of `FERRY_LOG`, is no filter.
pub fn start(console: &Arc<Console>, verbose: u8, voice: Voice, variable: Option<&str>) -> Result<(), LogError> {
    let directives = variable.unwrap_or_else(|| directives(verbose, voice));
    let filter = EnvFilter::try_new(directives).map_err(|source| LogError { text: directives.to_owned(), source })?;
    let writer = LogWriter(Arc::clone(console));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .with_target(verbose > 1)
        .with_writer(move || writer.clone())
        .finish();
    // Fails only when something else logs already, which in this process is an earlier call of this very function.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

fn directives(verbose: u8, voice: Voice) -> &'static str {
    match (verbose, voice) {
        (0, Voice::Quiet) => "warn",
        (0, Voice::Sessions) => "warn,ferry_engine::session=info",
        (1, _) => "info",
        (2, _) => "info,ferry_engine=debug",
        (_, _) => "info,ferry_engine=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_a_filter_and_nonsense_is_a_sentence() {
        for voice in [Voice::Quiet, Voice::Sessions] {
            for verbose in 0..5 {
                assert!(EnvFilter::try_new(directives(verbose, voice)).is_ok());
            }
        }
        let error = start(&Arc::default(), 0, Voice::Quiet, Some("a=b=c")).unwrap_err().to_string();
        assert!(error.contains("FERRY_LOG"), "{error}");
    }
}
