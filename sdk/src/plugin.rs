//! What `#[plugin]` implements: one trait for every plugin, and one for each phase it takes part in.
//!
//! Authors do not implement these by hand; the names appear in compiler messages and in the bounds of [`crate::test`].

use crate::edits::{Edits, RequestEdits};
use crate::head::{Request, Response};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::settings::Setting;
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

/// What `plugin inspect` shows about a plugin.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub name: &'static str,
    pub version: &'static str,
    /// Empty: that of the settings, else that of the package.
    pub description: &'static str,
    pub package_description: &'static str,
}
