//! The `ferry` binary: everything is in the library's `cli` room.

fn main() -> std::process::ExitCode {
    ferry_engine::cli::main()
}
