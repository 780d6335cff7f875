//! Any bytes as a client hello, whole and growing by pieces: the same answer, whichever way, and never one beyond the limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::wire::{HelloReader, MOST_HELLO};

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, bytes) = input;
    let at_once = HelloReader::default().read(bytes);
    let mut reader = HelloReader::default();
    let (mut end, mut in_pieces) = (0_usize, Ok(None));
    for cut in cuts.into_iter().map(usize::from).chain([usize::MAX]) {
        end = end.saturating_add(cut).min(bytes.len());
        in_pieces = reader.read(&bytes[..end]);
        if !matches!(in_pieces, Ok(None)) {
            break;
        }
    }
    match (at_once, in_pieces) {
        (Ok(Some(whole)), pieces) => {
            assert_eq!(Ok(Some(&whole)), pieces.as_ref().map(Option::as_ref));
            assert!(whole.extensions.len() * 4 + whole.ciphers.len() * 2 < MOST_HELLO);
            assert!(whole.sni.is_none_or(|name| name.len() <= 253 && *name == name.to_ascii_lowercase()));
            assert!(whole.alpn.iter().all(|protocol| (1..=255).contains(&protocol.len())));
        }
        (Ok(None), Ok(None)) => {}
        // Which of several mistakes is found first may depend on where the pieces end; that there is one may not.
        (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("whole: {whole:?}, in pieces: {pieces:?}"),
    }
});
