//! `portcullis check`: everything that `run` would refuse.

use super::online::{self, Seen};
use super::prepare::review;
use crate::config::{Config, Report};
use std::path::Path;

/// What was found.
pub struct Checked {
    report: Report,
    /// `None`: the text is not right, so it means nothing yet.
    config: Option<Config>,
    /// Not of the configuration's making: the machine would not let us look.
    obstacle: Option<String>,
    /// What `online` found, server by server.
    seen: Option<Vec<Seen>>,
}

/// Checks a file with all that it names: certificates, components, their settings. Opens no socket.
pub fn check(path: &Path) -> Checked {
    match review(path) {
        Ok((config, report)) => Checked { report, config, obstacle: None, seen: None },
        Err(error) => Checked { report: Report::default(), config: None, obstacle: Some(error.to_string()), seen: None },
    }
}

impl Checked {
    /// Looks at the servers too, if the text is right.
    #[must_use]
    pub fn online(mut self) -> Self {
        let Some(config) = &self.config else { return self };
        match online::look(config) {
            Ok(seen) => {
                self.report.add(seen.iter().filter_map(Seen::finding));
                self.seen = Some(seen);
            }
            Err(error) => self.obstacle = Some(error.to_string()),
        }
        self
    }

    /// A line for each server that was looked at.
    pub fn servers(&self) -> String {
        self.seen.iter().flatten().map(Seen::text).collect()
    }

    pub fn has_errors(&self) -> bool {
        self.report.errors() > 0 || self.obstacle.is_some()
    }

    /// Not even a warning.
    pub fn is_clean(&self) -> bool {
        !self.has_errors() && self.report.warnings() == 0
    }

    /// How much was checked.
    pub fn summary(&self) -> String {
        let Some(config) = &self.config else { return String::new() };
        let routes: usize = config.sites.iter().map(|site| site.routes.len()).sum();
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let tcp = (!config.tcp.is_empty()).then(|| count(config.tcp.len(), "TCP listener"));
        let parts =
            [Some(count(config.sites.len(), "site")), Some(count(routes, "route")), tcp, Some(count(config.upstreams.len(), "upstream"))];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    pub fn text(&self) -> String {
        match &self.obstacle {
            Some(obstacle) => format!("error: {obstacle}\n"),
            None => self.report.text(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        match &self.obstacle {
            Some(obstacle) => serde_json::json!({ "obstacle": obstacle }),
            None => match &self.seen {
                None => self.report.json(),
                Some(seen) => {
                    serde_json::json!({ "findings": self.report.json(), "servers": seen.iter().map(Seen::json).collect::<Vec<_>>() })
                }
            },
        }
    }
}
