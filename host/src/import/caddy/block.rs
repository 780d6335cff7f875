//! What stands in a site's block: what changes requests (`header`, `encode`, …) and what answers them (`reverse_proxy`, `respond`, …).

use super::super::draft::{Action, Draft, Edits, Headers, Link, Route, Tls};
use super::super::line::Line;
use super::super::write::quoted;
use super::address::Address;
use super::matcher::{self, Matcher, Named, Pattern};
use super::{proxy, value};

/// What holds for all that a block answers.
#[derive(Default, Clone)]
pub struct Common {
    pub headers: Headers,
    pub chain: Vec<Link>,
    strip: Option<String>,
}

pub fn site(line: &Line, address: &Address, draft: &mut Draft) {
    let named: Named = line.lines().iter().filter(|line| line.name.starts_with('@')).map(declared).collect();
    let mut block = Block { named, routes: Vec::new(), tls: address.tls.clone(), closed: false };
    let common = block.common(line.lines(), draft);
    block.answers(line.lines(), &Matcher::all(), &Common::default(), draft);
    let Block { routes, tls, closed, .. } = block;
    let site = draft.site(&address.name);
    if !site.routes.is_empty() {
        let why = format!("`{}` stands in an earlier block", address.name);
        draft.lost.push(line.lost(why));
        return;
    }
    site.tls = tls;
    (site.headers, site.chain) = (common.headers, common.chain);
    site.routes = routes;
    if closed {
        site.chain.insert(0, Link::closed());
    }
    if let Some(strip) = common.strip {
        site.chain.push(Link { plugin: "rewrite", settings: vec![("strip-prefix", quoted(&strip))] });
    }
}

/// `@name …` is a line whose name is the matcher's.
fn declared(line: &Line) -> (String, Result<Matcher, String>) {
    (line.name.clone(), matcher::declared(line))
}

/// Answers; the rest changes what they answer to.
const ANSWERS: &[&str] =
    &["abort", "error", "file_server", "handle", "handle_path", "php_fastcgi", "redir", "respond", "reverse_proxy", "route"];
/// Who is let in. Without them, more would be.
const GUARDS: &[&str] = &["basic_auth", "basicauth", "forward_auth"];

/// Whether somebody who asks for what the line is about does not get it.
fn keeps_out(line: &Line) -> bool {
    let refuses = line.name == "respond" && line.args.iter().any(|arg| arg.parse().is_ok_and(|status: u16| status >= 400));
    let verifies = |line: &Line| line.name == "tls" && line.lines().iter().any(|line| line.name == "client_auth");
    ["abort", "error"].contains(&&*line.name) || refuses || verifies(line) || line.lines().iter().any(|line| GUARDS.contains(&&*line.name))
}

struct Block {
    named: Named,
    routes: Vec<Route>,
    tls: Tls,
    /// Where something that is protected is, is not known: nobody gets anything of the site.
    closed: bool,
}

impl Block {
    /// Takes what is said for all that the block answers.
    fn common(&mut self, lines: &[Line], draft: &mut Draft) -> Common {
        let mut common = Common::default();
        for line in lines.iter().filter(|line| !ANSWERS.contains(&&*line.name) && !line.name.starts_with('@')) {
            let (matcher, args) = match matcher::of(line, &self.named) {
                None => (Ok(Matcher::all()), &line.args[..]),
                Some(matcher) => (matcher, &line.args[1..]),
            };
            let taken = match matcher {
                Ok(matcher) if matcher.is_all() => self.change(line, args, &mut common, draft),
                Ok(_) => Err("for some paths only: write it beside the route of these".to_owned()),
                Err(why) => Err(why),
            };
            if let Err(why) = taken {
                let guards = GUARDS.contains(&&*line.name) || keeps_out(line);
                if guards {
                    common.chain.push(Link::closed());
                }
                draft.lost.push(line.lost(if guards { format!("{why}; until then, what it protects answers 403") } else { why }));
            }
        }
        common
    }

