//! Which upstream takes a connection: by the name that the client asks for and the protocols that it offers.

use crate::config::{SiteName, TcpRoute, TcpSpec, UpstreamName};
use crate::message::{ClientHello, Unrouted};
use std::collections::HashMap;

/// The routes of one listener.
pub struct Routes {
    /// Indices into `entries`, those with ALPN first.
    exact: HashMap<String, Vec<usize>>,
    /// By the part behind `*.`.
    below: HashMap<String, Vec<usize>>,
    /// In file order.
    entries: Vec<TcpRoute>,
    otherwise: Option<UpstreamName>,
}

impl Routes {
    pub fn new(spec: &TcpSpec) -> Self {
        let (mut exact, mut below) = (HashMap::<_, Vec<usize>>::new(), HashMap::<_, Vec<usize>>::new());
        let mut order: Vec<usize> = (0..spec.sni.len()).collect();
        // Stable, so that entries of one kind stay in file order.
        order.sort_by_key(|index| spec.sni[*index].alpn.is_empty());
        for index in order {
            match &spec.sni[index].name {
                SiteName::Exact(name) => exact.entry(name.clone()).or_default().push(index),
                SiteName::Wildcard(suffix) => below.entry(suffix.clone()).or_default().push(index),
                SiteName::Any => {}
            }
        }
        Self { exact, below, entries: spec.sni.clone(), otherwise: spec.to.clone() }
    }

    /// The upstream for a connection.
    pub fn find(&self, hello: Option<&ClientHello>) -> Result<&UpstreamName, Unrouted> {
        let entry = self.entry(hello).and_then(|index| self.entries.get(index));
        entry.map(|entry| &entry.to).or(self.otherwise.as_ref()).ok_or_else(|| self.lacks(hello))
    }

    /// What no entry of `sni` has that would take it, if none does.
    pub fn lacks(&self, hello: Option<&ClientHello>) -> Unrouted {
        let named = hello.is_some_and(|hello| self.named(hello).next().is_some());
        if named { Unrouted::Protocol } else { Unrouted::Name }
    }

    /// The index of the entry of `sni` that takes it.
    pub fn entry(&self, hello: Option<&ClientHello>) -> Option<usize> {
        let hello = hello?;
        self.named(hello).find(|index| self.entries.get(*index).is_some_and(|entry| fits(entry, hello)))
    }

    /// The entries for the name that a client asks for, those for all protocols last.
    fn named(&self, hello: &ClientHello) -> impl Iterator<Item = usize> {
        // No entry is for the empty name.
        let name = hello.sni.as_deref().unwrap_or_default();
        let suffixes = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..));
        self.exact.get(name).into_iter().chain(suffixes.filter_map(|suffix| self.below.get(suffix))).flatten().copied()
    }
}

fn fits(entry: &TcpRoute, hello: &ClientHello) -> bool {
    entry.alpn.is_empty() || entry.alpn.iter().any(|protocol| hello.offers(protocol.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn routes(text: &str) -> Routes {
        let upstreams: String = ["one", "two", "three", "other"].iter().map(|name| format!("{name} = \"h:1\"\n")).collect();
        let text = format!("[tcp.\"127.0.0.1:1\"]\ntls = \"passthrough\"\n{text}\n[upstream]\n{upstreams}");
        let (config, _) = Config::parse(&[("a.toml", &text)]).unwrap_or_else(|report| panic!("{}", report.text()));
        Routes::new(&config.tcp[0])
    }

    fn hello(name: Option<&str>, alpn: &[&str]) -> ClientHello {
        let alpn = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        ClientHello { sni: name.map(Into::into), alpn, ..ClientHello::default() }
    }

    fn found<'r>(routes: &'r Routes, name: &str, alpn: &[&str]) -> Option<&'r str> {
        routes.find(Some(&hello(Some(name), alpn))).ok().map(|name| &*name.0)
    }

    #[test]
    fn exact_names_win_then_the_longest_wildcard() {
        let routes = routes("sni = { \"a.b.test\" = \"one\", \"*.b.test\" = \"two\", \"*.test\" = \"three\" }");
        for (name, to) in [("a.b.test", "one"), ("x.b.test", "two"), ("x.a.b.test", "two"), ("b.test", "three"), ("x.c.test", "three")] {
            assert_eq!(found(&routes, name, &[]), Some(to), "{name}");
        }
        assert_eq!((found(&routes, "test", &[]), found(&routes, "a.other", &[])), (None, None));
        assert_eq!(routes.find(Some(&hello(None, &[]))), Err(Unrouted::Name));
    }

    #[test]
    fn what_nobody_names_goes_to_the_default() {
        let routes = routes("to = \"other\"\nsni = { \"a.test\" = \"one\" }");
        assert_eq!(found(&routes, "b.test", &[]), Some("other"));
        assert_eq!(routes.find(Some(&hello(None, &[]))).map(|name| &*name.0), Ok("other"));
        assert_eq!(routes.find(None).map(|name| &*name.0), Ok("other"));
    }

    #[test]
    fn protocols_choose_among_entries_of_one_name() {
        let routes = routes(
            "sni = { \"a.test\" = [{ to = \"one\" }, { to = \"two\", alpn = [\"h2\", \"h3\"] }], \"*.test\" = { to = \"three\", alpn = \"x\" }, \
             \"b.test\" = { to = \"one\", alpn = \"h2\" } }",
        );
        for (name, alpn, to) in [
            ("a.test", &["h2"][..], Some("two")),
            ("a.test", &["http/1.1", "h3"], Some("two")),
            ("a.test", &[], Some("one")),
            ("b.test", &["h2"], Some("one")),
            ("b.test", &["x"], Some("three")),
            ("b.test", &["http/1.1"], None),
        ] {
            assert_eq!(found(&routes, name, alpn), to, "{name} {alpn:?}");
        }
        let lacks = |name, alpn: &[&str]| routes.find(Some(&hello(name, alpn))).err();
        assert_eq!(lacks(Some("b.test"), &["http/1.1"]), Some(Unrouted::Protocol));
        assert_eq!(lacks(Some("x.test"), &[]), Some(Unrouted::Protocol), "below a wildcard");
        assert_eq!((lacks(Some("b.other"), &["h2"]), lacks(None, &["h2"])), (Some(Unrouted::Name), Some(Unrouted::Name)));
    }
}
