//! The trace that an exchange belongs to, as W3C Trace Context has it: who asked us, who we are in it, and what is noted on the way. Names and
//! times only; whether anything is noted, and where it goes, others decide.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A place in a trace: `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// Whoever comes later should note it too.
    pub sampled: bool,
}

/// What is known of an exchange's trace, by all who work for the exchange.
#[derive(Debug)]
pub struct Trace {
    /// Where the exchange itself stands.
    context: TraceContext,
    /// The calls of links, as they are made; `None`: nothing is noted. A lock, because a guest's store may cross threads; all who take it are on
    /// the exchange's worker.
    calls: Option<Mutex<Vec<Call>>>,
}

/// A place in the trace of an exchange: the exchange itself, or a call made for it.
#[derive(Debug, Clone)]
pub struct Standing {
    trace: Arc<Trace>,
    /// Which call; `None`: none, or none that is noted.
    call: Option<usize>,
}

/// One call of a link.
#[derive(Debug, Clone)]
pub struct Call {
    pub span: [u8; 8],
    pub link: String,
    pub phase: &'static str,
    pub begun: SystemTime,
    pub ended: SystemTime,
    /// The reason token of a fault.
    pub fault: Option<&'static str>,
    /// What the guest says of it.
    pub attributes: Vec<(String, String)>,
    pub events: Vec<Event>,
}

/// Something that a guest says has happened.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: SystemTime,
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

/// What is taken of a guest for one call; the rest is left out.
const MOST: usize = 32;

impl TraceContext {
    /// What the request says. `None`: nothing, or nothing that the specification lets us believe.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (one, more) = (all.next()?.to_str().ok()?, all.next());
        let (version, rest) = one.split_at_checked(2)?;
        // Later versions begin as the first; `ff` is none.
        let whole = if version == "00" { one.len() == 55 } else { one.len() == 55 || one.as_bytes().get(55) == Some(&b'-') };
        if more.is_some() || !whole || hex::<1>(version)? == [0xff] {
            return None;
        }
        let mut parts = rest.strip_prefix('-')?.splitn(4, '-');
        let (trace, span) = (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?);
        let [flags] = hex::<1>(parts.next()?)?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// As `traceparent`.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        write_hex(&mut text, &self.trace);
        text.push('-');
        write_hex(&mut text, &self.span);
        text.push_str(if self.sampled { "-01" } else { "-00" });
        text
    }

    pub fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.text()) {
            headers.insert(TRACEPARENT, value);
        }
    }

    /// The same trace, from this place on.
    #[must_use]
    pub const fn at(self, span: [u8; 8]) -> Self {
        Self { span, ..self }
    }
}

