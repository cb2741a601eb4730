//! The program, for tests that start processes: the binary of another package cannot be named there.

fn main() -> std::process::ExitCode {
    quorate::cli::main()
}
