//! The only place that writes to the terminal: lines for people on standard error, results on standard output.
//!
//! A bar that is being drawn steps aside for each line, so that logs and bars never mix. Text from a volume arrives here
//! escaped already (`types::Escaped`); nothing here looks at what it prints.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;

/// Standard output and standard error of this process.
#[derive(Debug, Default)]
pub struct Console {
    bar: Mutex<Option<ProgressBar>>,
    farewell: Mutex<Option<String>>,
}

/// Where log lines go: to the console they were made for.
#[derive(Clone, Debug)]
pub struct LogWriter(pub Arc<Console>);

impl Console {
    /// A line for people, on standard error. A closed standard error is nobody's concern.
    pub fn say(&self, line: &str) {
        self.beside_bar(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// A line that is a result, on standard output.
    ///
    /// # Errors
    /// What the system said, such as a closed pipe.
    pub fn result(&self, line: &str) -> io::Result<()> {
        self.beside_bar(|| {
            let mut out = io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()
        })
    }

    /// Lines step aside for this bar from now on.
    pub fn attach(&self, bar: ProgressBar) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    /// The bar is gone.
    pub fn detach(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    /// What is said from now on when a second signal ends this process at once.
    pub fn set_farewell(&self, line: String) {
        *self.farewell.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }

    /// The last line, when a second signal ends this process at once.
    #[must_use]
    pub fn farewell(&self) -> String {
        let set = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        set.unwrap_or_else(|| "ferry: stopped at once; run it again to finish, what is on disk is kept".to_owned())
    }

    /// Whether people look at standard error.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    fn beside_bar<R>(&self, print: impl FnOnce() -> R) -> R {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match bar.as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.beside_bar(|| io::stderr().lock().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
