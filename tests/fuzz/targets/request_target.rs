//! Any request target: its normal form is a fixed point, and never climbs.

#![no_main]

use bytestring::ByteString;
use libfuzzer_sys::fuzz_target;
use portcullis::message::target::normalise;

fuzz_target!(|text: &str| {
    let Ok((path, _query)) = normalise(ByteString::from(text)) else { return };
    assert!(path == "*" || path.starts_with('/'), "{path}");
    assert!(!path.split('/').any(|part| part == ".." || part == "."), "{path}");
    let (again, _) = normalise(path.clone()).expect("a normal form is a path");
    assert_eq!(again, path);
});
