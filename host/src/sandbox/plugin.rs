//! A compiled component with everything about it that does not depend on settings, and the way from there to a filter.

use super::abi::{Decided, Request, Response};
use super::bodies::{BodyExports, BodyPlan, WayExports, abi as body, types as bodies};
use super::census::Census;
use super::configured::Configured;
use super::connection::{ConnectionPlan, types as connection};
use super::describe::Description;
use super::direct::Direct;
use super::fault::Broken;
use super::grants::{PACKAGE, VERSION, serves};
use super::guest::{Bare, Said};
use super::imports::{Capability, Rights};
use super::lift::BadOutput;
use super::lines::Lines;
use super::load::LoadError;
use super::passing::Passing;
use super::plan::{Plan, Plans};
use super::remembered::eligible;
use super::state::{Backing, State};
use super::ticker::Ticker;
use super::types;
use super::upstreams::{UpstreamPhases, UpstreamPlan, types as upstreams};
use super::wasi::Log;
use crate::chain::{ConnectionPhases, Fault};
use crate::config::{BreakerSpec, FailurePolicy, GuestLimits, Isolation};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, ComponentType, InstancePre, Lift, Lower};

/// One compiled component. Equal files share one within a [`super::Sandbox`].
pub struct Plugin {
    pub(super) linked: Linked,
    pub(super) exports: Exports,
    pub(super) passing: Passing,
    /// If it needs no component around it.
    pub(super) direct: Option<Direct>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) seed: (u64, u64),
    description: Description,
    digest: [u8; 32],
    /// Where the source of its guests is known.
    pub(super) lines: Option<Lines>,
}

/// A component with its imports.
pub(super) struct Linked {
    pub(super) pre: InstancePre<State>,
    /// The same for guests that may wait, if it imports what may have to be waited for.
    pub(super) waiting: Option<InstancePre<State>>,
    /// What must be granted, and the imports' names.
    pub(super) needs: Vec<(Capability, String)>,
    /// The import that makes it more than a function of its inputs.
    pub(super) impure: Option<String>,
}

/// What a link's guests get from the operator.
#[derive(Clone, Default)]
pub struct Grant {
    pub limits: GuestLimits,
    /// `None`: what is cheaper, for a plugin of which it is known that it makes no difference (`Plan::comes_again`).
    pub isolation: Option<Isolation>,
    pub fail: FailurePolicy,
    pub rights: Arc<Rights>,
    pub breaker: BreakerSpec,
    /// Whether decisions may be remembered where that makes no difference.
    pub remember: Remember,
    /// Where its guests are counted.
    pub census: Arc<Census>,
}

/// What the operator's file says of remembering a link's decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remember {
    pub wanted: bool,
    /// Whether the settings have a secret.
    pub secret: bool,
}

impl Default for Remember {
    fn default() -> Self {
        Self { wanted: true, secret: false }
    }
}

/// Something wrong or doubtful in a link's settings.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Problem {
    /// A JSON pointer (RFC 6901) into the settings.
    pub path: String,
    pub message: String,
}

impl Problem {
    /// One short line, without what could drive a terminal: it is shown to the operator as the plugin said it.
    pub(super) fn tidied(self) -> Self {
        const LONGEST: usize = 1000;
        let tidy = |text: String| -> String { text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect() };
        Self { path: tidy(self.path), message: tidy(self.message) }
    }
}

/// Why a plugin did not take its settings.
#[derive(Debug)]
pub enum ConfigureError {
    /// It said so: the operator's fault (E032).
    Problems(Vec<Problem>),
    /// It broke the contract: the plugin's fault.
    Fault(Fault),
}

/// Where a component's functions are. Their types have been checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exports {
    pub(super) describe: ComponentExportIndex,
    pub(super) configure: ComponentExportIndex,
    pub(super) request: Option<ComponentExportIndex>,
    pub(super) response: Option<ComponentExportIndex>,
    /// `plan-connections`, which is there if one of the following is.
    pub(super) connections: Option<ComponentExportIndex>,
    pub(super) accept: Option<ComponentExportIndex>,
    pub(super) client_hello: Option<ComponentExportIndex>,
    pub(super) close: Option<ComponentExportIndex>,
    pub(super) bodies: Option<BodyExports>,
    /// `plan-upstreams`, which is there if one of the following is.
    pub(super) upstreams: Option<ComponentExportIndex>,
    pub(super) balance: Option<ComponentExportIndex>,
    pub(super) attempt: Option<ComponentExportIndex>,
    pub(super) done: Option<ComponentExportIndex>,
    pub(super) tick: Option<ComponentExportIndex>,
}

