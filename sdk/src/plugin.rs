//! What `#[plugin]` implements: one trait for every plugin, and one for each phase it takes part in.
//!
//! Authors do not implement these by hand; the names appear in compiler messages and in the bounds of [`crate::test`].

use crate::body::{RequestBegin, RequestBody, ResponseBegin, ResponseBody};
use crate::connection::{AcceptVerdict, Accepted, ClientHello, Closed, ConnectionEdits, HelloVerdict};
use crate::edits::{Edits, RequestEdits};
use crate::head::{Request, Response};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::settings::Setting;
use crate::upstream::{AttemptVerdict, BalanceVerdict, Choice, Done, FailedAttempt, Tick, UpstreamEdits};
use crate::verdict::{ResponseVerdict, Verdict};
use alloc::vec::Vec;

/// A plugin: settings in, a value that decides out.
pub trait Plugin: Sized + 'static {
    /// What the operator writes.
    type Settings: Setting;

    /// Who it is.
    const ABOUT: About;

    /// Makes the plugin of checked settings.
    fn configure(settings: Self::Settings) -> Result<Self, Vec<Problem>>;

    /// What it wants to see; `plan` holds what the `#[interest]` attributes say.
    fn plan(&self, plan: &mut Plan);
}

/// A plugin that looks at requests.
pub trait OnRequest: Plugin {
    fn on_request(&self, request: &Request<'_>, edit: &mut RequestEdits<'_>) -> Verdict;
}

/// A plugin that looks at responses.
pub trait OnResponse: Plugin {
    fn on_response(&self, response: &Response<'_>, edit: &mut Edits<'_>) -> ResponseVerdict;
}

/// A plugin that takes part in request bodies.
pub trait OnRequestBody: Plugin {
    fn on_request_body(&self, request: &RequestBegin<'_>, edit: &mut RequestEdits<'_>) -> RequestBody;
}

/// A plugin that takes part in response bodies.
pub trait OnResponseBody: Plugin {
    fn on_response_body(&self, response: &ResponseBegin<'_>, edit: &mut Edits<'_>) -> ResponseBody;
}

/// A plugin that decides about connections when they come in.
pub trait OnAccept: Plugin {
    fn on_accept(&self, accepted: &Accepted<'_>, edit: &mut ConnectionEdits<'_>) -> AcceptVerdict;
}

/// A plugin that decides about TLS connections by what the client offers.
pub trait OnClientHello: Plugin {
    fn on_client_hello(&self, hello: &ClientHello<'_>, edit: &mut ConnectionEdits<'_>) -> HelloVerdict;
}

/// A plugin that wants to know when connections end.
pub trait OnClose: Plugin {
    fn on_close(&self, closed: &Closed<'_>);
}

/// A plugin that chooses servers.
pub trait OnBalance: Plugin {
    fn on_balance(&self, choice: &Choice<'_>, edit: &mut UpstreamEdits<'_>) -> BalanceVerdict;
}

/// A plugin that has a say in whether an attempt is followed by another.
pub trait OnAttempt: Plugin {
    fn on_attempt(&self, failed: &FailedAttempt<'_>, edit: &mut UpstreamEdits<'_>) -> AttemptVerdict;
}

/// A plugin that wants to know how exchanges end.
pub trait OnDone: Plugin {
    fn on_done(&self, done: &Done<'_>);
}

/// A plugin that works without being asked.
pub trait OnTick: Plugin {
    fn on_tick(&self, tick: &Tick<'_>);
}

/// What `plugin inspect` shows about a plugin.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub name: &'static str,
    pub version: &'static str,
    /// Empty: that of the settings, else that of the package.
    pub description: &'static str,
    pub package_description: &'static str,
}
