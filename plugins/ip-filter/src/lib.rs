//! Lets addresses in or keeps them out, by lists of networks: connections in a listener's chain, requests in any other.
//!
//! How a list is read and looked up stands in the SDK's `networks`.
#![cfg_attr(target_family = "wasm", no_std)]

use core::net::IpAddr;
use portcullis_sdk::networks::{self, Networks};
use portcullis_sdk::prelude::*;
use portcullis_sdk::settings::OneOrMany;

/// Lets addresses in or keeps them out, by networks.
#[settings]
pub struct Settings {
    /// Networks and addresses that are let in; a text may hold several, as a file does.
    #[setting(default)]
    allow: OneOrMany<String>,
    /// Those that are kept out.
    #[setting(default)]
    deny: OneOrMany<String>,
    /// How a connection is refused: the client sees an error, or an end.
    #[setting(default)]
    refuse: Refuse,
    /// With what a request is refused.
    #[setting(default = 403, min = 400, max = 499)]
    status: u16,
}

#[settings]
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Refuse {
    #[default]
    Reset,
    Close,
}

/// What a list says of an address; of equal networks, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Say {
    Allow,
    Deny,
}

pub struct IpFilter {
    networks: Networks<Say>,
    /// For addresses in no list.
    otherwise: Say,
    refuse: Refuse,
    reply: Rc<Reply>,
    /// Entries with bits behind their prefix.
    sloppy: Vec<(Pointer, String)>,
}

#[plugin(name = "ip-filter", description = "Lets addresses in or keeps them out, by networks")]
impl IpFilter {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, mut sloppy, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (key, list, say) in [("allow", &settings.allow, Say::Allow), ("deny", &settings.deny, Say::Deny)] {
            let at = Pointer::root().key(key);
            for (index, text) in list.iter().enumerate() {
                let at = list.pointer(&at, index);
                for found in networks::read(text) {
                    match found {
                        Ok(entry) => {
                            if entry.is_sloppy {
                                sloppy.push((at.clone(), entry.shown()));
                            }
                            entries.push((entry, say));
                        }
                        Err(why) => problems.push(Problem::at(at.clone(), why)),
                    }
                }
            }
        }
        if settings.allow.is_empty() && settings.deny.is_empty() {
            problems.push(Problem::at("", "needs `allow` or `deny`"));
        }
        if !problems.is_empty() {
            // A file in the wrong format has thousands.
            problems.truncate(10);
            return Err(problems);
        }
        let otherwise = if settings.allow.is_empty() { Say::Allow } else { Say::Deny };
        let reply = Rc::new(Reply::new(settings.status).text("not from this address\n"));
        Ok(Self { networks: Networks::of(entries), otherwise, refuse: settings.refuse, reply, sloppy })
    }

    fn plan(&self, plan: &mut Plan) {
        for (at, shown) in self.sloppy.iter().take(3) {
            plan.warn(at.clone(), format!("{shown} has bits behind its prefix, which are ignored"));
        }
    }

    #[interest(peer)]
    fn on_accept(&self, accepted: &Accepted, _: &mut ConnectionEdits) -> AcceptVerdict {
        match (self.says(accepted.peer_ip()), self.refuse) {
            (Say::Allow, _) => AcceptVerdict::Next,
            (Say::Deny, Refuse::Reset) => AcceptVerdict::Reset,
            (Say::Deny, Refuse::Close) => AcceptVerdict::Close,
        }
    }

    #[interest(attributes = ["client.ip"])]
    fn on_request(&self, request: &Request, _: &mut RequestEdits) -> Verdict {
        match self.says(request.attribute("client.ip").and_then(|ip| ip.parse().ok())) {
            Say::Allow => Verdict::Next,
            Say::Deny => Verdict::Reply(self.reply.clone()),
        }
    }
}

impl IpFilter {
    /// Who comes over a Unix socket has no address, and was let in by the socket's permissions.
    fn says(&self, ip: Option<IpAddr>) -> Say {
        ip.map_or(Say::Allow, |ip| self.networks.find(ip).unwrap_or(self.otherwise))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, connection, get, unix_connection};

    fn admits(filter: &Harness<IpFilter>, ip: &str) -> bool {
        let peer = if ip.contains(':') { format!("[{ip}]:4000") } else { format!("{ip}:4000") };
        let verdict = filter.on_accept(connection(&peer)).verdict().clone();
        let outcome = filter.on_request(get("/").attribute("client.ip", ip));
        assert_eq!(verdict == AcceptVerdict::Next, outcome.reply().is_none(), "{ip}: both phases say the same");
        verdict == AcceptVerdict::Next
    }

