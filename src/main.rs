//! The `snaphook` binary.

fn main() -> anyhow::Result<std::process::ExitCode> {
    snaphook::cli::main()
}
