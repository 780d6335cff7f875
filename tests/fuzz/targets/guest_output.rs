//! Any memory with any return area: a decision or bad output, never a read outside.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::sandbox::{Phase, lift_decision};

fuzz_target!(|input: (bool, [u8; 32], &[u8])| {
    let (request, area, memory) = input;
    let phase = if request { Phase::Request } else { Phase::Response };
    if let Ok(decision) = lift_decision(memory, &area, phase) {
        assert!(decision.edits.len() <= 256);
    }
});
