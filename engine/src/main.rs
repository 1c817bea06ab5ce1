//! The `ferry` binary: everything is in the library's rooms `cli` and `personality`.

fn main() -> std::process::ExitCode {
    ferry_engine::personality::main_or(ferry_engine::cli::main)
}
