//! Where a request has its token.

use alloc::borrow::Cow;
use portcullis_sdk::RequestInterest;
use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;

pub enum Place {
    /// `Authorization: Bearer …`
    Bearer(Cow<'static, str>),
    Header(String),
    Cookie(String),
    Query(String),
}

/// Longer is no token, and would be work.
const LONGEST: usize = 16 << 10;

impl Place {
    pub const BEARER: Self = Self::Bearer(Cow::Borrowed("authorization"));

    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "header" | "cookie" | "query" if name.is_empty() => Err("a name is missing behind the colon"),
            "header" => match header_name(name)? {
                name if name == "authorization" || name == "proxy-authorization" => Ok(Self::Bearer(name.into())),
                name => Ok(Self::Header(name)),
            },
            "cookie" => Ok(Self::Cookie(name.to_owned())),
            "query" => Ok(Self::Query(name.to_owned())),
            _ => Err("there are header:NAME, cookie:NAME and query:NAME"),
        }
    }

    pub fn ask(&self, request: &mut RequestInterest) {
        match self {
            Self::Bearer(name) => request.header(name.clone()),
            Self::Header(name) => request.header(name.clone()),
            Self::Cookie(_) => request.header("cookie"),
            Self::Query(_) => request.query(),
        };
    }

    pub fn find<'r>(&self, request: &Request<'r>) -> Option<Cow<'r, str>> {
        let text = |bytes: Option<&'r [u8]>| bytes.and_then(|bytes| core::str::from_utf8(bytes).ok()).map(Cow::Borrowed);
        let token = match self {
            Self::Bearer(name) => {
                let (scheme, token) = request.header_str(name)?.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| Cow::Borrowed(token.trim_start()))
            }
            Self::Header(name) => text(request.header(name)),
            Self::Cookie(name) => text(request.cookie(name)),
            Self::Query(name) => request.query_value(name),
        };
        token.filter(|token| !token.is_empty() && token.len() <= LONGEST)
    }

    /// Takes it out of what the upstream gets.
    pub fn remove(&self, request: &Request, edit: &mut RequestEdits) {
        match self {
            Self::Bearer(name) => edit.remove_header(name),
            Self::Header(name) => edit.remove_header(name),
            Self::Cookie(name) => {
                let lines: Vec<&[u8]> = request.header_lines("cookie").collect();
                let pairs = lines.iter().flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
                let others =
                    pairs.filter(|pair| !pair.is_empty() && pair.strip_prefix(name.as_bytes()).is_none_or(|rest| !rest.starts_with(b"=")));
                let others = others.collect::<Vec<_>>().join(&b"; "[..]);
                if others.is_empty() { edit.remove_header("cookie") } else { edit.set_header("cookie", others) }
            }
            Self::Query(name) => {
                let pairs = request.query().unwrap_or_default().split('&');
                let is_it = |pair: &&str| portcullis_sdk::query::pairs(pair).next().is_some_and(|(found, _)| found == *name);
                let others = pairs.filter(|pair| !is_it(pair)).collect::<Vec<_>>().join("&");
                if others.is_empty() { edit.remove_query() } else { edit.set_query(others) }
            }
        }
    }
}
