//! Tells the upstream where a client is, or what else a list of networks says of its address.
//!
//! A list is read once in each guest; looking an address up is some twenty comparisons, however long it is.
#![cfg_attr(target_family = "wasm", no_std)]

use core::net::IpAddr;
use portcullis_sdk::field::{header_name, header_value};
use portcullis_sdk::networks::{self, Network, Networks};
use portcullis_sdk::prelude::*;

/// Tells the upstream where a client is, by a list of networks.
#[settings]
pub struct Settings {
    /// Lines of a network and what is said of it, with a comma or blanks between; for { file = "…" }.
    #[setting(default)]
    list: OneOrMany<String>,
    /// What is said, with its networks: { DE = ["192.0.2.0/24"] }.
    #[setting(default)]
    networks: Map<OneOrMany<String>>,
    /// The request field that tells it. Clients cannot set it.
    #[setting(default = "x-country")]
    header: String,
    /// What is said of addresses in no network; nothing unless written.
    otherwise: Option<String>,
    /// Whether the response tells it too.
    #[setting(default = false)]
    response: bool,
}

pub struct GeoHeader {
    networks: Networks<u32>,
    values: Vec<String>,
    header: String,
    otherwise: Option<String>,
    response: bool,
    sloppy: Vec<Problem>,
}

/// Carries what was found to the access log, to later links, and to the response.
const FOUND: &str = "log.geo";

#[plugin(name = "geo-header", description = "Tells the upstream where a client is, by a list of networks")]
impl GeoHeader {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, root) = (Vec::new(), Pointer::root());
        let mut reading = Reading::default();
        for (index, text) in settings.list.iter().enumerate() {
            reading.list(text, &settings.list.pointer(&root.key("list"), index), &mut problems);
        }
        for (value, texts) in settings.networks {
            let at = root.key("networks").key(&value);
            for (index, text) in texts.iter().enumerate() {
                reading.networks(&value, text, &texts.pointer(&at, index), &mut problems);
            }
        }
        if reading.entries.is_empty() && problems.is_empty() {
            problems.push(Problem::at("", "there are no networks: needs `list` or `networks`"));
        }
        let header = header_name(&settings.header).map_err(|why| problems.push(Problem::at("/header", why))).unwrap_or_default();
        if let Some(Err(why)) = settings.otherwise.as_ref().map(|value| header_value(value.as_bytes())) {
            problems.push(Problem::at("/otherwise", why));
        }
        if !problems.is_empty() {
            problems.truncate(10);
            return Err(problems);
        }
        let Reading { entries, values, sloppy } = reading;
        Ok(Self { networks: Networks::of(entries), values, header, otherwise: settings.otherwise, response: settings.response, sloppy })
    }

    fn plan(&self, plan: &mut Plan) {
        for sloppy in &self.sloppy {
            plan.warn(sloppy.path.clone(), sloppy.message.clone());
        }
        if self.response {
            plan.response().attribute(FOUND);
        } else {
            plan.skip_response();
        }
    }

    #[interest(attributes = ["client.ip"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
        let found = request.attribute("client.ip").and_then(|ip| ip.parse::<IpAddr>().ok()).and_then(|ip| self.networks.find(ip));
        let value = found.and_then(|index| self.values.get(index as usize)).or(self.otherwise.as_ref());
        match value {
            Some(value) => {
                edit.set_header(&self.header, value);
                edit.set_attribute(FOUND, value);
            }
            None => edit.remove_header(&self.header),
        }
    }

    fn on_response(&self, response: &Response, edit: &mut Edits) {
        if let Some(value) = response.attribute(FOUND) {
            edit.set_header(&self.header, value);
        }
    }
}

/// What was read so far. Lists have few values and many networks, so values are kept once.
#[derive(Default)]
struct Reading {
    entries: Vec<(Network, u32)>,
    values: Vec<String>,
    sloppy: Vec<Problem>,
}

