//! Which bodies a plugin may want under its settings, checked once.

use super::super::lift::BadOutput;
use super::super::plan::{RequestInterest, ResponseInterest, request, response};
use super::types;

/// What `plan-bodies` returned (`wit/types.wit`, `body-plan`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyPlan {
    /// What `begin` of a request's body wants to see. `None`: not called under these settings.
    pub request: Option<RequestInterest>,
    pub response: Option<ResponseInterest>,
}

impl BodyPlan {
    /// `exported`: whether the component has `on-request-body`, and `on-response-body`.
    pub(in super::super) fn check(raw: types::BodyPlan, exported: (bool, bool)) -> Result<Self, BadOutput> {
        let missing =
            [(raw.request.is_some() && !exported.0, "on-request-body"), (raw.response.is_some() && !exported.1, "on-response-body")];
        if let Some((_, phase)) = missing.iter().find(|(missing, _)| *missing) {
            return Err(BadOutput::new(format!("the plan asks for `{phase}`, which the plugin does not export")));
        }
        Ok(Self { request: raw.request.map(request).transpose()?, response: raw.response.map(response).transpose()? })
    }

    /// Whether any body may be wanted.
    pub const fn any(&self) -> bool {
        self.request.is_some() || self.response.is_some()
    }
}
