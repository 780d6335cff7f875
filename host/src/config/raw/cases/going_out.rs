//! What happens between a request and its response, and after both; and ticks.

use super::expect;
use crate::config::cases::{
    ATTEMPT_REASONS, Asked, Brought, CHOICES, Check, END_REASONS, Expected, GoingOutDeed, JUDGEMENTS, MadeAttempt, MadeChoice, MadeDone,
    MadeServer, TickDeed, UNSENT, Wanted,
};
use crate::config::forms::{self, Wrong};
use crate::config::raw::Context;
use crate::config::raw::node::{Node, Value};
use crate::config::raw::reader::{Reader, nearest};
use crate::config::{Code, Diagnostic, keys};
use std::time::Duration;

/// As many as a link is ever shown.
const MOST_SERVERS: usize = 256;

/// All of an exchange. `before`: that of the one before, of which a phase happens again if something is expected of it.
pub fn read(context: &Context<'_>, case: &Reader<'_, '_>, before: Option<&GoingOutDeed>) -> GoingOutDeed {
    let reading = Reading { context, case };
    let balance = reading.balance(before.and_then(|before| before.balance.as_ref()));
    let offered = balance.as_ref().map(|asked| &asked.made);
    let attempt = reading.attempt(before.and_then(|before| before.attempt.as_ref()), offered);
    GoingOutDeed { balance, attempt, done: reading.done() }
}

/// `ticks`: how many the case has had.
pub fn tick(context: &Context<'_>, case: &Reader<'_, '_>, ticks: u64) -> TickDeed {
    let expect = case.open_key("expect-tick", &keys::EXPECT_AFTER).map(|table| expect::afterwards(context, &table));
    let expect = expect.unwrap_or_else(|| expect::nothing_breaks(context.location(case.span)));
    let mut tick = TickDeed { number: ticks, worker: 0, workers: 1, expect };
    let Some(table) = case.open_key("tick", &keys::MADE_TICK) else { return tick };
    tick.number = whole(&table, "number").unwrap_or(ticks);
    tick.worker = whole(&table, "worker").unwrap_or(0);
    tick.workers = whole(&table, "workers").unwrap_or(tick.worker + 1);
    if let Some(entry) = table.entry("worker").filter(|_| tick.worker >= tick.workers) {
        let message = format!("there is no worker {} of {}: the first is 0", tick.worker, tick.workers);
        context.error::<()>(Code::Conflict, entry.value.span, message);
    }
    tick
}

struct Reading<'r, 'n, 'c> {
    context: &'c Context<'c>,
    case: &'r Reader<'n, 'c>,
}

impl Reading<'_, '_, '_> {
    fn balance(&self, before: Option<&Asked<MadeChoice>>) -> Option<Asked<MadeChoice>> {
        let context = self.context;
        let expect = self.case.open_key("expect-balance", &keys::EXPECT_BALANCE);
        let made = match self.case.open_key("balance", &keys::MADE_CHOICE) {
            Some(table) => choice(context, &table)?,
            None => self.again("balance", expect.as_ref(), before)?,
        };
        let expect = expect.map(|table| {
            let expected = expect::of_servers(context, &table, &CHOICES, "choose");
            self.known(&table, &expected, &made.servers);
            expected
        });
        Some(Asked { made, expect })
    }

    fn attempt(&self, before: Option<&Asked<MadeAttempt>>, offered: Option<&MadeChoice>) -> Option<Asked<MadeAttempt>> {
        let context = self.context;
        let expect = self.case.open_key("expect-attempt", &keys::EXPECT_ATTEMPT);
        let made = match self.case.open_key("attempt", &keys::MADE_ATTEMPT) {
            Some(table) => attempt(context, &table, offered)?,
            None => self.again("attempt", expect.as_ref(), before)?,
        };
        let expect = expect.map(|table| {
            let expected = expect::of_servers(context, &table, &JUDGEMENTS, "again-on");
            self.known(&table, &expected, &made.servers);
            expected
        });
        Some(Asked { made, expect })
    }

    fn done(&self) -> Option<Asked<MadeDone>> {
        let expect = self.case.open_key("expect-done", &keys::EXPECT_AFTER).map(|table| expect::afterwards(self.context, &table));
        let made = self.case.open_key("done", &keys::MADE_DONE).map(|table| done(self.context, &table));
        made.or_else(|| expect.as_ref().map(|_| MadeDone::default())).map(|made| Asked { made, expect })
    }

    /// What was before, where only the expectation is written.
    fn again<T: Clone>(&self, key: &str, expect: Option<&Reader<'_, '_>>, before: Option<&Asked<T>>) -> Option<T> {
        let expect = expect?;
        if before.is_none() && self.case.entry(key).is_none() {
            let example = keys::CASE.find(key).map(|key| key.example).unwrap_or_default();
            let message = format!("`expect-{key}` needs `{key}`: what the plugin is asked about");
            let found = Diagnostic::error(Code::Missing, self.context.place(expect.span), message);
            self.context.report(found.help(format!("for example: {key} = {example}")));
        }
        before.map(|before| before.made.clone())
    }

    /// Whoever is expected is among those who are offered.
    fn known(&self, table: &Reader<'_, '_>, expected: &Expected, servers: &[MadeServer]) {
        for Check { wanted, .. } in &expected.checks {
            let Wanted::Server(Some(name)) = wanted else { continue };
            if servers.iter().any(|server| server.address == *name) {
                continue;
            }
            let span = table.get("server").map_or(table.span, |node| node.span);
            let mut found = Diagnostic::error(Code::Undefined, self.context.place(span), format!("`{name}` is none of the servers"));
            let known = || servers.iter().map(|server| &*server.address);
            found.label = nearest(name, known()).map(|near| format!("did you mean \"{near}\"?"));
            self.context.report(found.help(format!("servers: {}", known().collect::<Vec<_>>().join(", "))));
        }
    }
}

