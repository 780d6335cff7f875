//! A guest that broke its contract.

/// Why a link could not decide. `detail` is for the log; the client never sees it.
#[derive(Debug, Clone)]
pub struct Fault {
    pub cause: Cause,
    pub detail: String,
    /// Where in the guest it was, and what it said last: lines for the log. Empty if nothing is known, or told often enough.
    pub report: String,
    /// `fail = "open"` for this cause: the exchange goes on as if the link had said `next`.
    pub open: bool,
}

/// By what, as the failure policy distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// `unreachable`, out of bounds, stack overflow, exit, a panic.
    Trap,
    /// More CPU than its limit.
    Timeout,
    /// More memory, table entries or instances than its limit.
    Memory,
    /// A decision that breaks the contract: an invalid header, a pointer out of bounds, an unknown upstream.
    BadOutput,
    /// No guest to be had: too many at once, or replacement backed off after faults.
    Overload,
}

impl Cause {
    /// The reason token of an exchange that ends by it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Trap => "plugin_trap",
            Self::Timeout => "plugin_timeout",
            Self::Memory => "plugin_memory",
            Self::BadOutput => "plugin_bad_output",
            Self::Overload => "plugin_overload",
        }
    }
}