    #[test]
    fn the_longest_prefix_decides() {
        let filter = Harness::<IpFilter>::new(r#"{"allow": ["10.0.0.0/8", "10.1.2.3"], "deny": ["10.1.0.0/16", "2001:db8::/32"]}"#);
        for (ip, admitted) in
            [("10.0.0.1", true), ("10.1.0.1", false), ("10.1.2.3", true), ("10.1.2.4", false), ("10.2.0.0", true), ("10.255.255.255", true)]
        {
            assert_eq!(admits(&filter, ip), admitted, "{ip}");
        }
        assert!(!admits(&filter, "11.0.0.0"), "with `allow`, what is in no list is kept out");
        assert!(!admits(&filter, "2001:db8::1") && !admits(&filter, "2001:db9::1"));
    }

    #[test]
    fn without_allow_everybody_else_comes_in() {
        let filter = Harness::<IpFilter>::new(r#"{"deny": "192.0.2.0/24", "refuse": "close", "status": 404}"#);
        assert!(admits(&filter, "192.0.1.255") && admits(&filter, "192.0.3.0") && admits(&filter, "::1"));
        assert_eq!(filter.on_accept(connection("192.0.2.9:1")).verdict(), &AcceptVerdict::Close);
        let outcome = filter.on_request(get("/").attribute("client.ip", "192.0.2.9"));
        assert_eq!(outcome.reply().map(Reply::status), Some(404));
    }

    #[test]
    fn on_equal_prefixes_deny_wins() {
        let filter = Harness::<IpFilter>::new(r#"{"allow": ["::1", "192.0.2.1/32"], "deny": ["192.0.2.1", "::1/128"]}"#);
        assert!(!admits(&filter, "192.0.2.1") && !admits(&filter, "::1"));
    }

    #[test]
    fn everything_is_a_network_too() {
        let filter = Harness::<IpFilter>::new(r#"{"allow": ["0.0.0.0/0"], "deny": ["::/0", "255.255.255.255"]}"#);
        assert!(admits(&filter, "0.0.0.0") && admits(&filter, "255.255.255.254") && !admits(&filter, "255.255.255.255"));
        assert!(!admits(&filter, "::2") && !admits(&filter, "ffff::"));
        assert!(admits(&filter, "::ffff:10.0.0.1"), "an IPv4 address, however it is written");
    }

    #[test]
    fn a_file_has_lines_and_comments() {
        let filter =
            Harness::<IpFilter>::new(r##"{"deny": "# spammers\n192.0.2.0/24 ; SBL1\r\n\n  198.51.100.7   2001:db8::/32\n#10.0.0.0/8"}"##);
        assert!(!admits(&filter, "192.0.2.1") && !admits(&filter, "198.51.100.7") && !admits(&filter, "2001:db8::9"));
        assert!(admits(&filter, "10.0.0.1") && admits(&filter, "198.51.100.8"));
    }

    #[test]
    fn who_has_no_address_is_let_in() {
        let filter = Harness::<IpFilter>::new(r#"{"allow": "10.0.0.0/8"}"#);
        assert_eq!(filter.on_accept(unix_connection()).verdict(), &AcceptVerdict::Next);
    }

    #[test]
    fn what_is_no_network_is_refused_at_its_place() {
        let problems = Harness::<IpFilter>::refused(r#"{"allow": ["10.0.0.0/8", "10.0.0.0/33"], "deny": ["example.com", "1.2.3"]}"#);
        let places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(places, ["/allow/1", "/deny/0", "/deny/1"]);
        assert_eq!(problems[0].message, "`10.0.0.0/33` is no network: a prefix of IPv4 has at most 32 bits");
        assert_eq!(Harness::<IpFilter>::refused("{}")[0].message, "needs `allow` or `deny`");
    }

    #[test]
    fn a_large_list_agrees_with_looking_at_each_entry() {
        let mut random = 1_u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 4
        };
        let entry = |bits: u32, length: u32| (bits & u32::MAX.checked_shl(32 - length).unwrap_or(0), length);
        let entries: Vec<_> = (0..500).map(|n| (entry((next() & 0xff) << 24 | next() & 0xff_ffff, next() % 25), n % 2 == 0)).collect();
        let list = |wanted: bool| {
            let some = entries.iter().filter(|(_, allow)| *allow == wanted);
            some.map(|((bits, length), _)| format!("{}/{length}", core::net::Ipv4Addr::from_bits(*bits))).collect::<Vec<_>>().join(" ")
        };
        let filter = Harness::<IpFilter>::new(&format!(r#"{{"allow": "{}", "deny": "{}"}}"#, list(true), list(false)));
        for _ in 0..2_000 {
            let ip = (next() & 0xff) << 24 | next() & 0xff_ffff;
            let holds = |(bits, length): (u32, u32)| entry(ip, length) == (bits, length);
            let best = entries.iter().filter(|(network, _)| holds(*network)).max_by_key(|((_, length), allow)| (*length, !*allow));
            let expected = best.is_some_and(|(_, allow)| *allow);
            let ip = core::net::Ipv4Addr::from_bits(ip).to_string();
            assert_eq!(admits(&filter, &ip), expected, "{ip}");
        }
    }
}
