//! `configure`: settings text to plugin and plan.

use super::{json, place};
use crate::plan::Plan;
use crate::plugin::Plugin;
use crate::problem::Problem;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Makes a plugin of a link's settings.
///
/// # Errors
/// What is wrong with them. The proxy has checked them against the schema before, so what is found here is mostly what the plugin
/// itself objects to.
pub(crate) fn configure<P: Plugin>(text: &str) -> Result<(P, Plan), Vec<Problem>> {
    let settings = json::read(text).map_err(|(message, at)| vec![problem(text, message, at)])?;
    let plugin = P::configure(settings)?;
    let mut plan = Plan::default();
    plugin.plan(&mut plan);
    Ok((plugin, plan))
}

fn problem(text: &str, message: String, at: usize) -> Problem {
    Problem::at(place::pointer(text, at), message)
}
