//! Why a benchmark could not be run, by whose fault.

use std::fmt;
use std::io;

#[derive(Debug)]
pub enum Trouble {
    /// The command line.
    Usage(String),
    /// The machine: a tool that is missing, too few cores, too few files.
    Machine(String),
    /// A proxy that does not start, or answers wrongly.
    Proxy(String),
    /// A load generator that failed or said something unexpected.
    Load(String),
    Io(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text} (cargo xtask bench --help)"),
            Self::Machine(text) | Self::Proxy(text) | Self::Load(text) => f.write_str(text),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
