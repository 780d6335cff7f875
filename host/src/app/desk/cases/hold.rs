//! One decision held against one thing that was expected of it.

use super::Failure;
use crate::app::desk::body::Left;
use crate::app::desk::shown;
use crate::app::desk::watch::Seen;
use crate::chain::{Decision, Fault, Verdict};
use crate::config::cases::{Check, Wanted};
use crate::message::{Exchange, Reply, RequestHead};
use http::HeaderMap;

/// What a phase left behind.
pub struct After<'a> {
    /// `None` in the response phase.
    pub head: Option<&'a RequestHead>,
    /// Of what goes on, or of the reply.
    pub headers: &'a HeaderMap,
    pub exchange: &'a Exchange,
    /// The body of what goes on.
    pub left: &'a Left,
    /// The plugin would have buffered less than there was.
    pub too_large: bool,
}

/// All there is to hold against what was expected.
pub struct Observed<'o> {
    pub decided: &'o Result<Decision, Fault>,
    /// By phase.
    pub seen: &'o [Seen],
    pub after: &'o After<'o>,
    pub asked: usize,
    pub log: &'o [String],
}

impl Observed<'_> {
    /// `None`: it holds.
    pub fn against(&self, check: &Check) -> Option<Failure> {
        let (holds, got) = self.holds(&check.wanted);
        (!holds).then(|| Failure { at: check.at.clone(), what: name(&check.wanted), wanted: wanted(&check.wanted), got })
    }

    pub fn word(&self) -> &'static str {
        if self.after.too_large { "too-large" } else { shown::word(self.decided) }
    }

    /// And what there is instead.
    fn holds(&self, check: &Wanted) -> (bool, String) {
        let head = self.after.head;
        let same = |wanted: &str, is: Option<&str>| (is == Some(wanted), quoted(is));
        match check {
            Wanted::Verdict(word) if self.after.too_large => (*word == "too-large", "too-large".to_owned()),
            Wanted::Verdict(word) => (*word == shown::word(self.decided), shown::verdict(self.decided)),
            Wanted::Upstream(name) => same(name, self.upstream()),
            Wanted::Status(status) => {
                let is = self.reply().map(|reply| reply.status.as_u16());
                (is == Some(*status), is.map_or_else(|| "no reply".to_owned(), |status| status.to_string()))
            }
            Wanted::Body(body) => {
                let is = self.reply().map_or(&self.after.left.bytes, |reply| &reply.body);
                same(body, Some(&String::from_utf8_lossy(is)))
            }
            Wanted::Trailer(name, values) => {
                let is: Vec<String> = self.after.left.trailers.get_all(name).iter().map(shown::text).collect();
                (is == *values.as_deref().unwrap_or_default(), several(&is))
            }
            Wanted::Want(want) => {
                let is = self.seen.iter().find_map(|seen| seen.body.as_ref());
                same(want, is.map(|body| shown::want(body.want)))
            }
            Wanted::Header(name, values) => {
                let is: Vec<String> = self.after.headers.get_all(name).iter().map(shown::text).collect();
                (is == *values.as_deref().unwrap_or_default(), several(&is))
            }
            Wanted::Method(method) => same(method, head.map(|head| head.method.as_str())),
            Wanted::Authority(authority) => same(authority, head.map(|head| &*head.authority)),
            Wanted::Path(path) => same(path, head.map(|head| &*head.path)),
            Wanted::Query(query) => {
                let is = head.and_then(|head| head.query.as_deref());
                (is == query.as_deref(), quoted(is))
            }
            Wanted::Attribute(name, value) => {
                let is = self.after.exchange.attribute(name, head);
                (is.as_deref() == value.as_deref(), quoted(is.as_deref()))
            }
            Wanted::Edits(edits) => {
                let is: Vec<String> = self.seen.iter().flat_map(shown::all_edits).collect();
                (is == *edits, listed(&is))
            }
            Wanted::Asked(count) => (*count == self.asked, self.asked.to_string()),
            Wanted::Log(text) => (self.log.iter().any(|line| line.contains(text)), listed(self.log)),
            Wanted::Fault(cause) => {
                let is = self.decided.as_ref().err().map(|fault| shown::cause(fault.cause));
                same(cause, is)
            }
            Wanted::Alert(_) => (false, "no connection".to_owned()),
            Wanted::Server(_) => (false, "no choice of a server".to_owned()),
            Wanted::Refused(_) => (false, "settings that were taken".to_owned()),
        }
    }

    fn reply(&self) -> Option<&Reply> {
        match &self.decided.as_ref().ok()?.verdict {
            Verdict::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    fn upstream(&self) -> Option<&str> {
        match &self.decided.as_ref().ok()?.verdict {
            Verdict::Forward(upstream) => Some(upstream),
            _ => None,
        }
    }
}

pub fn name(check: &Wanted) -> String {
    match check {
        Wanted::Verdict(_) => "verdict".to_owned(),
        Wanted::Upstream(_) => "upstream".to_owned(),
        Wanted::Server(_) => "server".to_owned(),
        Wanted::Status(_) => "status".to_owned(),
        Wanted::Body(_) => "body".to_owned(),
        Wanted::Header(name, _) => format!("header {name}"),
        Wanted::Trailer(name, _) => format!("trailer {name}"),
        Wanted::Want(_) => "want".to_owned(),
        Wanted::Method(_) => "method".to_owned(),
        Wanted::Authority(_) => "authority".to_owned(),
        Wanted::Path(_) => "path".to_owned(),
        Wanted::Query(_) => "query".to_owned(),
        Wanted::Attribute(name, _) => format!("attribute {name}"),
        Wanted::Edits(_) => "edits".to_owned(),
        Wanted::Asked(_) => "requests to upstreams".to_owned(),
        Wanted::Log(_) => "log".to_owned(),
        Wanted::Fault(_) => "fault".to_owned(),
        Wanted::Alert(_) => "alert".to_owned(),
        Wanted::Refused(_) => "settings".to_owned(),
    }
}

/// In words.
pub fn wanted(check: &Wanted) -> String {
    match check {
        Wanted::Verdict(word) => (*word).to_owned(),
        Wanted::Upstream(text) | Wanted::Body(text) | Wanted::Method(text) | Wanted::Authority(text) | Wanted::Path(text) => {
            quoted(Some(text))
        }
        Wanted::Status(status) => status.to_string(),
        Wanted::Header(_, None) | Wanted::Trailer(_, None) => "nothing".to_owned(),
        Wanted::Header(_, Some(values)) | Wanted::Trailer(_, Some(values)) => several(values),
        Wanted::Query(text) | Wanted::Attribute(_, text) | Wanted::Server(text) => quoted(text.as_deref()),
        Wanted::Edits(edits) => listed(edits),
        Wanted::Asked(count) => count.to_string(),
        Wanted::Alert(number) => number.to_string(),
        Wanted::Log(text) => format!("a line with {text:?}"),
        Wanted::Fault(word) | Wanted::Want(word) => quoted(Some(word)),
        Wanted::Refused(text) => format!("refused with {text:?}"),
    }
}

pub fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "nothing".to_owned(), |text| format!("{text:?}"))
}

fn several(values: &[String]) -> String {
    match values {
        [] => "nothing".to_owned(),
        [one] => quoted(Some(one)),
        many => format!("{many:?}"),
    }
}

/// One to a line.
pub fn listed(lines: &[String]) -> String {
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}
