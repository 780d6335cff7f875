//! Lines in the proxy's log. Granted by `log = true`.
//!
//! The proxy adds the link and the id of the exchange, escapes control characters, cuts a line at 4 KiB, and drops (and counts) what is more
//! than a link's rate: 100 lines at once, 20 a second in the long run.
//!
//! ```
//! use portcullis_sdk::log;
//!
//! # let outside = portcullis_sdk::test::Outside::new().log().install();
//! # let path = "/admin";
//! log::warn!("no token for {path}");
//! # assert_eq!(outside.logged(), [(log::Level::Warn, "no token for /admin".to_owned())]);
//! ```

use crate::outside;
use core::fmt;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes a line of text as it is, without what formatting costs.
#[inline]
pub fn line(level: Level, message: &str) {
    outside::log(level, message);
}

/// What the macros come down to. A message without placeholders is not formatted.
#[inline]
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => line(level, text),
        None => line(level, &alloc::fmt::format(message)),
    }
}

/// As `format!`, into the log.
#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Debug, ::core::format_args!($($message)*)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Info, ::core::format_args!($($message)*)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Warn, ::core::format_args!($($message)*)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($message:tt)*) => { $crate::log::write($crate::log::Level::Error, ::core::format_args!($($message)*)) };
}
