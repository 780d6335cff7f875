//! Lines that plugins log, kept instead of printed.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// What the sandbox says that guests have said.
const TARGET: &str = "portcullis::plugin";

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, what guests log on this thread is kept, and whatever else is logged is dropped.
pub struct Kept {
    _guard: tracing::subscriber::DefaultGuard,
    /// The lines belong to the thread.
    _here: std::marker::PhantomData<Rc<()>>,
}

pub fn keep() -> Kept {
    LINES.take();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(Keeping));
    Kept { _guard, _here: std::marker::PhantomData }
}

impl Kept {
    /// Those since this was last asked, as `level: text`.
    pub fn lines(&self) -> Vec<String> {
        LINES.take()
    }
}

struct Keeping;

impl<S: Subscriber> Layer<S> for Keeping {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        let mut said = Said(String::new());
        event.record(&mut said);
        let line = format!("{}: {}", event.metadata().level().as_str().to_lowercase(), said.0);
        LINES.with_borrow_mut(|lines| lines.push(line));
    }
}

/// The message of an event.
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
