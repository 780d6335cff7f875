//! What two looks at a running proxy tell together: rates and means of the time between them.

use super::watcher::Look;
use serde_json::Value;

/// Of the whole proxy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sight {
    /// In one line: version, generation, how long it runs, how much is under way.
    pub standing: String,
    /// Requests a second, and those of them that ended with 5xx.
    pub rate: f64,
    pub errors: f64,
    pub routes: Vec<RouteRow>,
    pub upstreams: Vec<UpstreamRow>,
    pub plugins: Vec<PluginRow>,
    /// The last ones, newest first: when, what, and its reason token.
    pub refusals: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteRow {
    pub name: String,
    pub to: String,
    /// Requests a second.
    pub rate: f64,
    /// With 4xx and 5xx, a second.
    pub client_errors: f64,
    pub server_errors: f64,
    /// Mean time of one, milliseconds.
    pub mean: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpstreamRow {
    pub name: String,
    pub servers: usize,
    pub drained: usize,
    pub rate: f64,
    pub active: u64,
    pub idle: u64,
    /// A second.
    pub retries: f64,
    pub failures: f64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PluginRow {
    pub name: String,
    /// Calls a second.
    pub rate: f64,
    /// CPU time of one, microseconds.
    pub cpu: Option<f64>,
    /// Since the proxy started.
    pub faults: u64,
    pub guests: u64,
    /// Of all of them, bytes.
    pub memory: u64,
}

impl Sight {
    /// Of `now`, and of the time since `before`; rows with most requests first.
    pub fn of(before: &Look, now: &Look) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64().max(0.001);
        let mut routes = rows(&before.routes, &now.routes, &["site", "pattern"], |earlier, row| route(earlier, row, seconds));
        let mut upstreams = rows(&before.upstreams, &now.upstreams, &["name"], |earlier, row| upstream(earlier, row, seconds));
        let mut plugins = rows(&before.plugins, &now.plugins, &["name"], |earlier, row| plugin(earlier, row, seconds));
        routes.sort_by(|one, other| other.rate.total_cmp(&one.rate));
        upstreams.sort_by(|one, other| other.rate.total_cmp(&one.rate));
        plugins.sort_by(|one, other| other.rate.total_cmp(&one.rate));
        let refusals = now.refusals.as_array().map(|all| all.iter().map(refusal).collect()).unwrap_or_default();
        let (rate, errors) = (routes.iter().map(|row| row.rate).sum(), routes.iter().map(|row| row.server_errors).sum());
        Self { standing: standing(&now.status), rate, errors, routes, upstreams, plugins, refusals }
    }
}

fn standing(status: &Value) -> String {
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let uptime = number("uptime_seconds");
    let (days, hours, minutes) = (uptime / 86_400, uptime / 3600 % 24, uptime / 60 % 60);
    format!(
        "portcullis {} {}, generation {}, up {days}d {hours:02}:{minutes:02}:{:02}, {} connections, {} running",
        text(&status["version"]),
        text(&status["standing"]),
        number("generation"),
        uptime % 60,
        number("connections"),
        number("exchanges"),
    )
}

/// A row for each in `now`, with what it was `before`.
fn rows<T>(before: &Value, now: &Value, keys: &[&str], row: impl Fn(&Value, &Value) -> T) -> Vec<T> {
    let (before, now) = (before.as_array().map_or(&[][..], Vec::as_slice), now.as_array().map_or(&[][..], Vec::as_slice));
    let same = |one: &Value, other: &Value| keys.iter().all(|key| one[key] == other[key]);
    now.iter().map(|one| row(before.iter().find(|earlier| same(earlier, one)).unwrap_or(&Value::Null), one)).collect()
}

fn route(before: &Value, now: &Value, seconds: f64) -> RouteRow {
    let (earlier, traffic) = (&before["traffic"], &now["traffic"]);
    let requests = since(&earlier["requests"], &traffic["requests"]);
    let spent = traffic["seconds"].as_f64().unwrap_or_default() - earlier["seconds"].as_f64().unwrap_or_default();
    let status = |class: &str| since(&earlier["statuses"][class], &traffic["statuses"][class]) / seconds;
    RouteRow {
        name: format!("{} {}", text(&now["site"]), text(&now["pattern"])),
        to: text(&now["to"]).to_owned(),
        rate: requests / seconds,
        client_errors: status("4xx"),
        server_errors: status("5xx"),
        mean: (requests > 0.0).then(|| (spent / requests * 1e3).max(0.0)),
    }
}

fn upstream(before: &Value, now: &Value, seconds: f64) -> UpstreamRow {
    let rate = |name: &str| since(&before[name], &now[name]) / seconds;
    let count = |name: &str| now[name].as_array().map_or(0, Vec::len);
    UpstreamRow {
        name: text(&now["name"]).to_owned(),
        servers: count("servers"),
        drained: count("drained"),
        rate: rate("requests"),
        active: now["active"].as_u64().unwrap_or_default(),
        idle: now["idle"].as_u64().unwrap_or_default(),
        retries: rate("retries"),
        failures: rate("failures"),
    }
}

fn plugin(before: &Value, now: &Value, seconds: f64) -> PluginRow {
    let (earlier, counts) = (&before["counts"], &now["counts"]);
    let calls = since(&earlier["calls"], &counts["calls"]);
    let cpu = counts["cpu_seconds"].as_f64().unwrap_or_default() - earlier["cpu_seconds"].as_f64().unwrap_or_default();
    let faults = counts["faults"].as_object().map(|faults| faults.values().filter_map(Value::as_u64).sum());
    PluginRow {
        name: text(&now["name"]).to_owned(),
        rate: calls / seconds,
        cpu: (calls > 0.0).then(|| (cpu / calls * 1e6).max(0.0)),
        faults: faults.unwrap_or_default(),
        guests: counts["guests"].as_u64().unwrap_or_default(),
        memory: counts["memory_bytes"].as_u64().unwrap_or_default(),
    }
}

fn refusal(one: &Value) -> String {
    let at = text(&one["at"]);
    let time = at.split_once('T').map_or(at, |(_, time)| time.get(..8).unwrap_or(time));
    let (status, method, host, path) =
        (one["status"].as_u64().unwrap_or_default(), text(&one["method"]), text(&one["host"]), text(&one["path"]));
    format!("{time} {status} {} {method} {host}{path}", text(&one["reason"]))
}

/// What a counter has grown by; all of it, if the proxy has begun anew.
fn since(before: &Value, now: &Value) -> f64 {
    let (before, now) = (before.as_u64().unwrap_or_default(), now.as_u64().unwrap_or_default());
    now.checked_sub(before).unwrap_or(now) as f64
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
