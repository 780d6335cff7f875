//! A rule: an upstream, and what must hold of a request for it.

use portcullis_sdk::RequestInterest;
use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;

/// A rule; all its parts must hold.
#[settings]
pub(crate) struct Written {
    /// The upstream it leads to.
    to: Upstream,
    /// Header fields, by name, of which a line has exactly this value.
    #[setting(default)]
    header: Map<String>,
    /// Cookies with exactly this value.
    #[setting(default)]
    cookie: Map<String>,
    /// Query parameters with exactly this value, after decoding.
    #[setting(default)]
    query: Map<String>,
}

pub(crate) struct Rule {
    to: String,
    /// Names in lower case.
    header: Vec<(String, String)>,
    cookie: Map<String>,
    query: Map<String>,
}

impl Rule {
    pub(crate) fn of(written: Written, at: &Pointer, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut header = Vec::new();
        let before = problems.len();
        for (name, value) in written.header {
            match header_name(&name) {
                Ok(lower) => header.push((lower, value)),
                Err(why) => problems.push(Problem::at(at.key("header").key(&name), why)),
            }
        }
        (problems.len() == before).then(|| Self { to: written.to.into(), header, cookie: written.cookie, query: written.query })
    }

    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    pub(crate) fn ask(&self, interest: &mut RequestInterest) {
        for (name, _) in &self.header {
            interest.header(name.clone());
        }
        if !self.cookie.is_empty() {
            interest.header("cookie");
        }
        if !self.query.is_empty() {
            interest.query();
        }
    }

    pub(crate) fn always_holds(&self) -> bool {
        self.header.is_empty() && self.cookie.is_empty() && self.query.is_empty()
    }

    pub(crate) fn holds(&self, request: &Request) -> bool {
        self.header.iter().all(|(name, value)| request.header_lines(name).any(|line| line == value.as_bytes()))
            && self.cookie.iter().all(|(name, value)| request.cookie(name) == Some(value.as_bytes()))
            && self.query.iter().all(|(name, value)| request.query_value(name).is_some_and(|found| found == **value))
    }
}