fn write_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// Lower-case digits only, as the specification wants it.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    let bytes = text.as_bytes();
    for (byte, pair) in out.iter_mut().zip(bytes.chunks(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    (bytes.len() == 2 * N).then_some(out)
}

impl Trace {
    /// `noted`: somebody will ask for the calls.
    pub fn new(context: TraceContext, noted: bool) -> Arc<Self> {
        Arc::new(Self { context, calls: noted.then(Mutex::default) })
    }

    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// All there were.
    pub fn take(&self) -> Vec<Call> {
        self.calls().map(|mut calls| std::mem::take(&mut *calls)).unwrap_or_default()
    }

    fn calls(&self) -> Option<MutexGuard<'_, Vec<Call>>> {
        self.calls.as_ref().map(|calls| calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Standing {
    /// That of the exchange itself.
    pub const fn new(trace: Arc<Trace>) -> Self {
        Self { trace, call: None }
    }

    /// A link is called.
    pub fn begin(&mut self, link: &str, phase: &'static str) {
        let Some(mut calls) = self.trace.calls() else { return };
        let now = SystemTime::now();
        let span = child(self.trace.context.span, calls.len() as u64);
        let (attributes, events) = (Vec::new(), Vec::new());
        calls.push(Call { span, link: link.to_owned(), phase, begun: now, ended: now, fault: None, attributes, events });
        self.call = Some(calls.len() - 1);
    }

    /// The call is over; what is said twice counts as it is said last.
    pub fn end(&self, fault: Option<&'static str>) {
        self.noted(|call| (call.ended, call.fault) = (SystemTime::now(), fault.or(call.fault)));
    }

    /// Of the call; the latest value of a name is the one that counts.
    pub fn attribute(&self, name: String, value: String) {
        self.noted(|Call { attributes, .. }| match attributes.iter().position(|(known, _)| *known == name) {
            Some(at) => attributes[at].1 = value,
            None if attributes.len() < MOST => attributes.push((name, value)),
            None => {}
        });
    }

    pub fn event(&self, name: String, attributes: Vec<(String, String)>) {
        self.noted(|call| {
            if call.events.len() < MOST {
                call.events.push(Event { at: SystemTime::now(), name, attributes });
            }
        });
    }

    /// Whether anybody will read what is said here.
    pub const fn is_noted(&self) -> bool {
        self.call.is_some()
    }

    /// Where requests that are made from here stand.
    pub fn context(&self) -> TraceContext {
        let mut context = self.trace.context;
        self.noted(|call| context.span = call.span);
        context
    }

    fn noted(&self, note: impl FnOnce(&mut Call)) {
        let (Some(index), Some(mut calls)) = (self.call, self.trace.calls()) else { return };
        // Not there any more: the exchange is over, and has been told of.
        if let Some(call) = calls.get_mut(index) {
            note(call);
        }
    }
}

/// Different for each number and parent: SplitMix64. Never zero, which would be no span.
pub fn child(parent: [u8; 8], number: u64) -> [u8; 8] {
    let mut bits = u64::from_be_bytes(parent).wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)).max(1).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_specification_allows_is_read_and_nothing_else() {
        let read = |value: &str| TraceContext::read(&fields(&[("traceparent", value)]));
        let good = read(GOOD).expect("good");
        assert_eq!((good.text().as_str(), good.sampled), (GOOD, true));
        assert_eq!(read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02").map(|context| context.sampled), Some(false));
        assert_eq!(read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what"), Some(good), "a later version");
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-011",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(TraceContext::read(&fields(&[("traceparent", GOOD), ("traceparent", GOOD)])), None, "twice");
    }

    #[test]
    fn calls_have_spans_of_their_own_and_what_guests_say_is_bounded() {
        let context = TraceContext { trace: [1; 16], span: [2; 8], sampled: true };
        let trace = Trace::new(context, true);
        let (mut a, mut b) = (Standing::new(Arc::clone(&trace)), Standing::new(Arc::clone(&trace)));
        assert_eq!(a.context(), context);
        a.begin("a", "on-request-body");
        // While `a` is at work.
        b.begin("b", "on-request-body");
        for (standing, link) in [(&a, "a"), (&b, "b")] {
            (0..100).for_each(|n| standing.attribute(format!("n{n}"), link.to_owned()));
            standing.attribute("n0".into(), "again".into());
            standing.end(Some("plugin_trap"));
        }
        assert!(a.context() != b.context() && a.context().trace == context.trace);
        let calls = trace.take();
        assert_eq!(calls.iter().map(|call| (call.link.as_str(), call.attributes.len())).collect::<Vec<_>>(), [("a", 32), ("b", 32)]);
        assert!(calls[0].span != calls[1].span && calls[0].attributes[0].1 == "again" && calls[1].attributes[1].1 == "b");
        a.attribute("late".into(), "told already".into());
        assert!(trace.take().is_empty());
    }

    #[test]
    fn where_nothing_is_noted_nothing_is_kept() {
        let context = TraceContext { trace: [1; 16], span: [2; 8], sampled: false };
        let trace = Trace::new(context, false);
        let mut standing = Standing::new(Arc::clone(&trace));
        standing.begin("a", "on-request");
        standing.attribute("a".into(), "b".into());
        assert!(!standing.is_noted() && trace.take().is_empty() && standing.context() == context);
    }
}
