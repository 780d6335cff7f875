//! The book (`docs/`): its reference pages are what the proxy says of itself, its links lead somewhere, its code is right. Without mdBook.
//!
//! `PORTCULLIS_WRITE=1` (`cargo xtask book --write`) makes the reference pages anew instead of failing on them.

mod code;
mod contract;
mod links;
mod pages;
mod reference;
