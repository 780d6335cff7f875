//! Findings that other rooms make, when they load components and bind sockets. Their wording stays here; what is wrong with a
//! certificate is worded by `certs`, which has it as data.

use super::diagnostic::{Extent, Place, Severity};
use super::{Code, Diagnostic, LinkSpec, Location, PluginSpec};
use std::fmt::Display;

impl Diagnostic {
    /// E032 from a plugin's `configure`: `path` is a JSON pointer into the link's settings. Text of guests is made printable when shown.
    pub fn settings_refused(link: &LinkSpec, path: &str, message: &str) -> Self {
        let place = link.place(path).into();
        Self::error(Code::SettingsRefused, place, format!("plugin `{}` refuses its settings: {message}", link.plugin))
    }

    /// A plugin's warning about its settings.
    pub fn settings_doubted(link: &LinkSpec, path: &str, message: &str) -> Self {
        let place = link.place(path).into();
        Self::warning(Code::SettingsRefused, place, format!("plugin `{}`: {message}", link.plugin))
    }

    /// E030; `at`: [`PluginSpec::source_at`], or the link of a bundled plugin.
    pub fn plugin_unreadable(name: &str, at: Location, why: &dyn Display) -> Self {
        Self::error(Code::PluginUnreadable, at.into(), format!("plugin `{name}` cannot be used: {why}"))
    }

    /// E030: the file is not the one that was pinned. Both digests in hexadecimal.
    pub fn digest_differs(name: &str, plugin: &PluginSpec, wanted: &str, found: &str) -> Self {
        let message = format!("plugin `{name}` is not the file that was pinned");
        Self::error(Code::PluginUnreadable, plugin.source_at.clone().into(), message)
            .help(format!("pinned: sha256 = \"{wanted}\""))
            .help(format!("found:  sha256 = \"{found}\""))
    }

    /// E035.
    pub fn unsigned(name: &str, at: Location, why: &dyn Display) -> Self {
        Self::error(Code::Unsigned, at.into(), format!("plugin `{name}` {why}"))
    }

    /// E036: the registry did not give what was wanted.
    pub fn unfetched(name: &str, at: Location, why: &dyn Display) -> Self {
        Self::error(Code::Unfetched, at.into(), format!("plugin `{name}` cannot be fetched: {why}"))
    }

    /// E036, a warning: nobody was asked.
    pub fn not_yet_fetched(name: &str, at: Location, reference: &dyn Display) -> Self {
        let message = format!("plugin `{name}` is not in the state directory yet, so that nothing of it could be checked");
        Self::warning(Code::Unfetched, at.into(), message)
            .help(format!("`portcullis run` fetches it; to look at it: portcullis plugin inspect {reference}"))
    }

    /// E031; `help` says what to add, if anything can be.
    pub fn not_granted(name: &str, at: Location, import: &str, help: Option<&str>) -> Self {
        let place = Place { at, extent: Extent::None };
        let found = Self::error(Code::NotGranted, place, format!("plugin `{name}` imports `{import}` but has no right to it"));
        match help {
            Some(help) => found.help(help),
            None => found.help("nothing grants it in this version"),
        }
    }

    /// E031 where the import is of a version or type that this proxy does not offer.
    pub fn import_refused(name: &str, at: Location, why: &dyn Display) -> Self {
        Self::error(Code::NotGranted, at.into(), format!("plugin `{name}` {why}"))
    }

    /// E033.
    pub fn phase_missing(name: &str, at: Location, why: &dyn Display) -> Self {
        Self::error(Code::PhaseMissing, at.into(), format!("plugin `{name}` {why}"))
    }

    /// E034.
    pub fn store_unusable(name: &str, at: Location, why: &dyn Display) -> Self {
        Self::error(Code::StoreUnusable, at.into(), format!("the store `{name}` cannot be used: {why}"))
    }

    /// E022, a warning: the certificate of an upstream's server; `at`: where the server is written.
    pub fn peer_ends_soon(at: Location, server: &dyn Display, days: u64) -> Self {
        let left = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
        Self::warning(Code::Expired, at.into(), format!("the certificate of {server} ends in {left}"))
    }

    /// E042; `at`: where the server is written.
    pub fn unreachable(at: Location, server: &dyn Display, why: &dyn Display) -> Self {
        Self::error(Code::Unreachable, at.into(), format!("{server}: {why}"))
    }

    /// E043; `at`: where the server is written.
    pub fn peer_refused(at: Location, server: &dyn Display, why: &dyn Display) -> Self {
        Self::error(Code::PeerRefused, at.into(), format!("{server}: {why}"))
            .help("tls = { ca = \"….pem\" } names whom to trust, tls = { name = \"…\" } the name that the certificate must have")
    }

