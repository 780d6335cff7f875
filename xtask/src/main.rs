//! Repository commands: everything that takes more than one cargo call.

mod bench;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, rest)) if command == "bench" => bench::main(rest),
        _ => {
            eprintln!("cargo xtask bench [--help]");
            ExitCode::from(2)
        }
    }
}
