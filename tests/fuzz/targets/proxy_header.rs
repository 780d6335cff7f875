//! Any bytes as a PROXY header, whole and in two pieces: the same answer, and never more taken than there was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::wire::{ProxyHeader, Told, read_proxy_header};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = read_proxy_header(bytes);
    let first = read_proxy_header(&bytes[..usize::from(cut).min(bytes.len())]);
    match (&whole, &first) {
        (_, Ok(None)) => {}
        // What is settled by the first piece stays settled.
        (whole, first) => assert_eq!(*whole, *first),
    }
    if let Ok(Some((length, told))) = whole {
        assert!(length <= bytes.len());
        if let Told::Client { source, destination, more } = told {
            let mut out = Vec::new();
            let header =
                ProxyHeader { addresses: Some((source, destination)), authority: more.authority.as_deref(), ..ProxyHeader::default() };
            header.put_v2(&mut out);
            assert!(matches!(read_proxy_header(&out), Ok(Some((length, Told::Client { .. }))) if length == out.len()));
        }
    }
});