    fn change(&mut self, line: &Line, args: &[String], common: &mut Common, draft: &mut Draft) -> Result<(), String> {
        match &*line.name {
            "header" => fields(line, args, &mut common.headers.response),
            "request_header" => fields(line, args, &mut common.headers.request),
            "encode" => {
                let coding = |name: &str| ["zstd", "gzip", "br"].contains(&name).then(|| quoted(name));
                let inner = line.lines().iter().map(|line| &line.name);
                let codings: Vec<String> = args.iter().chain(inner).filter_map(|name| coding(name)).collect();
                let settings = if codings.is_empty() { Vec::new() } else { vec![("codings", format!("[{}]", codings.join(", ")))] };
                common.chain.push(Link { plugin: "compress", settings });
                Ok(())
            }
            "uri" if args.first().is_some_and(|what| what == "strip_prefix") => {
                common.strip = args.get(1).map(|prefix| prefix.trim_end_matches('/').to_owned());
                Ok(())
            }
            "tls" => self.tls(line, draft),
            "basic_auth" | "basicauth" => users(line).map(|link| common.chain.push(link)),
            "forward_auth" => proxy::asked(line, args, draft).map(|link| common.chain.push(link)),
            "log" if line.block.is_none() => Ok(()),
            "log" | "log_append" | "log_skip" => Err("is on standard output, of all sites: `access-log` in [server]".into()),
            "bind" => Err("addresses are those of [listen]".into()),
            "root" | "try_files" | "templates" | "fs" => Err("files are not served here: put a server behind".into()),
            "rewrite" | "uri" | "method" | "map" | "vars" | "request_body" => Err("a `rewrite` link, or a plugin".into()),
            "handle_errors" => Err("errors have a short text of the proxy's".into()),
            _ => Err("not known here".into()),
        }
    }

    fn tls(&mut self, line: &Line, draft: &mut Draft) -> Result<(), String> {
        if self.tls == Tls::Off {
            return Err("the site is served in the clear".into());
        }
        match (line.arg(0), line.arg(1)) {
            ("", _) => {}
            ("internal", _) => self.tls = Tls::Local,
            (mail, "") if mail.contains('@') => drop(draft.acme.insert("contact", quoted(mail))),
            (cert, key) if !key.is_empty() => self.tls = Tls::Files { cert: cert.to_owned(), key: key.to_owned(), client: None },
            _ => return Err("not known here".into()),
        }
        for line in line.lines() {
            match (&*line.name, &mut self.tls) {
                ("client_auth", Tls::Files { client, .. }) if client_auth(line).is_some() => *client = client_auth(line),
                ("client_auth", _) => return Err("client certificates: `tls = { cert, key, client = { ca } }`".into()),
                ("protocols" | "ciphers" | "curves" | "alpn", _) => draft.lost.push(line.lost("TLS 1.2 and 1.3 with the suites of rustls")),
                ("dns", _) => draft.lost.push(line.lost("names are proved by http-01 or tls-alpn-01")),
                _ => draft.lost.push(line.lost("not known here")),
            }
        }
        Ok(())
    }

    /// Takes what answers, for requests that `matcher` takes.
    fn answers(&mut self, lines: &[Line], matcher: &Matcher, common: &Common, draft: &mut Draft) {
        for line in lines.iter().filter(|line| ANSWERS.contains(&&*line.name)) {
            let (own, args) = match matcher::of(line, &self.named) {
                None => (Ok(matcher.clone()), &line.args[..]),
                Some(own) => (own.and_then(|own| narrowed(matcher, own)), &line.args[1..]),
            };
            let done = own.clone().and_then(|own| self.answer(line, args, &own, common, draft));
            if let Err(why) = done {
                let kept = if keeps_out(line) { self.close(own.ok().as_ref()) } else { "" };
                draft.lost.push(line.lost(format!("{why}{kept}")));
            }
        }
    }

