//! The answer for people, a row for each part.

use super::links::{enters, of, origin};
use super::sites::{clients, reason, tls};
use super::upstreams::{retry, servers, terms};
use super::{Explained, Refused};
use crate::config::{MirrorSpec, Route, Site, show_duration};
use crate::proxy::Finding;
use std::fmt::Write;

impl Explained {
    pub fn text(&self) -> String {
        let query = self.head.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut out = String::new();
        row(
            &mut out,
            "request",
            &format!("{} {}://{}{}{query}", self.head.method, self.head.scheme.as_str(), self.head.authority, self.head.path),
            "",
        );
        for (index, link) in self.config.listen.chain.iter().enumerate() {
            let title = if index == 0 { "connection" } else { "" };
            let text = format!("{}. {}{}  {}{}", index + 1, link.name, of(link), link.shown_settings(), self.may(link));
            row(&mut out, title, &text, &format!("{} ({})", link.at, origin(&link.origin)));
        }
        match &self.place {
            Ok((site, route)) => {
                let site = &self.config.sites[*site];
                self.site_row(&mut out, site);
                self.route_rows(&mut out, &site.routes[*route]);
            }
            Err(Refused::NoSite) => row(&mut out, "answer", "404 no_site: no site has this name", ""),
            Err(Refused::NoRoute(site)) => {
                self.site_row(&mut out, &self.config.sites[*site]);
                row(&mut out, "answer", "404 no_route: no route of the site takes this request", "");
            }
            Err(Refused::Redirect(site, location)) => {
                self.site_row(&mut out, &self.config.sites[*site]);
                row(&mut out, "answer", &format!("308 to {location}: the site is served over TLS"), "");
            }
            Err(Refused::Misdirected(site)) => {
                self.site_row(&mut out, &self.config.sites[*site]);
                row(&mut out, "answer", "421 misdirected: the site has tls = \"off\"", "");
            }
        }
        self.considered_rows(&mut out);
        out
    }

    fn site_row(&self, out: &mut String, site: &Site) {
        row(out, "site", &format!("{}  (tls: {}{})", site.name, tls(&site.tls), clients(site)), &site.at.to_string());
    }

    fn route_rows(&self, out: &mut String, route: &Route) {
        row(out, "route", &route.pattern, &route.at.to_string());
        for (index, link) in route.chain.iter().enumerate() {
            let title = if index == 0 { "chain" } else { "" };
            let entered = if enters(link, &self.head) { "" } else { "  (not entered: `when` does not hold)" };
            let may = self.may(link);
            let (phases, memory) = self.memory.get(index).map(|told| (told.phases.join(", "), &*told.memory)).unwrap_or_default();
            let text = format!("{}. {}{}  {}{may}{entered}  {phases}  [{memory}]", index + 1, link.name, of(link), link.shown_settings());
            row(out, title, &text, &format!("{} ({})", link.at, origin(&link.origin)));
        }
        match route.to.as_ref().and_then(|to| self.config.upstreams.get_key_value(to)) {
            Some((name, upstream)) => {
                row(out, "upstream", &format!("{name}  {}  {}", upstream.balance, servers(upstream)), &upstream.at.to_string());
                terms(upstream, &self.config).iter().for_each(|(title, text)| row(out, title, text, ""));
            }
            None => row(out, "upstream", "none: a link answers or chooses", ""),
        }
        let times = self.times(route).map(|(name, time)| format!("{name} {}", time.map_or("none".to_owned(), show_duration)));
        row(out, "timeouts", &times.join(", "), "");
        if route.to.is_some() {
            row(out, "retry", &retry(&route.retry, &self.config.limits), "");
        }
        if let Some(injected) = &route.injected {
            row(out, "fault", &injected.to_string(), "");
        }
        if let Some(MirrorSpec { to, share }) = &route.mirror {
            row(out, "mirror", &format!("{to}  {share}% of the requests"), "");
        }
        let log = self.config.server.access_log.name();
        row(out, "access log", log, "");
    }

    fn considered_rows(&self, out: &mut String) {
        let site = match &self.place {
            Ok((site, _)) | Err(Refused::NoRoute(site)) => &self.config.sites[*site],
            Err(_) => return,
        };
        let others = self.considered.iter().filter(|(_, finding)| *finding != Finding::Chosen);
        // What has another path is of interest only where nothing was found; a large site would fill the screen.
        let others = others.filter(|(_, finding)| self.place.is_err() || *finding != Finding::OtherPath);
        for (number, (index, finding)) in others.take(20).enumerate() {
            let route = &site.routes[*index];
            row(out, if number == 0 { "not taken" } else { "" }, &format!("{}: {}", route.pattern, reason(finding)), &route.at.to_string());
        }
    }
}

/// A line of three columns; the place stands behind the text.
pub(in crate::app) fn row(out: &mut String, title: &str, text: &str, place: &str) {
    let gap = if place.is_empty() { "" } else { "   " };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{title:<11}{text}{gap}{place}");
}
