//! Any text as a configuration of nginx or Caddy: ours with what it lacks, or an error; never a panic, and what is written is TOML.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::format;
use portcullis::import::{From, import};
use std::fs;
use std::path::Path;

fuzz_target!(|text: &str| {
    // Others' files are not for us to read.
    if ["include", "import", "/dev/", "/proc/"].iter().any(|word| text.contains(word)) {
        return;
    }
    let file = std::env::temp_dir().join(format!("portcullis-import-{}", std::process::id()));
    fs::write(&file, text).expect("room");
    for from in [From::Nginx, From::Caddy] {
        if let Ok(imported) = import(from, &file) {
            let laid_out = format(Path::new("imported.toml"), &imported.text);
            assert!(laid_out.is_ok(), "{from:?}:\n{}", imported.text);
        }
    }
    let _ = fs::remove_file(&file);
});