impl Reading {
    fn list(&mut self, text: &str, at: &Pointer, problems: &mut Vec<Problem>) {
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let (network, value) = line.split_once([',', ' ', '\t', ';']).unwrap_or((line, ""));
            // A line of titles, as tables have them.
            if line.is_empty() || index == 0 && !network.contains(['.', ':']) {
                continue;
            }
            let value = value.trim_matches([',', ' ', '\t', ';']).trim_matches('"');
            if value.is_empty() {
                problems.push(Problem::at(at.clone(), ["line ", &(index + 1).to_string(), ": nothing is said of the network"].concat()));
            } else if let Err(why) = self.add(network.trim_matches('"'), value, at) {
                problems.push(Problem::at(at.clone(), ["line ", &(index + 1).to_string(), ": ", &why].concat()));
            }
            // A file in another format has thousands.
            if problems.len() > 10 {
                return;
            }
        }
    }

    fn networks(&mut self, value: &str, text: &str, at: &Pointer, problems: &mut Vec<Problem>) {
        for network in networks::read(text) {
            let added = network.and_then(|network| self.take(network, value, at));
            problems.extend(added.err().map(|why| Problem::at(at.clone(), why)));
        }
    }

    fn add(&mut self, network: &str, value: &str, at: &Pointer) -> Result<(), String> {
        self.take(networks::network(network)?, value, at)
    }

    fn take(&mut self, network: Network, value: &str, at: &Pointer) -> Result<(), String> {
        if network.is_sloppy && self.sloppy.len() < 3 {
            self.sloppy.push(Problem::at(at.clone(), [&network.shown(), " has bits behind its prefix, which are ignored"].concat()));
        }
        // The last few are the likeliest: lists are often sorted by them, and else there are some hundred.
        let index = match self.values.iter().rposition(|known| known == value) {
            Some(index) => index,
            None => {
                header_value(value.as_bytes())?;
                self.values.push(value.to_owned());
                self.values.len() - 1
            }
        };
        self.entries.push((network, u32::try_from(index).unwrap_or(u32::MAX)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, get, response};

    fn found(geo: &Harness<GeoHeader>, ip: &str) -> Option<String> {
        let after = geo.on_request(get("/").attribute("client.ip", ip).header("x-country", "forged"));
        assert_eq!(after.header("x-country"), after.attribute("log.geo"));
        after.header("x-country").map(ToOwned::to_owned)
    }

    #[test]
    fn the_longest_prefix_says_it() {
        let list = r#"network,country\n192.0.2.0/24,DE\n192.0.2.128/25 , \"FR\" # a part\n\n\"2001:db8::/32\",NL\n198.51.100.7\tAT\n"#;
        let geo = Harness::<GeoHeader>::new(&format!(r#"{{"list": "{}"}}"#, list));
        for (ip, expected) in [
            ("192.0.2.1", Some("DE")),
            ("192.0.2.200", Some("FR")),
            ("2001:db8::1", Some("NL")),
            ("198.51.100.7", Some("AT")),
            ("198.51.100.8", None),
            ("::ffff:192.0.2.1", Some("DE")),
        ] {
            assert_eq!(found(&geo, ip).as_deref(), expected, "{ip}");
        }
    }

    #[test]
    fn lists_and_tables_together_and_what_is_said_of_the_rest() {
        let geo = Harness::<GeoHeader>::new(
            r#"{"list": ["10.0.0.0/8 inside"], "networks": {"office": ["10.1.0.0/16", "192.0.2.1"], "guests": "10.2.0.0/16"}, "otherwise": "outside", "response": true}"#,
        );
        for (ip, expected) in
            [("10.9.9.9", "inside"), ("10.1.2.3", "office"), ("192.0.2.1", "office"), ("10.2.0.1", "guests"), ("8.8.8.8", "outside")]
        {
            assert_eq!(found(&geo, ip).as_deref(), Some(expected), "{ip}");
        }
        assert_eq!(geo.on_response(response(200).attribute("log.geo", "office")).header("x-country"), Some("office"));
        assert_eq!(geo.on_response(response(200)).header("x-country"), None);
    }

    #[test]
    fn mistakes_are_told_at_their_places() {
        let problems = Harness::<GeoHeader>::refused(
            r#"{"list": ["192.0.2.0/24,DE\nexample.com,FR\n192.0.2.0/33 AT\n10.0.0.0/8"], "networks": {"a": ["x.y"]}, "header": "host", "otherwise": "a\nb"}"#,
        );
        let told: Vec<_> =
            problems.iter().map(|problem| (&*problem.path, problem.message.split(": ").next().unwrap_or_default())).collect();
        assert_eq!(told[..3], [("/list/0", "line 2"), ("/list/0", "line 3"), ("/list/0", "line 4")]);
        let places: Vec<_> = told[3..].iter().map(|(path, _)| *path).collect();
        assert_eq!(places, ["/networks/a/0", "/header", "/otherwise"]);
        assert_eq!(Harness::<GeoHeader>::refused("{}")[0].path, "");
    }

    #[test]
    fn a_file_of_something_else_is_told_of_in_a_few_lines() {
        let garbage = (0..1_000).map(|line| format!("a.{line} b")).collect::<Vec<_>>().join("\\n");
        assert_eq!(Harness::<GeoHeader>::refused(&format!(r#"{{"list": "{garbage}"}}"#)).len(), 10);
    }
}
