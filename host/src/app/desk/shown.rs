//! Decisions in words, one line for the verdict and one for each edit; the same words stand in files of cases.

use super::going_out::Step;
use super::watch::{Looked, Seen};
use crate::chain::{Cause, ConnectionDecision, Decision, Edit, Fault, Said, Verdict, Want};
use crate::message::{Admission, Attributes, Refusal};
use http::HeaderValue;
use serde_json::{Value, json};

/// `next`, `forward canary`, `reply 403`, `abort`, or `fault (trap): …`.
pub fn verdict(decided: &Result<Decision, Fault>) -> String {
    match decided {
        Ok(decision) => match &decision.verdict {
            Verdict::Forward(upstream) => format!("forward {upstream}"),
            Verdict::Reply(reply) => format!("reply {}", reply.status.as_u16()),
            _ => word(decided).to_owned(),
        },
        Err(fault) => told(fault),
    }
}

fn told(fault: &Fault) -> String {
    format!("fault ({}{}): {}", cause(fault.cause), if fault.open { ", passed over" } else { "" }, fault.detail)
}

pub fn word(decided: &Result<Decision, Fault>) -> &'static str {
    match decided {
        Ok(decision) => match &decision.verdict {
            Verdict::Next => "next",
            Verdict::Forward(_) => "forward",
            Verdict::Reply(_) => "reply",
            Verdict::Abort => "abort",
        },
        Err(_) => "fault",
    }
}

pub const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Trap => "trap",
        Cause::Timeout => "timeout",
        Cause::Memory => "memory",
        Cause::BadOutput => "bad-output",
        Cause::Overload => "overload",
    }
}

pub fn edits(decided: &Result<Decision, Fault>) -> Vec<String> {
    decided.as_ref().map(|decision| decision.edits.iter().map(edit).collect()).unwrap_or_default()
}

fn edit(edit: &Edit) -> String {
    match edit {
        Edit::SetHeader(name, value) => format!("set-header {name}: {}", text(value)),
        Edit::AppendHeader(name, value) => format!("append-header {name}: {}", text(value)),
        Edit::RemoveHeader(name) => format!("remove-header {name}"),
        Edit::SetMethod(method) => format!("set-method {method}"),
        Edit::SetAuthority(authority) => format!("set-authority {authority}"),
        Edit::SetPath(path) => format!("set-path {path}"),
        Edit::SetQuery(Some(query)) => format!("set-query {query}"),
        Edit::SetQuery(None) => "remove-query".to_owned(),
        Edit::SetAttribute(name, value) => format!("set-attribute {name}: {value}"),
    }
}

pub const fn want(want: Want) -> &'static str {
    match want {
        Want::Pass => "pass",
        Want::Watch => "watch",
        Want::Transform => "transform",
        Want::Buffer(_) => "buffer",
    }
}

/// What was decided in a phase, of a body with what is done with it: `transform, 3 pieces`.
pub fn seen(seen: &Seen) -> String {
    let said = verdict(&seen.decided);
    let Some(body) = &seen.body else { return said };
    let most = if let Want::Buffer(most) = body.want { format!(" {most} bytes") } else { String::new() };
    let pieces = match (body.want, body.pieces) {
        (Want::Watch | Want::Transform, 1) => ", 1 piece".to_owned(),
        (Want::Watch | Want::Transform, pieces) => format!(", {pieces} pieces"),
        _ => String::new(),
    };
    let said = if said == "next" { String::new() } else { format!("; {said}") };
    format!("{}{most}{pieces}{said}", want(body.want))
}

/// What was decided about a connection: `next`, `close`, `alert 49`, `forward app`.
pub fn admission(decided: &Result<ConnectionDecision, Fault>) -> String {
    match decided.as_ref().map(|decision| &decision.admission) {
        Ok(Admission::Refuse(Refusal::Alert(number))) => format!("alert {number}"),
        Ok(Admission::Forward(upstream)) => format!("forward {upstream}"),
        Ok(Admission::PassThrough(upstream)) => format!("pass-through {upstream}"),
        Ok(_) => admission_word(decided).to_owned(),
        Err(fault) => told(fault),
    }
}

