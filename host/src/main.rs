//! The binary: arguments → command → exit code.

fn main() {}