/// For `describe`, which runs before any limit is configured, off the path of requests.
const DESCRIBE_LIMITS: GuestLimits = GuestLimits { memory: 64 << 20, cpu: Duration::from_millis(100), time: Duration::from_millis(100) };

impl Plugin {
    /// Checks what the component exports, then runs `describe`.
    pub(super) fn describe(
        linked: Linked,
        ticker: &Arc<Ticker>,
        seed: (u64, u64),
        (digest, lines): ([u8; 32], Option<Lines>),
        (passing, direct): (Passing, Option<Direct>),
    ) -> Result<Self, LoadError> {
        let exports = Exports::find(&linked.pre)?;
        ticker.cover(DESCRIBE_LIMITS.cpu);
        let rights = Arc::default();
        let backing = Backing { limits: DESCRIBE_LIMITS, log: Log::new("describe"), ticker: Arc::clone(ticker), seed, rights };
        let said = Bare::start(&linked.pre, &Arc::new(backing)).and_then(|guest| guest.describe(&exports));
        let said = said.map_err(|broken| LoadError::Describe(format!("{:?}: {}", broken.cause, broken.detail)))?;
        let description = Description::parse(&said).map_err(LoadError::Describe)?;
        Ok(Self { linked, exports, passing, direct, ticker: Arc::clone(ticker), seed, description, digest, lines })
    }

    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// SHA-256 of the file.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Bytes of machine code and what belongs to it, shared by all guests.
    pub fn compiled_size(&self) -> usize {
        let image = self.linked.pre.component().image_range();
        (image.end as usize).saturating_sub(image.start as usize)
    }

    /// Whether it exports `on-request`, and `on-response`. What it does under given settings is in the [`Plan`].
    pub const fn phases(&self) -> (bool, bool) {
        (self.exports.request.is_some(), self.exports.response.is_some())
    }

    /// Which phases of connections it exports.
    pub const fn connection_phases(&self) -> ConnectionPhases {
        let Exports { accept, client_hello, close, .. } = &self.exports;
        ConnectionPhases { accept: accept.is_some(), client_hello: client_hello.is_some(), close: close.is_some(), bytes: close.is_some() }
    }

    /// The import by which it is more than a function of its settings and inputs.
    pub fn impure(&self) -> Option<&str> {
        self.linked.impure.as_deref()
    }

    /// Whether it exports `on-request-body`, and `on-response-body`.
    pub const fn body_phases(&self) -> (bool, bool) {
        match &self.exports.bodies {
            Some(bodies) => bodies.ways(),
            None => (false, false),
        }
    }

    /// Which phases on the way to upstreams it exports.
    pub const fn upstream_phases(&self) -> UpstreamPhases {
        let Exports { balance, attempt, done, tick, .. } = &self.exports;
        UpstreamPhases { balance: balance.is_some(), attempt: attempt.is_some(), done: done.is_some(), tick: tick.is_some() }
    }

    /// What the operator must grant, with the names of the imports.
    pub fn needs(&self) -> &[(Capability, String)] {
        &self.linked.needs
    }

    /// As [`Self::configure_under`], with nothing granted.
    pub fn configure(
        self: &Arc<Self>,
        settings: &serde_json::Value,
        limits: GuestLimits,
        isolation: Isolation,
        fail: FailurePolicy,
        link: &str,
    ) -> Result<Arc<Configured>, ConfigureError> {
        self.configure_under(settings, Grant { limits, isolation: Some(isolation), fail, ..Grant::default() }, link)
    }

