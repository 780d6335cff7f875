//! Testing a plugin's logic on the machine it is written on, without Wasm and without a proxy.
//!
//! [`Harness`] does what the proxy does: checks settings against the schema, configures, shows a phase only what the plugin asked for,
//! and applies the edits. What would be a fault in the proxy is a panic here, with the reason. Reading a part of a head that was not asked
//! for is a panic too: in the proxy it would be silently empty.
//!
//! ```
//! # use portcullis_sdk::prelude::*;
//! # #[settings] struct Guard { token: String }
//! # #[plugin] impl Guard {
//! #     #[interest(path, headers = ["x-token"])]
//! #     fn on_request(&self, request: &Request, _: &mut RequestEdits) -> Option<Reply> {
//! #         (request.header_str("x-token") != Some(&self.token)).then(|| Reply::new(403).text("who are you?\n"))
//! #     }
//! # }
//! use portcullis_sdk::test::{Harness, get};
//!
//! let guard = Harness::<Guard>::new(r#"{ "token": "sesame" }"#);
//! let after = guard.on_request(get("https://example.com/vault?a=1"));
//! assert_eq!(after.reply().map(|reply| reply.status()), Some(403));
//!
//! let problems = Harness::<Guard>::refused(r#"{ "tokn": "sesame" }"#);
//! assert_eq!(problems[0].path, "/tokn");
//! ```
//!
//! What a plugin that was granted more reaches beyond the exchange, [`Outside`] stands for.

mod apply;
mod body;
mod check;
mod connection;
pub(crate) mod outside;
mod sent;
mod upstream;

pub use apply::{Edit, Outcome};
pub use body::BodyOutcome;
pub use connection::{ConnectionOutcome, SentConnection, connection, unix_connection};
pub use outside::{Answers, Asked, Installed, Outside};
pub use sent::{SentRequest, SentResponse, get, request, response};
pub use upstream::{
    After, AttemptOutcome, BalanceOutcome, SentAttempt, SentChoice, SentEnd, SentServer, answered, choice, failed_attempt, failed_status,
    server, unanswered,
};

use crate::abi::{Arena, RawVerdict, lower};
use crate::edits::{Edits, RequestEdits};
use crate::plan::Plan;
use crate::plugin::{OnRequest, OnResponse, Plugin};
use crate::problem::Problem;
use crate::settings::{self, Setting};
use crate::verdict::Verdict;

/// A configured plugin under test.
pub struct Harness<P> {
    plugin: P,
    plan: Plan,
}

impl<P: Plugin> Harness<P> {
    /// Configures the plugin with these settings, a JSON object.
    ///
    /// # Panics
    /// If the proxy would refuse them; the message lists the problems.
    #[track_caller]
    pub fn new(settings: &str) -> Self {
        match Self::configure(settings) {
            Ok(harness) => harness,
            Err(problems) => panic!("settings refused: {problems:#?}"),
        }
    }

    /// Configures the plugin with these settings, a JSON object.
    ///
    /// # Errors
    /// What the operator would be told: by the schema, else by the plugin.
    pub fn configure(settings: &str) -> Result<Self, Vec<Problem>> {
        check::check(settings, &<P::Settings as Setting>::SCHEMA)?;
        let (plugin, plan) = settings::configure::<P>(settings)?;
        Ok(Self { plugin, plan })
    }

    /// What the operator would be told about these settings.
    ///
    /// # Panics
    /// If they are accepted.
    #[track_caller]
    pub fn refused(settings: &str) -> Vec<Problem> {
        match Self::configure(settings) {
            Ok(_) => panic!("settings accepted: {settings}"),
            Err(problems) => problems,
        }
    }

    /// What `plugin inspect` shows: name, version, description and the schema of the settings, as JSON.
    pub fn describe() -> String {
        settings::describe::<P>()
    }

    /// What the plugin wants to see under its settings.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plugin itself.
    pub fn plugin(&self) -> &P {
        &self.plugin
    }
}

impl<P: OnRequest> Harness<P> {
    /// Shows a request to the plugin and applies what it decides. Not called, like in the proxy, if its plan says so.
    ///
    /// # Panics
    /// If the decision would be a fault, or the plugin reads what it did not ask for.
    pub fn on_request(&self, sent: SentRequest) -> Outcome<SentRequest> {
        let Some(interest) = &self.plan.request else { return Outcome::untouched(sent) };
        let arena = Arena::new();
        let seen = sent.seen(interest);
        let mut edits = RequestEdits(Edits::new(&arena));
        let verdict = seen.with(interest, |request| self.plugin.on_request(request, &mut edits));
        outcome(sent, verdict, edits.0)
    }
}

impl<P: OnResponse> Harness<P> {
    /// Shows a response to the plugin and applies what it decides. Not called, like in the proxy, if its plan says so.
    ///
    /// # Panics
    /// If the decision would be a fault, or the plugin reads what it did not ask for.
    pub fn on_response(&self, sent: SentResponse) -> Outcome<SentResponse> {
        let Some(interest) = &self.plan.response else { return Outcome::untouched(sent) };
        let arena = Arena::new();
        let seen = sent.seen(interest);
        let mut edits = Edits::new(&arena);
        let verdict = seen.with(interest, |response| self.plugin.on_response(response, &mut edits));
        outcome(sent, verdict.into(), edits)
    }
}

/// Through the same lowering as in the proxy.
fn outcome<H: apply::Head>(head: H, verdict: Verdict, edits: Edits<'_>) -> Outcome<H> {
    let lowered = lower::decision(edits.arena, &verdict, edits.list.finish());
    let edits: Vec<Edit> = lowered.edits.items().iter().map(Edit::of).collect();
    if let RawVerdict::Reply(reply) = &lowered.verdict {
        apply::check_reply(reply);
    }
    Outcome::applied(head, verdict.clone(), edits)
}
