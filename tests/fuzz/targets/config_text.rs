//! Any text as a configuration: errors with places, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::Config;

fuzz_target!(|text: &str| {
    let report = match Config::parse(&[("fuzz.toml", text)]) {
        Ok((_, report)) => report,
        Err(report) => {
            assert!(report.errors() > 0, "refused without a reason");
            report
        }
    };
    // Rendering slices the text it shows.
    let _ = (report.text(), report.json());
});