pub fn admission_word(decided: &Result<ConnectionDecision, Fault>) -> &'static str {
    match decided.as_ref().map(|decision| &decision.admission) {
        Ok(Admission::Onward) => "next",
        Ok(Admission::Refuse(Refusal::Reset)) => "reset",
        Ok(Admission::Refuse(Refusal::Close)) => "close",
        Ok(Admission::Refuse(Refusal::Alert(_))) => "alert",
        Ok(Admission::Forward(_)) => "forward",
        Ok(Admission::PassThrough(_)) => "pass-through",
        Err(_) => "fault",
    }
}

/// Attributes that a decision about a connection sets.
pub fn attributes(decided: &Result<ConnectionDecision, Fault>) -> Vec<String> {
    decided.as_ref().map(|decision| all_set(&decision.attributes)).unwrap_or_default()
}

fn all_set(attributes: &Attributes) -> Vec<String> {
    attributes.iter().map(|(name, value)| format!("set-attribute {name}: {value}")).collect()
}

/// What was decided on the way to an upstream: `choose 10.0.0.1:80`, `again`, `again-on 10.0.0.2:80`.
pub fn step(decided: &Result<Said<Step>, Fault>) -> String {
    match decided {
        Ok(said) => {
            said.verdict.server().map_or_else(|| step_word(decided).to_owned(), |server| format!("{} {server}", step_word(decided)))
        }
        Err(fault) => told(fault),
    }
}

pub fn step_word(decided: &Result<Said<Step>, Fault>) -> &'static str {
    match decided.as_ref().map(|said| &said.verdict) {
        Ok(Step::Next | Step::Told) => "next",
        Ok(Step::Choose(_)) => "choose",
        Ok(Step::Stop) => "stop",
        Ok(Step::Again) => "again",
        Ok(Step::AgainOn(_)) => "again-on",
        Err(_) => "fault",
    }
}

pub fn step_attributes(decided: &Result<Said<Step>, Fault>) -> Vec<String> {
    decided.as_ref().map(|said| all_set(&said.attributes)).unwrap_or_default()
}

/// Those of the trailers last.
pub fn all_edits(seen: &Seen) -> Vec<String> {
    let mut all = edits(&seen.decided);
    all.extend(seen.body.iter().flat_map(|body| &body.trailers).map(|of| format!("trailers {}", edit(of))));
    all
}

pub fn seen_json(seen: &Seen) -> Value {
    let mut shown = json(&seen.decided);
    shown["edits"] = json!(all_edits(seen));
    shown["phase"] = json!(seen.phase.export());
    if let Some(Looked { want: wanted, pieces, .. }) = &seen.body {
        shown["want"] = json!(want(*wanted));
        shown["pieces"] = json!(pieces);
    }
    shown
}

/// Bytes that are no text are shown as `\xff`.
pub fn text(value: &HeaderValue) -> String {
    value.as_bytes().utf8_chunks().fold(String::new(), |mut shown, chunk| {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        shown
    })
}

/// `{ verdict, upstream | reply | fault, edits }`
pub fn json(decided: &Result<Decision, Fault>) -> Value {
    let mut shown = json!({ "verdict": word(decided), "edits": edits(decided) });
    match decided {
        Ok(decision) => match &decision.verdict {
            Verdict::Forward(upstream) => shown["upstream"] = json!(&**upstream),
            Verdict::Reply(reply) => {
                let headers: Vec<_> = reply.headers.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect();
                let body = String::from_utf8_lossy(&reply.body);
                shown["reply"] = json!({ "status": reply.status.as_u16(), "headers": headers, "body": body });
            }
            Verdict::Next | Verdict::Abort => {}
        },
        Err(fault) => shown["fault"] = json!({ "cause": cause(fault.cause), "detail": fault.detail, "open": fault.open }),
    }
    shown
}
