//! Which decisions may be remembered: those of a plugin that cannot but decide the same again, about inputs that come again and are nobody's
//! secret.
//!
//! Purity is read from the list of imports, function by function, never believed. What is not named here ends it.

use super::super::grants::{Import, Standing};
use super::super::plan::{Interest, Plan, Plans};
use super::super::plugin::Remember;
use crate::config::{Isolation, sounds_secret};
use http::HeaderName;
use http::header;

/// Why a link's decisions are not remembered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forgets {
    #[error("`remember = false`")]
    SwitchedOff,
    #[error("`isolate = \"worker\"`: a guest that is kept may remember things itself")]
    Reused,
    /// Something that does not give the same each time, or that others notice.
    #[error("imports {0}")]
    Impure(String),
    #[error("its settings have a secret")]
    Settings,
    #[error("sees `{0}`, which is somebody's secret")]
    Secret(String),
    #[error("sees {0}, which does not come again")]
    Unbounded(String),
    #[error("does not look at requests or responses")]
    NoPhase,
    #[error("looks at bodies")]
    Bodies,
    /// The guest that is asked there is to be the one that saw the request.
    #[error("takes part on the way to upstreams, or has ticks")]
    GoingOut,
}

/// Functions of WASI of which each call gives the same: constants, and what ends the guest. Lines that are printed are no part of a
/// decision, and need not be printed again. Pollables are ready from the start unless they come from a clock.
const CONSTANT: [&str; 13] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:io/error",
    "wasi:io/streams",
    "wasi:io/poll",
];
/// The same: no directories, no files; and a seed that is the same for all guests from a file's being loaded to its being dropped.
const ALSO_CONSTANT: [&str; 3] = ["wasi:filesystem/preopens", "wasi:filesystem/types", "wasi:random/insecure-seed"];

/// What of a component's imports makes it more than a function of its inputs; `None`: nothing.
pub(in super::super) fn impurity(imports: &[Import]) -> Option<String> {
    let constant = |import: &Import| match import.standing {
        Standing::Types => true,
        Standing::Stub => {
            let base = import.name.split('@').next().unwrap_or_default();
            import.items.is_empty() || CONSTANT.contains(&base) || ALSO_CONSTANT.contains(&base)
        }
        Standing::Capability(_) | Standing::Refused(_) => false,
    };
    let impure = imports.iter().find(|import| !constant(import))?;
    Some(match impure.items.first() {
        Some(item) => format!("`{item}` of `{}`", impure.name),
        None => format!("`{}`", impure.name),
    })
}

/// Whether a link's decisions may be remembered. `impure`: of its plugin.
pub(in super::super) fn eligible(impure: Option<&str>, plans: &Plans, isolation: Isolation, remember: Remember) -> Result<(), Forgets> {
    if plans.bodies.any() {
        return Err(Forgets::Bodies);
    }
    if plans.upstreams.any() {
        return Err(Forgets::GoingOut);
    }
    if !remember.wanted {
        return Err(Forgets::SwitchedOff);
    }
    if let Some(import) = impure {
        return Err(Forgets::Impure(import.to_owned()));
    }
    if isolation != Isolation::Request {
        return Err(Forgets::Reused);
    }
    if remember.secret {
        return Err(Forgets::Settings);
    }
    sees(&plans.heads)
}

/// The same, of the inputs alone.
pub(in super::super) fn sees(plan: &Plan) -> Result<(), Forgets> {
    let (request, response) = (plan.request.as_ref(), plan.response.as_ref());
    if request.is_none() && response.is_none() {
        return Err(Forgets::NoPhase);
    }
    if request.is_some_and(|request| request.exchange) || response.is_some_and(|response| response.exchange) {
        return Err(Forgets::Unbounded("the exchange's number".to_owned()));
    }
    for shown in request.map(|request| &request.shown).into_iter().chain(response.map(|response| &response.shown)) {
        interest(shown)?;
    }
    Ok(())
}

fn interest(shown: &Interest) -> Result<(), Forgets> {
    if shown.all_headers {
        return Err(Forgets::Unbounded("all headers".to_owned()));
    }
    if let Some(name) = shown.headers.iter().find(|name| is_credential(name)) {
        return Err(Forgets::Secret(name.to_string()));
    }
    let once = |name: &str| matches!(name, "x-request-id" | "traceparent" | "date");
    if let Some(name) = shown.headers.iter().find(|name| once(name.as_str())) {
        return Err(Forgets::Unbounded(format!("header {name}")));
    }
    if let Some(name) = shown.attributes.iter().find(|name| sounds_secret(name)) {
        return Err(Forgets::Secret(name.clone()));
    }
    match shown.attributes.iter().find(|name| matches!(name.as_str(), "client.port" | "request.id")) {
        Some(name) => Err(Forgets::Unbounded(format!("attribute {name}"))),
        None => Ok(()),
    }
}

/// Whether a field's value lets whoever knows it in, by what it is or by what it is called.
pub(super) fn is_credential(name: &HeaderName) -> bool {
    let known = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];
    known.contains(name) || sounds_secret(name.as_str())
}
