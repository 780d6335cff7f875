//! The log: `tracing` to standard error, as text. Access lines go to standard output and have nothing to do with it.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the log of this process. What is let through is said in the manner of `RUST_LOG` by `PORTCULLIS_LOG`, else by `RUST_LOG`, else it
/// is `info`. A filter that cannot be read is reported and `info` holds. Without effect if a log was started before (tests).
pub fn start_log() {
    let written = ["PORTCULLIS_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok()).filter(|text| !text.is_empty());
    let read = written.map_or(Ok(None), |text| EnvFilter::try_new(text).map(Some));
    let (filter, error) = match read {
        Ok(filter) => (filter, None),
        Err(error) => (None, Some(error)),
    };
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    // https://no-color.org
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let started =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(colour).try_init();
    if let (Ok(()), Some(error)) = (started, error) {
        tracing::warn!("the log filter in PORTCULLIS_LOG or RUST_LOG cannot be read ({error}); `info` holds");
    }
}
