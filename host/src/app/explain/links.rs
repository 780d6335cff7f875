//! The links of a chain: where each is from, whether it is entered, and what it may do beyond deciding.

use super::Explained;
use crate::app::granted::own;
use crate::config::{LinkOrigin, LinkSpec, PluginRef};
use crate::message::RequestHead;
use crate::sandbox::{Capability, bundled};
use serde_json::{Value, json};

impl Explained {
    pub(super) fn link_json(&self, link: &LinkSpec) -> Value {
        json!({
            "name": link.name, "plugin": link.plugin.to_string(), "settings": link.shown_settings(), "at": link.at.to_string(),
            "from": origin(&link.origin), "entered": enters(link, &self.head), "may": self.capabilities(link),
        })
    }

    /// What a link may do beyond deciding.
    pub(super) fn may(&self, link: &LinkSpec) -> String {
        let may = self.capabilities(link);
        if may.is_empty() { String::new() } else { format!("  (may use {})", may.join(", ")) }
    }

    fn capabilities(&self, link: &LinkSpec) -> Vec<&'static str> {
        let spec = match &link.plugin {
            PluginRef::Declared(name) => self.config.plugins.get(name),
            PluginRef::Bundled(_) => None,
        };
        let due = own(&link.plugin, spec).map_or(&[][..], bundled::rights);
        let granted = |capability: &Capability| due.contains(capability) || spec.is_some_and(|spec| capability.is_in(&spec.allow));
        Capability::ALL.into_iter().filter(granted).map(Capability::interface).collect()
    }
}

pub(super) fn of(link: &LinkSpec) -> String {
    let plugin = link.plugin.to_string();
    if plugin == link.name { String::new() } else { format!(" = {plugin}") }
}

pub(in crate::app) fn origin(origin: &LinkOrigin) -> &'static str {
    match origin {
        LinkOrigin::Server => "server",
        LinkOrigin::Site => "site",
        LinkOrigin::Route => "route",
        LinkOrigin::Listener => "listener",
    }
}

pub(super) fn enters(link: &LinkSpec, head: &RequestHead) -> bool {
    link.when.as_ref().is_none_or(|when| when.holds(&head.method, &head.path, head.query.as_deref(), &head.headers))
}