    /// Asks a guest of its own whether it takes `settings` (a JSON object that fits the schema). `link` is what logs call it.
    pub fn configure_under(
        self: &Arc<Self>,
        settings: &serde_json::Value,
        terms: Grant,
        link: &str,
    ) -> Result<Arc<Configured>, ConfigureError> {
        let Grant { limits, isolation, fail, rights, remember, census, breaker } = terms;
        self.ticker.cover(limits.cpu);
        let waits = rights.waits(self.needs());
        let (log, ticker) = (Log::new(link), Arc::clone(&self.ticker));
        let backing = Arc::new(Backing { limits, log, ticker, seed: self.seed, rights });
        let settings = settings.to_string();
        let fault = |broken: Broken| ConfigureError::Fault(broken.into_fault(&fail, |trace| Some(trace.text(self.lines.as_ref()))));
        let said = Bare::start(&self.linked.pre, &backing).and_then(|guest| guest.plan(&self.exports, &settings)).map_err(fault)?;
        let Said { plan: said, connections, bodies, upstreams } = said;
        let bad = |wrong: BadOutput| fault(Broken::bad_output(wrong.to_string()));
        let refused = |problems: Vec<Problem>| ConfigureError::Problems(problems.into_iter().map(Problem::tidied).collect());
        let plan = Plan::check(said.map_err(refused)?, self.phases()).map_err(bad)?;
        let connections = connections.map(|raw| ConnectionPlan::check(raw, self.connection_phases()).map_err(bad));
        let bodies = bodies.map(|raw| BodyPlan::check(raw, self.body_phases()).map_err(bad));
        let upstreams = upstreams.map(|raw| UpstreamPlan::check(raw, self.upstream_phases()).map_err(bad));
        let plans = Plans {
            heads: plan,
            connections: connections.transpose()?.unwrap_or_default(),
            bodies: bodies.transpose()?.unwrap_or_default(),
            upstreams: upstreams.transpose()?.unwrap_or_default(),
        };
        if waits && plans.connections.phases().any() {
            return Err(fault(Broken::bad_output("it may have to wait for a store or an upstream, which phases of connections cannot")));
        }
        if waits && plans.upstreams.phases().any() {
            let why = "it may have to wait for a store or an upstream, which `on-balance`, `on-attempt` and `on-done` cannot";
            return Err(fault(Broken::bad_output(why)));
        }
        if plans.bodies.any() && plans.upstreams.any() {
            // Its guests are found by exchange (`bodies::Holds`), and nothing there knows of these phases.
            let why = "it looks at bodies, which a link with `on-balance`, `on-attempt`, `on-done` or `on-tick` cannot; use two links";
            return Err(fault(Broken::bad_output(why)));
        }
        let eligible = |isolation| eligible(self.linked.impure.as_deref(), &plans, isolation, remember);
        let cheaper = || match eligible(Isolation::Request) {
            Ok(()) if plans.heads.comes_again() && !plans.connections.phases().any() => Isolation::Request,
            _ => Isolation::Worker,
        };
        let asked = (isolation, remember);
        let isolation = isolation.unwrap_or_else(cheaper);
        let remembers = eligible(isolation);
        let how = (isolation, waits);
        Ok(Arc::new(Configured::new(Arc::clone(self), plans, settings, backing, how, (fail, breaker, remembers), (asked, census))))
    }
}

