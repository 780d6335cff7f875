//! Any bytes as a request head, whole and in two pieces: the same answer, and never more taken than there was.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portcullis::wire::{HeadLimits, HeadParser};

fn limits() -> HeadLimits {
    HeadLimits { start_line: 8 << 10, fields: 32 << 10, count: 100 }
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let mut whole = BytesMut::from(bytes);
    let at_once = HeadParser::new(limits()).request(&mut whole);
    let cut = usize::from(cut).min(bytes.len());
    let mut parser = HeadParser::new(limits());
    let mut growing = BytesMut::from(&bytes[..cut]);
    let mut in_pieces = parser.request(&mut growing);
    if matches!(in_pieces, Ok(None)) {
        growing.extend_from_slice(&bytes[cut..]);
        in_pieces = parser.request(&mut growing);
    }
    match (at_once, in_pieces) {
        (Ok(Some(a)), Ok(Some(b))) => assert_eq!((a.method, a.target, a.headers), (b.method, b.target, b.headers)),
        (Ok(None), Ok(None)) => {}
        // Which of several mistakes is found first may depend on where the pieces end; that there is one may not.
        (Err(_), Err(_)) => {}
        (a, b) => panic!("whole: {:?}, in pieces: {:?}", a.map(|head| head.is_some()), b.map(|head| head.is_some())),
    }
});
