//! The `ferry` binary: the program it is called as, and ferry itself by any other name. Everything is in the library.

fn main() -> std::process::ExitCode {
    ferry_engine::personality::main().unwrap_or_else(ferry_engine::cli::main)
}
