//! The links that a scope comes to: who is let in, and what is done before and after.

use super::Scope;
use crate::import::draft::{Draft, Link};
use crate::import::line::Line;
use crate::import::write::quoted;

impl Scope {
    /// Who is let in, and what is done before and after.
    pub fn chain(&self, line: &Line, draft: &mut Draft) -> Vec<Link> {
        let mut chain = Vec::new();
        if self.gzip {
            chain.push(Link { plugin: "compress", settings: self.gzip_settings.clone() });
        }
        if let Some(value) = &self.expires {
            // Those that nginx gives it.
            let rule = format!("[{{ status = [200, 201, 204, 206, 301, 302, 303, 307, 308], set = {} }}]", quoted(value));
            chain.push(Link { plugin: "cache-control", settings: vec![("rules", rule), ("replace", "true".to_owned())] });
        }
        match self.filter() {
            Ok(filter) => chain.extend(filter),
            Err(why) => {
                chain.push(Link::closed());
                draft.lost.push(line.lost(format!("{why}; until then, it answers 403")));
            }
        }
        if self.closed {
            chain.push(Link::closed());
        }
        chain.extend(self.limits.iter().cloned());
        if let Some(line) = &self.auth {
            chain.push(self.doors.get(line.arg(0)).map_or_else(Link::closed, |door| self.through(door)));
            if !self.doors.contains_key(line.arg(0)) {
                draft.lost.push(line.lost("`forward-auth` asks a server; until then, what it protects answers 403"));
            }
        }
        if let Some(realm) = &self.realm {
            let Some(users) = &self.users else {
                draft.lost.push(line.lost("`auth_basic` without `auth_basic_user_file`; until then, it answers 403"));
                chain.push(Link::closed());
                return chain;
            };
            let settings =
                vec![("htpasswd", format!("{{ file = {} }}", quoted(users))), ("realm", quoted(realm)), ("forward", "true".to_owned())];
            chain.push(Link { plugin: "basic-auth", settings });
        }
        chain
    }

    /// A door with what the request goes on with.
    fn through(&self, door: &Link) -> Link {
        let mut link = door.clone();
        if !self.copied.is_empty() {
            let names: Vec<String> = self.copied.iter().map(|name| quoted(name)).collect();
            link.settings.push(("copy", format!("[{}]", names.join(", "))));
        }
        link
    }

    /// nginx takes the first that fits, `ip-filter` the most specific one: the same where one of the lists is "all the rest".
    fn filter(&self) -> Result<Option<Link>, String> {
        let all = |(allowed, whom): &(bool, String)| (whom == "all").then_some(*allowed);
        let Some(first) = self.access.first() else { return Ok(None) };
        let rest = self.access.last().and_then(all);
        let named: Vec<&(bool, String)> = self.access.iter().filter(|entry| all(entry).is_none()).collect();
        let alike = named.iter().all(|(allowed, _)| *allowed == first.0);
        let networks = format!("[{}]", named.iter().map(|(_, whom)| quoted(whom)).collect::<Vec<_>>().join(", "));
        match (first.0, rest) {
            (true, Some(false)) if alike && !named.is_empty() => {
                Ok(Some(Link { plugin: "ip-filter", settings: vec![("allow", networks)] }))
            }
            (false, None | Some(true)) if alike && !named.is_empty() => {
                Ok(Some(Link { plugin: "ip-filter", settings: vec![("deny", networks)] }))
            }
            (false, Some(false)) if named.is_empty() => Ok(Some(Link::closed())),
            (true, None | Some(true)) if alike => Ok(None),
            _ => Err("`allow` and `deny` mixed: `ip-filter` goes by the longest prefix, not by order".into()),
        }
    }
}