impl Exports {
    fn find(pre: &InstancePre<State>) -> Result<Self, LoadError> {
        let find = Finder { pre };
        let missing = |what: &str| LoadError::NoExport(format!("{PACKAGE}{what}@{VERSION}"));
        let lifecycle = |func| find.func::<(), (String,)>("lifecycle", func);
        let describe = lifecycle("describe")?.ok_or_else(|| missing("lifecycle"))?;
        let configure = find.func::<(&str,), (types::Configured,)>("lifecycle", "configure")?.ok_or_else(|| missing("lifecycle"))?;
        let request = find.func::<(u64, Request<'_>), (Decided<true>,)>("on-request", "on-request")?;
        let response = find.func::<(u64, Response<'_>), (Decided<false>,)>("on-response", "on-response")?;
        let connections = find.func::<(), (connection::ConnectionPlan,)>("connections", "plan-connections")?;
        let accept = find.func::<(u64, connection::Accepted<'_>), (connection::AcceptDecision,)>("on-accept", "on-accept")?;
        let client_hello =
            find.func::<(u64, connection::ClientHello<'_>), (connection::HelloDecision,)>("on-client-hello", "on-client-hello")?;
        let close = find.func::<(u64, connection::Closed<'_>), ()>("on-close", "on-close")?;
        let upstreams = find.func::<(), (upstreams::UpstreamPlan,)>("upstreams", "plan-upstreams")?;
        let balance = find.func::<(u64, upstreams::Choice<'_>), (upstreams::BalanceDecision,)>("on-balance", "on-balance")?;
        let attempt = find.func::<(u64, upstreams::FailedAttempt<'_>), (upstreams::AttemptDecision,)>("on-attempt", "on-attempt")?;
        let done = find.func::<(u64, upstreams::Done<'_>), ()>("on-done", "on-done")?;
        let tick = find.func::<(upstreams::Tick,), ()>("on-tick", "on-tick")?;
        let any_of_upstreams = balance.or(attempt).or(done).or(tick).is_some();
        if any_of_upstreams && upstreams.is_none() {
            return Err(missing("upstreams"));
        }
        let any_of_connections = accept.or(client_hello).or(close).is_some();
        if any_of_connections && connections.is_none() {
            return Err(missing("connections"));
        }
        let bodies = find.bodies()?;
        if request.is_none() && response.is_none() && !any_of_connections && bodies.is_none() && !any_of_upstreams {
            return Err(LoadError::NoPhase);
        }
        Ok(Self {
            describe,
            configure,
            request,
            response,
            connections,
            accept,
            client_hello,
            close,
            bodies,
            upstreams,
            balance,
            attempt,
            done,
            tick,
        })
    }
}

struct Finder<'p> {
    pre: &'p InstancePre<State>,
}

impl Finder<'_> {
    /// Everything about bodies; `bodies` must be there beside any of them.
    fn bodies(&self) -> Result<Option<BodyExports>, LoadError> {
        let plan = self.func::<(), (bodies::BodyPlan,)>("bodies", "plan-bodies")?;
        let release = self.func::<(u64,), ()>("bodies", "release")?;
        let request =
            self.way::<(u64, types::RequestHead<'_>, Option<u64>), (body::Started<true>,), (body::Found<true>,)>("on-request-body")?;
        let response =
            self.way::<(u64, types::ResponseHead<'_>, Option<u64>), (body::Started<false>,), (body::Found<false>,)>("on-response-body")?;
        if request.is_none() && response.is_none() {
            return Ok(None);
        }
        let missing = || LoadError::NoExport(format!("{PACKAGE}bodies@{VERSION}"));
        Ok(Some(BodyExports { plan: plan.ok_or_else(missing)?, release: release.ok_or_else(missing)?, request, response }))
    }

    /// The interface of one body.
    fn way<B, S, W>(&self, interface: &str) -> Result<Option<WayExports>, LoadError>
    where
        B: ComponentNamedList + Lower,
        S: ComponentNamedList + Lift,
        W: ComponentNamedList + Lift,
    {
        let begin = self.func::<B, S>(interface, "begin")?;
        let watch = self.func::<(u64, &[u8]), ()>(interface, "watch")?;
        let transform = self.func::<(u64, &[u8]), (body::Given,)>(interface, "transform")?;
        let end = self.func::<(u64, &[types::Header<'_>]), (body::Ended,)>(interface, "end")?;
        let whole = self.func::<(u64, &[u8], &[types::Header<'_>]), W>(interface, "whole")?;
        let all = begin.zip(watch).zip(transform).zip(end).zip(whole);
        Ok(all.map(|((((begin, watch), transform), end), whole)| WayExports { begin, watch, transform, end, whole }))
    }

    /// A function of one of our interfaces, its type compared exactly. `None`: the component does not have the interface.
    fn func<P, R>(&self, interface: &str, func: &str) -> Result<Option<ComponentExportIndex>, LoadError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let component = self.pre.component();
        let engine = component.engine();
        let all = component.component_type();
        let base = format!("{PACKAGE}{interface}");
        let mut found = None;
        for (name, item) in all.exports(engine) {
            let Some(version) = name.strip_prefix(&base).and_then(|rest| rest.strip_prefix('@')) else { continue };
            if serves(VERSION, version) {
                found = Some((name.to_owned(), item.ty));
            } else if found.is_none() {
                return Err(LoadError::Version { export: name.to_owned(), offered: VERSION.to_owned() });
            }
        }
        let Some((name, ComponentItem::ComponentInstance(instance))) = found else { return Ok(None) };
        let wrong = |reason: String| LoadError::WrongType { export: format!("{name}#{func}"), reason };
        let ty = match instance.get_export(engine, func).map(|item| item.ty) {
            Some(ComponentItem::ComponentFunc(ty)) => ty,
            _ => return Err(wrong("there is no such function".to_owned())),
        };
        self.check::<P, R>(&ty).map_err(|error| wrong(format!("{error:#}")))?;
        let parent = component.get_export_index(None, &name);
        let index = parent.and_then(|parent| component.get_export_index(Some(&parent), func));
        index.map(Some).ok_or_else(|| wrong("it cannot be called".to_owned()))
    }

    fn check<P, R>(&self, ty: &ComponentFunc) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        if ty.async_() {
            return Err(wasmtime::Error::msg("it is async"));
        }
        ty.typecheck::<P, R>(&self.pre.instance_type())
    }
}
