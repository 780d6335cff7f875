//! `location` blocks as routes.

use super::super::draft::{Action, Draft, Link, Route};
use super::scope::{Scope, guards};
use super::{Line, is_meaningless};
use super::{action, door};
use regex::Regex;

/// What says where a request goes.
const ACTIONS: [&str; 3] = ["proxy_pass", "grpc_pass", "return"];
/// Those that rewrites go before.
const PASSES: [&str; 2] = ["proxy_pass", "grpc_pass"];

pub fn routes(server: &Line, scope: &Scope, draft: &mut Draft) -> Vec<Route> {
    let mut scope = scope.clone();
    scope.doors = door::doors(server, &scope, draft);
    let scope = &scope;
    let mut found = Found { routes: Vec::new(), regexes: 0, closed: false };
    // Of regular expressions nginx takes the first that fits; ours go by priority, highest first.
    let locations: Vec<&Line> = server.lines().iter().filter(|line| line.name == "location").collect();
    let moves = |line: &&Line| line.name == "rewrite" && action::moved(line, "").is_some();
    let own = server.lines().iter().find(|line| ACTIONS.contains(&&*line.name) || moves(line));
    if let Some(line) = own {
        // Either in a server comes before all locations.
        if !locations.is_empty() {
            draft.lost.extend(locations.iter().map(|line| line.lost("never entered: the server answers everything itself")));
        }
        found.add("/*".to_owned(), None, server, scope, draft);
        if found.routes.is_empty() {
            draft.lost.push(line.lost("the site answers 404 instead"));
        }
        return found.routes;
    }
    for line in server.lines().iter().filter(|line| line.name == "rewrite") {
        draft.lost.push(line.lost(action::BY_LINKS));
    }
    locations.iter().for_each(|line| found.location(line, scope, draft));
    if found.closed {
        found.routes.iter_mut().for_each(|route| route.chain.insert(0, Link::closed()));
    }
    found.routes
}

/// Whether somebody who asks for what is there does not get it: then nobody may, if it cannot be carried over.
fn keeps_out(location: &Line) -> bool {
    location.lines().iter().any(|line| line.name == "return" || guards(&line.name))
}

struct Found {
    routes: Vec<Route>,
    regexes: i64,
    /// Where something that is protected is, is not known: nobody gets anything of the site.
    closed: bool,
}

impl Found {
    fn location(&mut self, line: &Line, scope: &Scope, draft: &mut Draft) {
        let Some((pattern, prefix)) = self.pattern(line, draft) else {
            // Nothing leads to one with a name.
            if keeps_out(line) && !line.args.iter().any(|arg| arg.starts_with('@')) {
                self.closed = true;
                draft.lost.push(line.lost("what it keeps from clients cannot be told from the rest; until then, the site answers 403"));
            }
            return;
        };
        if scope.doors.contains_key(prefix.as_deref().unwrap_or_default()) && line.lines().iter().any(|line| line.name == "internal") {
            self.answer(Route::new(pattern, door::shut()));
            return;
        }
        let mut inner = scope.inner(line.lines());
        for line in line.lines() {
            match &*line.name {
                "location" | "rewrite" => {}
                name if ACTIONS.contains(&name) => {}
                _ => inner.take(line, draft),
            }
        }
        self.add(pattern, prefix.as_deref(), line, &inner, draft);
        line.lines().iter().filter(|line| line.name == "location").for_each(|line| self.location(line, &inner, draft));
    }

