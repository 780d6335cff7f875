//! The binary: arguments → command → exit code.

use std::process::ExitCode;

// 1.3 of 12.9 µs per request against the system's allocator, measured on the bare proxy of the benchmark.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