    fn answer(&mut self, line: &Line, args: &[String], matcher: &Matcher, common: &Common, draft: &mut Draft) -> Result<(), String> {
        let mut common = common.clone();
        let arg = |index: usize| args.get(index).map_or("", String::as_str);
        match &*line.name {
            "handle" | "handle_path" | "route" => {
                let own = self.common(line.lines(), draft);
                common.chain.extend(own.chain);
                common.strip = own.strip.or(common.strip);
                add(&mut common.headers.request, own.headers.request);
                add(&mut common.headers.response, own.headers.response);
                if line.name == "handle_path" {
                    common.strip = matcher.patterns.first().map(|pattern| pattern.prefix.clone()).filter(|prefix| !prefix.is_empty());
                }
                self.answers(line.lines(), matcher, &common, draft);
                Ok(())
            }
            "reverse_proxy" => {
                let route = proxy::route(line, args, draft)?;
                self.add(route, matcher, &common)
            }
            "redir" => {
                let to = value::redirect(arg(0)).map_err(|name| format!("{name} has no counterpart in a redirect"))?;
                let status = match arg(1) {
                    "" | "temporary" => 302,
                    "permanent" => 301,
                    text => {
                        text.parse().ok().filter(|status| [301, 302, 303, 307, 308].contains(status)).ok_or("no status of a redirect")?
                    }
                };
                self.add(Route::new("", Action::Redirect { to, status }), matcher, &common)
            }
            "respond" => {
                let (text, status) = match (arg(0).parse::<u16>(), arg(1)) {
                    (Ok(status), "") => ("", Ok(status)),
                    (_, "") => (arg(0), Ok(200)),
                    (_, status) => (arg(0), status.parse()),
                };
                let body = value::plain(text).map_err(|name| format!("a fixed answer has no {name}"))?;
                let status = status.ok().filter(|status| (200..=599).contains(status)).ok_or("no status of an answer")?;
                self.add(Route::new("", Action::Respond { status, body }), matcher, &common)
            }
            "abort" | "error" => {
                self.add(Route::new("", Action::Respond { status: 403, body: String::new() }), matcher, &common)?;
                Err("answers 403 instead".into())
            }
            _ => Err("files are not served here: put a server behind".into()),
        }
    }

    /// What could not be carried over lets nobody in; says so. `matcher`: for which requests, if that is known.
    fn close(&mut self, matcher: Option<&Matcher>) -> &'static str {
        let refusal = || Route::new("", Action::Respond { status: 403, body: String::new() });
        let there = |route: &Route, pattern: &Pattern, matcher: &Matcher| {
            route.pattern == pattern.text
                && route.conditions == matcher.conditions
                && matches!(route.action, Action::Respond { status: 400.., .. })
        };
        let done = matcher.is_some_and(|matcher| {
            let refused = matcher.patterns.iter().all(|pattern| self.routes.iter().any(|route| there(route, pattern, matcher)));
            refused || self.add(refusal(), matcher, &Common::default()).is_ok()
        });
        self.closed |= !done;
        if done { "; until then, it answers 403" } else { "; until then, the site answers 403" }
    }

    fn add(&mut self, route: Route, matcher: &Matcher, common: &Common) -> Result<(), String> {
        for pattern in &matcher.patterns {
            if self.routes.iter().any(|there| there.pattern == pattern.text && there.conditions == matcher.conditions) {
                return Err(format!("`{}` stands there already", pattern.text));
            }
            if self.routes.iter().any(|there| there.pattern == pattern.text) {
                return Err(format!("a second route of `{}`: write a list, each with its `match`", pattern.text));
            }
            self.routes.push(finished(&route, pattern, matcher, common, self.routes.len()));
        }
        Ok(())
    }
}

/// The route for one pattern.
fn finished(route: &Route, pattern: &Pattern, matcher: &Matcher, common: &Common, index: usize) -> Route {
    let action = match &route.action {
        Action::To(upstream) => Action::To(upstream.clone()),
        Action::Respond { status, body } => Action::Respond { status: *status, body: body.clone() },
        Action::Redirect { to, status } => Action::Redirect { to: to.clone(), status: *status },
    };
    let proxied = matches!(action, Action::To(_));
    let mut made = Route::new(pattern.text.clone(), action);
    made.conditions = matcher.conditions.clone();
    made.priority = pattern.text.starts_with('~').then(|| 1000 - i64::try_from(index).unwrap_or(0));
    made.headers = common.headers.clone();
    add(&mut made.headers.response, route.headers.response.clone());
    if proxied {
        add(&mut made.headers.request, route.headers.request.clone());
    } else {
        made.headers.request = Edits::default();
    }
    // Only what is a prefix of the pattern can be stripped by the route itself.
    let strip = common.strip.clone().filter(|_| proxied);
    let (own, link) =
        strip.map_or((None, None), |strip| if pattern.prefix.starts_with(&strip) { (Some(strip), None) } else { (None, Some(strip)) });
    made.strip = own;
    made.chain = common.chain.clone();
    made.chain.extend(link.map(|strip| Link { plugin: "rewrite", settings: vec![("strip-prefix", quoted(&strip))] }));
    made.chain.extend(route.chain.iter().cloned());
    (made.timeout, made.retry) = (route.timeout.clone(), route.retry.clone());
    made
}