    /// E040; `at`: where the address is written, if it is no default.
    pub fn port_taken(address: &dyn Display, at: Option<Location>, why: &dyn Display) -> Self {
        let place = at.clone().unwrap_or_else(|| Location { file: "".into(), line: 1, column: 1 });
        let found = Self::error(Code::PortTaken, place.into(), format!("cannot listen on {address}: {why}"));
        match at {
            Some(_) => found,
            None => Self { place: None, ..found }.help("a default; other addresses are written in [listen]"),
        }
    }

    /// E012 for an upstream that a plugin's settings name.
    pub fn upstream_undefined(known: &[&str], name: &str, at: Location) -> Self {
        let found = Self::error(Code::Undefined, at.into(), format!("upstream `{name}` is not declared"));
        match super::raw::nearest(name, known.iter().copied()) {
            Some(near) => found.label(format!("did you mean `{near}`?")),
            None => found,
        }
    }

    /// E012 for a store that a plugin's settings name.
    pub fn store_undefined(known: &[&str], name: &str, at: Location) -> Self {
        let found = Self::error(Code::Undefined, at.into(), format!("kv `{name}` is not declared"));
        match super::raw::nearest(name, known.iter().copied()) {
            Some(near) => found.label(format!("did you mean `{near}`?")),
            None if known.is_empty() => found.help(format!("for example: [kv] {name} = \"redis://127.0.0.1:6379/0\"")),
            None => found.help(format!("kvs: {}", known.join(", "))),
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The second half of the example in the design (config.md), to the letter.
    #[test]
    fn the_designs_example() {
        const PLUGINS: &str = "[plugin.jwt]\nsource = \"jwt.wasm\"\n";
        let main = |last: &str| {
            let site = "[site.localhost]\nchain  = [\"jwt\"]\n\n[site.localhost.routes]\n\"/*\" = \"app\"\n";
            format!("include = [\"plugins.toml\"]\n\n{site}\n\n[upstream.app]\nservers = [\"h:1\"]\n{last}\n")
        };
        let good = main("");
        let (config, _) =
            Config::parse(&[("edge.toml", &good), ("plugins.toml", PLUGINS)]).unwrap_or_else(|report| panic!("{}", report.text()));
        let bad = main("helth   = \"GET /healthz every 10s\"");
        let mut report = Config::parse(&[("edge.toml", &bad), ("plugins.toml", PLUGINS)]).expect_err("a wrong key");
        let (name, plugin) = config.plugins.first_key_value().expect("one");
        let import = "portcullis:plugin/http-client";
        report.add([Diagnostic::not_granted(&name.0, plugin.at.clone(), import, Some("add: allow = { http = [\"…\"] }"))]);
        let soon = Diagnostic::warning(Code::Expired, plugin.at.clone().into(), "certificate for app.example.com ends in 9 days");
        report.add([Diagnostic { place: None, ..soon }]);
        let text = report.text();
        let unknown = "error[E003]: unknown key `helth` in [upstream.app]\n  --> edge.toml:12:1\n   |\n12 | helth   = \"GET /healthz every 10s\"\n   | ^^^^^ did you mean `health`?";
        assert!(text.contains(unknown), "{text}");
        let import = "error[E031]: plugin `jwt` imports `portcullis:plugin/http-client` but has no right to it\n  --> plugins.toml:1:2\n   = add: allow = { http = [\"…\"] }\n";
        assert!(text.contains(import), "{text}");
        assert!(text.ends_with("2 errors, 1 warning (certificate for app.example.com ends in 9 days). Nothing was applied.\n"), "{text}");
    }

    #[test]
    fn a_guests_words_cannot_move_the_cursor() {
        let text =
            "[plugin]\nx = \"x.wasm\"\n[site.localhost]\nroutes = { \"/*\" = { chain = [{ use = \"x\", config = { a = { b = 1 } } }] } }\n";
        let (config, mut report) = Config::parse(&[("a.toml", text)]).unwrap_or_else(|report| panic!("{}", report.text()));
        let link = &config.sites[0].routes[0].chain[0];
        report.add([Diagnostic::settings_refused(link, "/a/b/none", "no\u{1b}[2Jgood")]);
        let shown = report.text();
        assert!(shown.contains("plugin `x` refuses its settings: no\u{fffd}[2Jgood\n  --> a.toml:4:64\n"), "{shown}");
    }
}
