//! `configure`: settings text to plugin and plan.

use super::place;
use crate::plan::Plan;
use crate::plugin::Plugin;
use crate::problem::Problem;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// Makes a plugin of a link's settings.
///
/// # Errors
/// What is wrong with them. The proxy has checked them against the schema before, so what is found here is mostly what the plugin
/// itself objects to.
pub(crate) fn configure<P: Plugin>(text: &str) -> Result<(P, Plan), Vec<Problem>> {
    let settings = serde_json::from_str(text).map_err(|error| vec![problem(text, &error)])?;
    let plugin = P::configure(settings)?;
    let mut plan = Plan::default();
    plugin.plan(&mut plan);
    Ok((plugin, plan))
}

/// serde_json says where in the text; the operator's file is found by what stands there.
pub(super) fn problem(text: &str, error: &serde_json::Error) -> Problem {
    let path = place::pointer(text, place::offset(text, error.line(), error.column()));
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    Problem { path: path.into(), message: String::from(&message[..end]) }
}
