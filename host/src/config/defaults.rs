//! What holds when nothing is written: the table of `portcullis defaults`, as text, TOML and JSON, from the code itself.

use super::limits_table::{Amount, LIMITS};
use super::{GuestLimits, Limits, units};
use serde_json::{Value, json};
use std::fmt::Write;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultRow {
    /// `limits`, `plugin.*.limits`, `acme` or `site.*.tls.acme`.
    pub table: &'static str,
    pub key: &'static str,
    /// With its unit, as one would write it in TOML.
    pub value: String,
    pub doc: &'static str,
    /// Why it is what it is.
    pub why: &'static str,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults(pub Vec<DefaultRow>);

impl Defaults {
    /// From [`Limits::default`] and [`GuestLimits::default`].
    pub fn new() -> Self {
        Self::of(&Limits::default(), &GuestLimits::default())
    }

    /// The same table with other values, for what a configuration makes of it.
    pub fn of(limits: &Limits, guest: &GuestLimits) -> Self {
        let row = |limit: &super::limits_table::Limit| DefaultRow {
            table: "limits",
            key: limit.key,
            value: toml(&(limit.read)(limits), limit.unit),
            doc: limit.doc,
            why: limit.why,
        };
        let mut rows: Vec<DefaultRow> = LIMITS.iter().map(row).collect();
        let guest = [
            (
                "memory",
                units::show_size(guest.memory as u64),
                "linear memory of one guest",
                "a filter's heap is far smaller; an endless one stops soon",
            ),
            ("cpu", units::show_duration(guest.cpu), "CPU per call", "a thousand times what a light filter needs, five ticks of the epoch"),
        ];
        rows.extend(guest.map(|(key, value, doc, why)| DefaultRow {
            table: "plugin.*.limits",
            key,
            value: format!("\"{value}\""),
            doc,
            why,
        }));
        rows.push(DefaultRow {
            table: "acme",
            key: "directory",
            value: "\"production\"".into(),
            doc: "where certificates are ordered",
            why: "Let's Encrypt: free, and every client trusts it",
        });
        rows.push(DefaultRow {
            table: "site.*.tls.acme",
            key: "challenge",
            value: format!("\"{}\"", super::AcmeChallenge::default().as_str()),
            doc: "how a name is proved",
            why: "port 80 is listened on anyway, and works behind what terminates TLS before us",
        });
        Self(rows)
    }

    /// Columns: key, value, meaning, reason.
    pub fn text(&self) -> String {
        let width = |part: fn(&DefaultRow) -> &str| self.0.iter().map(|row| part(row).chars().count()).max().unwrap_or(0);
        let (keys, values, docs) = (width(|row| row.key), width(DefaultRow::shown), width(|row| row.doc));
        let mut out = String::new();
        let mut table = "";
        for row in &self.0 {
            if row.table != table {
                table = row.table;
                let _ = writeln!(out, "{}[{table}]", if out.is_empty() { "" } else { "\n" });
            }
            let _ = writeln!(out, "{:keys$}  {:>values$}  {:docs$}  {}", row.key, row.shown(), row.doc, row.why);
        }
        out
    }

    /// A configuration file that says the same. What has no place for all plugins at once stands in a comment.
    pub fn toml(&self) -> String {
        let mut out = String::from("[limits]\n");
        for row in self.0.iter().filter(|row| row.table == "limits") {
            let _ = writeln!(out, "# {} ({})\n{} = {}", row.doc, row.why, row.key, row.value);
        }
        let guest: Vec<String> =
            self.0.iter().filter(|row| row.table == "plugin.*.limits").map(|row| format!("{} = {}", row.key, row.value)).collect();
        for row in self.0.iter().filter(|row| row.table == "acme") {
            let _ = writeln!(out, "\n[acme]\n# {} ({})\n{} = {}", row.doc, row.why, row.key, row.value);
        }
        let _ = writeln!(out, "\n# in each [plugin.x]:\n# limits = {{ {} }}", guest.join(", "));
        out
    }

    /// `[{table, key, value, doc, why}]`; numbers as numbers, everything with a unit as a string.
    pub fn json(&self) -> Value {
        let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let row =
            |row: &DefaultRow| json!({ "table": row.table, "key": row.key, "value": value(&row.value), "doc": row.doc, "why": row.why });
        self.0.iter().map(row).collect()
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self::new()
    }
}

impl DefaultRow {
    /// Without quotes.
    fn shown(&self) -> &str {
        self.value.trim_matches('"')
    }
}

fn toml(amount: &Amount, unit: super::limits_table::Unit) -> String {
    use super::limits_table::Unit;
    match (amount, unit) {
        (Amount::Number(bytes), Unit::Size(..)) => format!("\"{}\"", units::show_size(*bytes)),
        (Amount::Number(percent), Unit::Percent) => format!("\"{percent}%\""),
        (Amount::Number(number), _) => number.to_string(),
        (Amount::Time(time), _) => format!("\"{}\"", units::show_duration(*time)),
        (Amount::Names(names), _) => json!(names).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, limits_table};
    use super::*;

    const SITE: &str = "[site.localhost.routes]\n\"/*\" = { respond = 200 }\n";

    #[test]
    fn the_toml_means_the_defaults() {
        let text = format!("{SITE}{}", Defaults::new().toml());
        let (config, _) = Config::parse(&[("a.toml", &text)]).unwrap_or_else(|report| panic!("{}", report.text()));
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn other_values_come_back_too() {
        // Every limit a little off, so that two that are mixed up show.
        let mut limits = Limits::default();
        for (index, limit) in (1..).zip(LIMITS) {
            let other = match (limit.read)(&limits) {
                Amount::Number(n) if limit.unit == limits_table::Unit::Percent => Amount::Number((n + index) % 100),
                Amount::Number(n) if limit.key == "retries" => Amount::Number(n + 1),
                Amount::Number(n) => Amount::Number(n + index),
                Amount::Time(time) => Amount::Time(time + std::time::Duration::from_millis(index)),
                Amount::Names(_) => Amount::Names(vec!["x_y".into()]),
            };
            (limit.write)(&mut limits, other);
        }
        let text = format!("{SITE}{}", Defaults::of(&limits, &GuestLimits::default()).toml());
        let (config, _) = Config::parse(&[("a.toml", &text)]).unwrap_or_else(|report| panic!("{}", report.text()));
        assert_eq!(config.limits, limits);
        assert_ne!(limits, Limits::default());
    }

    #[test]
    fn every_default_lies_within_its_own_bounds() {
        for limit in LIMITS {
            let (least, most) = match limit.unit {
                limits_table::Unit::Size(least, most) | limits_table::Unit::Time(least, most) | limits_table::Unit::Count(least, most) => {
                    (least, most)
                }
                limits_table::Unit::Percent => (0, 100),
                limits_table::Unit::Names => continue,
            };
            let value = match (limit.read)(&Limits::default()) {
                Amount::Number(n) => n,
                Amount::Time(time) => u64::try_from(time.as_millis()).expect("small"),
                Amount::Names(_) => continue,
            };
            assert!((least..=most).contains(&value), "{}", limit.key);
        }
    }

    /// The figures of the design's table (defaults.md): changing one means changing its reason, here and there.
    #[test]
    fn the_figures_are_those_of_the_design() {
        let design = "request-line 8KiB, header-bytes 32KiB, header-count 100, odd-header-names [], body-idle 60s, body-buffer 1MiB, body-buffers 256MiB, mirrors 128, \
            tls-handshake 10s, proxy-header 5s, header-read 10s, keep-alive 75s, keep-alive-requests 10000, connection-age 1h, h2-streams 100, h2-stream-window 256KiB, \
            h2-connection-window 1MiB, h2-frame 16KiB, h2-ping-interval 30s, h2-ping-timeout 20s, h2-pending-resets 20, h2-local-resets 200, \
            h2-reset-streams 200, h2-pings 100, h2-settings 50, connections 20000, connections-per-ip 256, connect 3s, connect-tls 5s, response 60s, \
            response-idle 60s, upgraded-idle 1h, hello-read 5s, tcp-idle 10m, pool-idle 32, pool-idle-time 55s, pool-age 1h, retries 1, retry-budget 20%, eject-after 5, eject-time 10s, stop 30s, \
            stop-upgraded 5m, memory 16MiB, cpu 5ms, directory production, challenge http-01";
        let ours: Vec<String> = Defaults::new().0.iter().map(|row| format!("{} {}", row.key, row.shown())).collect();
        assert_eq!(ours, design.split(", ").map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>());
    }

    #[test]
    fn text_lines_up_and_json_has_every_row() {
        let defaults = Defaults::new();
        let text = defaults.text();
        assert!(text.starts_with("[limits]\nrequest-line "), "{text}");
        let reason = |key: &str| {
            let line = text.lines().find(|line| line.starts_with(key)).expect("a line");
            line.split_once("  nginx").map(|(before, _)| before.chars().count())
        };
        assert!(reason("request-line").is_some() && reason("request-line") == reason("keep-alive "), "{text}");
        assert_eq!(defaults.json().as_array().map(Vec::len), Some(LIMITS.len() + 4));
        assert_eq!(defaults.json()[2]["value"], 100);
    }
}
