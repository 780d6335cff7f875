//! What is told of a call that failed: where in the guest it was, and what the guest said last. For the log only.

use super::lines::Lines;
use std::fmt::Write as _;
use wasmtime::WasmBacktrace;

/// Frames that are told, innermost first. The engine takes no more.
pub(super) const MOST_FRAMES: usize = 24;
/// Bytes of a name: mangled ones can be of any length.
const LONGEST: usize = 160;

/// Where a call failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    frames: Vec<Frame>,
    /// What the guest printed and logged last.
    pub(super) last: Vec<String>,
}

#[derive(Debug, Clone)]
struct Frame {
    module: Option<String>,
    function: String,
    /// In the component.
    offset: Option<usize>,
}

impl Trace {
    pub(super) fn of(error: &wasmtime::Error, last: Vec<String>) -> Self {
        let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
        let frame = |frame: &wasmtime::FrameInfo| Frame {
            module: frame.module().name().map(str::to_owned),
            function: match frame.func_name() {
                Some(name) => demangled(name),
                None => format!("function {}", frame.func_index()),
            },
            offset: frame.module_offset(),
        };
        Self { frames: frames.iter().map(frame).collect(), last }
    }

    /// Of a module that had `by` bytes more before its code than its author's has.
    pub(super) fn moved_back(&mut self, by: usize) {
        self.frames.iter_mut().for_each(|frame| frame.offset = frame.offset.map(|offset| offset.saturating_sub(by)));
    }

    /// On lines of its own, each indented. `lines`: where the guest's source is known.
    pub(super) fn text(&self, lines: Option<&Lines>) -> String {
        let mut text = String::new();
        let places = lines.map(|lines| lines.find(self.frames.iter().map(|frame| (frame.module.as_deref(), frame.offset))));
        for (index, frame) in self.frames.iter().enumerate() {
            let _ = write!(text, "\n  at {}", shown(&frame.function));
            match (places.as_ref().and_then(|places| places.get(index)?.as_ref()), frame.offset) {
                (Some(place), _) => drop(write!(text, " ({})", shown(place))),
                (None, Some(offset)) => drop(write!(text, " (+{offset:#x})")),
                (None, None) => {}
            }
        }
        for line in &self.last {
            let _ = write!(text, "\n  last said: {}", shown(line));
        }
        text
    }
}

/// Names come out of the guest's file: nothing in them may begin a line of the log or move the cursor.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST).collect();
    cut.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