/// A matcher within another.
fn narrowed(outer: &Matcher, inner: Matcher) -> Result<Matcher, String> {
    if outer.conditions.iter().any(|(key, _)| inner.conditions.iter().any(|(own, _)| own == key)) {
        return Err("conditions of the same kind inside each other".into());
    }
    let conditions = outer.conditions.iter().cloned().chain(inner.conditions.iter().cloned()).collect();
    let within = |pattern: &Pattern| outer.patterns.iter().any(|outer| pattern.prefix.starts_with(&outer.prefix));
    let patterns = if inner.patterns == Matcher::all().patterns { outer.patterns.clone() } else { inner.patterns };
    if !patterns.iter().all(within) {
        return Err("for paths beside those of the block around it".into());
    }
    Ok(Matcher { patterns, conditions })
}

pub fn add(to: &mut Edits, more: Edits) {
    to.set.extend(more.set);
    to.add.extend(more.add);
    to.remove.extend(more.remove);
}

/// `FIELD VALUE`, `+FIELD VALUE`, `-FIELD`, each in a line of the block, or one.
pub fn fields(line: &Line, args: &[String], edits: &mut Edits) -> Result<(), String> {
    let own = (!args.is_empty()).then(|| (args[0].clone(), args.get(1).cloned(), args.get(2).is_some()));
    let inner = line.lines().iter().map(|line| (line.name.clone(), line.args.first().cloned(), line.args.get(1).is_some()));
    for (name, text, replaces) in own.into_iter().chain(inner) {
        if name == "defer" {
            continue;
        }
        if replaces {
            return Err(format!("`{name}`: a replacement within a field is a plugin's job"));
        }
        let (how, field) = name.split_at(usize::from(name.starts_with(['+', '-', '?', '>'])));
        if field.contains('*') {
            return Err(format!("`{name}`: fields by pattern"));
        }
        match (how, text) {
            ("-", _) => edits.remove.push(field.to_owned()),
            ("?", _) => return Err(format!("`{name}`: a default for a field")),
            ("+", Some(text)) => edits.add.push((field.to_owned(), placed(&text)?)),
            (_, Some(text)) => edits.set.push((field.to_owned(), placed(&text)?)),
            (_, None) => return Err(format!("`{name}`: no value")),
        }
    }
    Ok(())
}

fn placed(text: &str) -> Result<String, String> {
    value::field(text).map_err(|name| format!("{name} has no counterpart"))
}

/// `basic_auth { NAME HASH }`
fn users(line: &Line) -> Result<Link, String> {
    let mut users = Vec::new();
    for line in line.lines() {
        // `$2a$14$…`: the cost. What is dearer than this would be refused.
        let cost = line.arg(0).split('$').nth(2).and_then(|cost| cost.parse::<u8>().ok());
        if cost.is_none_or(|cost| cost > 8) {
            return Err(format!("the hash of `{}` is too dear for a worker: make one with `htpasswd -nB`", line.name));
        }
        users.push(format!("{} = {}", quoted(&line.name), quoted(line.arg(0))));
    }
    let settings = vec![("users", format!("{{ {} }}", users.join(", "))), ("forward", "true".to_owned())];
    if users.is_empty() { Err("no users".into()) } else { Ok(Link { plugin: "basic-auth", settings }) }
}

fn client_auth(line: &Line) -> Option<(String, bool)> {
    let find = |name: &str| line.lines().iter().find(|line| line.name == name);
    let ca = find("trusted_ca_cert_file")
        .map(|line| line.arg(0))
        .or_else(|| find("trust_pool").filter(|line| line.arg(0) == "file").map(|line| line.arg(1)))?;
    let required = find("mode").is_none_or(|line| line.arg(0).starts_with("require"));
    Some((ca.to_owned(), required))
}
