//! The log: `tracing` to standard error, as text. Access lines go to standard output and have nothing to do with it. What is let through can be
//! changed while the process runs.

use super::otlp::{LogRecord, Outlet};
use std::fmt::Debug;
use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Unless something else is asked for.
const USUAL: &str = "info";

/// The log of this process, once it is started.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    /// What is let through. A lock, because it is taken by whoever changes or asks.
    filter: Mutex<String>,
    replace: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

/// Starts the log of this process. What is let through is said in the manner of `RUST_LOG` by `PORTCULLIS_LOG`, else by `RUST_LOG`, else it
/// is `info`. A filter that cannot be read is reported and `info` holds. Without effect if a log was started before (tests).
pub fn start_log() {
    let written = ["PORTCULLIS_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok()).filter(|text| !text.is_empty());
    let read = written.as_deref().map_or(Ok(None), |text| EnvFilter::try_new(text).map(Some));
    let (filter, text, error) = match read {
        Ok(Some(filter)) => (filter, written.unwrap_or_default(), None),
        Ok(None) => (EnvFilter::new(USUAL), USUAL.to_owned(), None),
        Err(error) => (EnvFilter::new(USUAL), USUAL.to_owned(), Some(error)),
    };
    // https://no-color.org
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colour)
        // Callsites that are off stay off without being asked again: each is asked once after each change.
        .with_filter_reloading();
    let handle = started.reload_handle();
    let started = started.finish().with(Also).try_init();
    if started.is_ok() {
        let replace = Box::new(move |filter: EnvFilter| handle.reload(filter).map_err(|error| error.to_string()));
        // Set once, as the log is started once.
        let _ = LOG.set(Log { filter: Mutex::new(text), replace });
    }
    if let (Ok(()), Some(error)) = (started, error) {
        tracing::warn!("the log filter in PORTCULLIS_LOG or RUST_LOG cannot be read ({error}); `info` holds");
    }
}

/// Who gets lines of the log besides. A lock, because lines are few and rate-capped, and this changes with a configuration.
static ALSO: RwLock<Option<Outlet<LogRecord>>> = RwLock::new(None);

/// From now on lines that are let through go here too. `None`: nowhere else.
pub fn log_also_to(outlet: Option<Outlet<LogRecord>>) {
    *ALSO.write().unwrap_or_else(PoisonError::into_inner) = outlet;
}

/// Hands lines on.
struct Also;

impl<S: Subscriber> Layer<S> for Also {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let also = ALSO.read().unwrap_or_else(PoisonError::into_inner);
        let Some(outlet) = &*also else { return };
        let mut said = Said::default();
        event.record(&mut said);
        let about = event.metadata();
        let record = LogRecord::Log {
            at: SystemTime::now(),
            level: *about.level(),
            target: about.target(),
            message: said.message,
            fields: said.fields,
        };
        outlet.put(vec![record]);
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(String, String)>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name.to_owned(), format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// What is let through now.
pub fn log_filter() -> String {
    LOG.get().map_or_else(|| USUAL.to_owned(), |log| log.filter.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Lets through what this says: a level, or levels of parts, `info,portcullis::upstream=debug`. Errors: it says no such thing.
pub fn set_log_filter(text: &str) -> Result<(), String> {
    // Spans and fields, which such filters can name too, are looked at for each event, by patterns whose cost nobody bounds.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:=,-".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) {
        return Err("a filter is a level, or part=level with commas between them; for example: info,portcullis::upstream=debug".to_owned());
    }
    let filter = EnvFilter::builder().parse(text).map_err(|error| error.to_string())?;
    let log = LOG.get().ok_or("this process has a log of another kind")?;
    let mut shown = log.filter.lock().unwrap_or_else(PoisonError::into_inner);
    (log.replace)(filter)?;
    text.clone_into(&mut shown);
    drop(shown);
    tracing::info!("the log lets through {text} from now on");
    Ok(())
}