fn choice(context: &Context<'_>, table: &Reader<'_, '_>) -> Option<MadeChoice> {
    let node = table.get("servers")?;
    let servers = servers(context, table, node)?;
    if servers.len() < 2 {
        return context.error(
            Code::Conflict,
            node.span,
            "where there is one server or none, there is nothing to choose, and nobody is asked",
        );
    }
    Some(MadeChoice { upstream: table.form("upstream", forms::name), failed: whole(table, "failed").unwrap_or(0), servers })
}

fn attempt(context: &Context<'_>, table: &Reader<'_, '_>, offered: Option<&MadeChoice>) -> Option<MadeAttempt> {
    let status = table.entry("status").and_then(|_| whole(table, "status"));
    let reason = table.choice("reason").and_then(|reason| ATTEMPT_REASONS.get(reason).copied());
    let brought = match (table.entry("status"), table.entry("reason")) {
        (Some(_), Some(reason)) => {
            let found =
                Diagnostic::error(Code::Conflict, context.place(reason.key_span), "either there is a response, or a reason why not");
            context.report(found.help("of a response: status = 503"));
            None
        }
        (None, None) => {
            let found =
                Diagnostic::error(Code::Missing, context.place(table.span), format!("{} needs `status` or `reason`", table.section()));
            context.report(found.help("for example: reason = \"connect_refused\""));
            None
        }
        _ => status.map(Brought::Status).or(reason.map(Brought::Nothing)),
    }?;
    let sent = !matches!(brought, Brought::Nothing(reason) if UNSENT.contains(&reason));
    Some(MadeAttempt {
        server: table.form("server", address),
        number: whole(table, "number").unwrap_or(1),
        brought,
        sent: table.truth("sent").unwrap_or(sent),
        left: whole(table, "left").unwrap_or(1),
        servers: match table.get("servers") {
            Some(node) => servers(context, table, node)?,
            None => offered.map(|offered| offered.servers.clone()).unwrap_or_default(),
        },
    })
}

fn done(context: &Context<'_>, table: &Reader<'_, '_>) -> MadeDone {
    let named = |key: &str| table.entry(key).and_then(|entry| expect::or_absent(context, entry));
    let time = |key: &str| table.duration(key, Duration::ZERO);
    let status = table.get("status").and_then(|node| match node.value {
        Value::Boolean(false) => Some(None),
        Value::Integer(status @ 100..=599) => u16::try_from(status).ok().map(Some),
        Value::Integer(_) => context.error(Code::BadValue, node.span, "a status is a whole number from 100 to 599"),
        _ => table.wrong("status", node),
    });
    MadeDone {
        upstream: named("upstream"),
        server: named("server"),
        attempts: whole(table, "attempts"),
        status,
        reason: table.choice("reason").and_then(|reason| END_REASONS.get(reason).copied()),
        duration: time("duration"),
        first_byte: time("first-byte"),
        received: whole(table, "received"),
        sent: whole(table, "sent"),
    }
}

fn servers(context: &Context<'_>, table: &Reader<'_, '_>, node: &Node) -> Option<Vec<MadeServer>> {
    let Value::Array(items) = &node.value else { return table.wrong("servers", node) };
    if items.len() > MOST_SERVERS {
        return context.error(Code::BadValue, node.span, format!("a plugin is shown {MOST_SERVERS} servers at most"));
    }
    let mut all: Vec<MadeServer> = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let Some(server) = server(context, table, item, place as u32) else { continue };
        if all.iter().any(|other| other.address == server.address) {
            context.error::<()>(Code::Duplicate, item.span, format!("the server {} is written twice", server.address));
        }
        all.push(server);
    }
    // What is wrong with one is told, and says nothing about how many there are.
    (all.len() == items.len()).then_some(all)
}

fn server(context: &Context<'_>, table: &Reader<'_, '_>, item: &Node, place: u32) -> Option<MadeServer> {
    let plain = |address| MadeServer { number: place, address, weight: 1, tags: Vec::new(), running: 0, latency: Duration::ZERO };
    if let Value::String(written) = &item.value {
        return context.form(written, item.span, address).map(plain);
    }
    let server = Reader::open_as(context, item, &keys::MADE_SERVER, table.below("servers"), "a server, or a table", None)?;
    let tags = server.list("tags", forms::tag).unwrap_or_default().into_iter().map(|(tag, _)| tag).collect();
    let plain = plain(server.form("address", address)?);
    Some(MadeServer {
        number: whole(&server, "number").unwrap_or(place),
        weight: whole(&server, "weight").unwrap_or(1),
        running: whole(&server, "running").unwrap_or(0),
        latency: server.duration("latency", Duration::ZERO).unwrap_or_default(),
        tags,
        ..plain
    })
}

/// As plugins are shown it.
fn address(text: &str) -> Result<String, Wrong> {
    match text.strip_prefix("unix:") {
        Some(path) => forms::unix_path(text, path).map(|_| text.to_owned()),
        None => forms::server_address(text).map(|_| text.to_owned()),
    }
}

/// A number within the bounds of its description, which are those of the type.
fn whole<T: TryFrom<i64>>(table: &Reader<'_, '_>, key: &str) -> Option<T> {
    table.whole(key).and_then(|number| T::try_from(number).ok())
}
