//! The answer for programs.

use super::sites::{path, tls};
use super::upstreams::{retry, server_json, terms};
use super::{Explained, Refused};
use crate::config::{MirrorSpec, show_duration};
use serde_json::{Value, json};

impl Explained {
    pub fn json(&self) -> Value {
        let mut answer = json!({
            "method": self.head.method.as_str(), "scheme": self.head.scheme.as_str(), "authority": &*self.head.authority,
            "path": &*self.head.path, "query": self.head.query.as_deref(),
        });
        if !self.config.listen.chain.is_empty() {
            answer["connection"] = self.config.listen.chain.iter().map(|link| self.link_json(link)).collect();
        }
        let site = |index: usize| {
            let site = &self.config.sites[index];
            json!({ "name": site.name.to_string(), "tls": tls(&site.tls), "at": site.at.to_string() })
        };
        match &self.place {
            Ok((index, route)) => {
                let route = &self.config.sites[*index].routes[*route];
                answer["site"] = site(*index);
                answer["route"] = json!({ "pattern": route.pattern, "path": path(&route.matches.path), "at": route.at.to_string() });
                answer["chain"] = route.chain.iter().map(|link| self.link_json(link)).collect();
                for (link, memory) in answer["chain"].as_array_mut().into_iter().flatten().zip(&self.memory) {
                    link["phases"] = json!(memory.phases);
                    link["remembered"] = json!(memory.memory);
                }
                answer["upstream"] = match route.to.as_ref().and_then(|to| self.config.upstreams.get_key_value(to)) {
                    Some((name, spec)) => {
                        let servers: Vec<_> = spec.servers.iter().map(server_json).collect();
                        let mut upstream = json!({ "name": name.to_string(), "balance": spec.balance.to_string(), "servers": servers });
                        terms(spec, &self.config).into_iter().for_each(|(title, text)| upstream[title] = text.into());
                        upstream["at"] = spec.at.to_string().into();
                        upstream
                    }
                    None => Value::Null,
                };
                answer["retry"] = json!(route.to.as_ref().map(|_| retry(&route.retry, &self.config.limits)));
                if let Some(MirrorSpec { to, share }) = &route.mirror {
                    answer["mirror"] = json!({ "to": to.to_string(), "share": share });
                }
                if let Some(injected) = &route.injected {
                    answer["fault"] = injected.to_string().into();
                }
                answer["timeouts"] =
                    self.times(route).into_iter().map(|(name, time)| (name.to_owned(), json!(time.map(show_duration)))).collect();
            }
            Err(Refused::NoSite) => answer["answer"] = json!({ "status": 404, "reason": "no_site" }),
            Err(Refused::NoRoute(index)) => {
                answer["site"] = site(*index);
                answer["answer"] = json!({ "status": 404, "reason": "no_route" });
            }
            Err(Refused::Redirect(index, location)) => {
                answer["site"] = site(*index);
                answer["answer"] = json!({ "status": 308, "location": location });
            }
            Err(Refused::Misdirected(index)) => {
                answer["site"] = site(*index);
                answer["answer"] = json!({ "status": 421, "reason": "misdirected" });
            }
        }
        answer
    }
}