    /// The route's pattern, and the prefix that it stands for.
    fn pattern(&mut self, line: &Line, draft: &mut Draft) -> Option<(String, Option<String>)> {
        let (modifier, text) = if line.args.len() > 1 { (line.arg(0), line.arg(1)) } else { ("", line.arg(0)) };
        match modifier {
            _ if text.starts_with('@') => {
                draft.lost.push(line.lost("a location with a name: nothing leads there"));
                None
            }
            "=" => Some((format!("={text}"), Some(text.to_owned()))),
            "~" | "~*" => {
                let regex = format!("{}{text}", if modifier == "~*" { "(?i)" } else { "" });
                if let Err(error) = Regex::new(&regex) {
                    let why = error.to_string();
                    draft.lost.push(line.lost(why.lines().last().unwrap_or_default().to_owned()));
                    return None;
                }
                self.regexes += 1;
                Some((format!("~{regex}"), None))
            }
            "" | "^~" => {
                if !text.starts_with('/') {
                    draft.lost.push(line.lost("no path"));
                    return None;
                }
                if modifier == "^~" {
                    draft.lost.push(line.lost("regular expressions come before prefixes; it was written as a prefix"));
                }
                let stem = text.trim_end_matches('/');
                if stem == text {
                    draft.lost.push(line.lost(format!("`{text}/*` takes {text} and what is below it, not {text}x")));
                }
                Some((format!("{stem}/*"), Some(text.to_owned())))
            }
            other => {
                draft.lost.push(line.lost(format!("`{other}` is not known here")));
                None
            }
        }
    }

    /// `block`: whose `proxy_pass` or `return` says where it leads.
    fn add(&mut self, pattern: String, prefix: Option<&str>, block: &Line, scope: &Scope, draft: &mut Draft) {
        let stem = prefix.unwrap_or_default().trim_end_matches('/');
        let acts = || block.lines().iter().filter(|line| ACTIONS.contains(&&*line.name));
        let rewrites = || block.lines().iter().filter(|line| line.name == "rewrite");
        let moved = || rewrites().find_map(|line| Some((line, action::moved(line, stem)?))).filter(|_| !pattern.starts_with(['=', '~']));
        // `return` is carried out before the others.
        let (act, made) = match (acts().find(|line| line.name == "return").or(acts().next()), moved()) {
            (Some(act), _) if act.name == "return" => (act, action::answer(act).map(|action| Route::new(pattern.clone(), action))),
            (Some(act), _) => {
                let made = action::pass(act, block, prefix, scope, draft);
                (act, made.map(|route| Route { pattern: pattern.clone(), ..route }))
            }
            (None, Some((act, action))) => (act, Ok(Route::new(pattern.clone(), action))),
            (None, None) => {
                self.leads_nowhere(pattern, block, draft);
                return;
            }
        };
        if !PASSES.contains(&&*act.name) {
            draft.lost.extend(rewrites().take_while(|line| !std::ptr::eq(*line, act)).map(|line| line.lost(action::BY_LINKS)));
        }
        match made {
            Ok(mut route) => {
                route.headers = scope.headers();
                if !matches!(route.action, Action::To(_)) {
                    route.headers.request = Default::default();
                }
                let mut chain = scope.chain(block, draft);
                chain.append(&mut route.chain);
                route.chain = chain;
                route.priority = pattern.starts_with('~').then(|| 1000 - self.regexes);
                if self.routes.iter().any(|there| there.pattern == route.pattern) {
                    draft.lost.push(block.lost(format!("`{pattern}` stands there already")));
                } else {
                    self.routes.push(route);
                }
            }
            Err(why) if keeps_out(block) => {
                self.close(pattern);
                draft.lost.push(act.lost(format!("{why}; until then, it answers 403")));
            }
            Err(why) => draft.lost.push(act.lost(why)),
        }
    }

    /// No action says where it leads.
    fn leads_nowhere(&mut self, pattern: String, block: &Line, draft: &mut Draft) {
        let inner = block.lines().iter().any(|line| line.name == "location");
        let why = "leads nowhere that can be carried over: no `proxy_pass`, no `grpc_pass`, no `return`";
        if keeps_out(block) {
            self.close(pattern);
            draft.lost.push(block.lost(format!("{why}; until then, it answers 403")));
        } else if !inner && !block.lines().iter().all(|line| is_meaningless(&line.name)) {
            draft.lost.push(block.lost(why));
        }
    }

    fn close(&mut self, pattern: String) {
        let mut route = Route::new(pattern, Action::Respond { status: 403, body: String::new() });
        route.priority = route.pattern.starts_with('~').then(|| 1000 - self.regexes);
        self.answer(route);
    }

    /// Unless something stands there already.
    fn answer(&mut self, route: Route) {
        if !self.routes.iter().any(|there| there.pattern == route.pattern) {
            self.routes.push(route);
        }
    }
}
