//! Compresses responses for clients that say they can take it.
//!
//! Which coding a client gets stands in `accept`, what is worth compressing here, and the compressing itself in `coder`.

mod accept;
mod coder;

use accept::Accepted;
use coder::Coder;
use portcullis_sdk::exchange;
use portcullis_sdk::prelude::*;

/// Compresses responses.
#[settings]
pub struct Settings {
    /// Codings, the one that is rather taken first.
    #[setting(default)]
    codings: Option<Vec<Coding>>,
    /// How hard to try, from 1 to 9; of zstd there is one level.
    #[setting(default = 4, min = 1, max = 9)]
    level: u8,
    /// Shorter bodies pass as they are, if their length is known.
    #[setting(default = 1024)]
    min_length: u32,
    /// Media types that are compressed, without parameters; `text/*` stands for all of text.
    #[setting(default)]
    types: Option<Vec<String>>,
}

/// A content coding (RFC 9110, section 8.4.1).
#[settings]
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum Coding {
    Br,
    Zstd,
    Gzip,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

pub struct Compress {
    codings: Vec<Coding>,
    level: u8,
    min_length: u64,
    types: Vec<String>,
}

/// What gets smaller, as far as the web goes.
const TYPES: [&str; 14] = [
    "text/*",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/problem+json",
    "application/javascript",
    "application/xml",
    "application/xhtml+xml",
    "application/rss+xml",
    "application/atom+xml",
    "application/wasm",
    "image/svg+xml",
    "image/x-icon",
    "font/ttf",
];

/// What the request said, for the response.
struct Wanted(Option<Coding>);

#[plugin(name = "compress", description = "Compresses responses")]
impl Compress {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let Settings { codings, level, min_length, types } = settings;
        let codings = codings.unwrap_or_else(|| Coding::ALL.into());
        let types = types.unwrap_or_else(|| TYPES.map(str::to_owned).into());
        let mut problems = Vec::new();
        if codings.is_empty() {
            problems.push(Problem::at("/codings", "at least one of br, zstd and gzip"));
        }
        for (at, name) in types.iter().enumerate().filter(|(_, name)| !name.contains('/') || name.contains(';')) {
            problems.push(Problem::at(format!("/types/{at}"), format!("a media type such as `text/html`, not `{name}`")));
        }
        let types = types.iter().map(|name| name.to_ascii_lowercase()).collect();
        if problems.is_empty() { Ok(Self { codings, level, min_length: min_length.into(), types }) } else { Err(problems) }
    }

    #[interest(exchange, headers = ["accept-encoding"])]
    fn on_request(&self, request: &Request, _: &mut RequestEdits) {
        let accepted = Accepted::of(request.header_lines("accept-encoding"));
        exchange::keep(request.exchange(), Wanted(accepted.best(&self.codings)));
    }

    #[interest(headers = ["content-type", "content-encoding", "content-range", "cache-control", "etag", "vary"])]
    fn on_response_body(&self, response: &ResponseBegin, edit: &mut Edits) -> Option<ResponseBody> {
        if !self.is_worth_it(response) {
            return None;
        }
        // Also where this client takes none: another may get the answer from a cache.
        let varies = response.header_lines("vary").flat_map(|line| line.split(|byte| *byte == b','));
        if !varies.map(<[u8]>::trim_ascii).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")) {
            edit.append_header("vary", "accept-encoding");
        }
        let Wanted(coding) = exchange::take(response.exchange())?;
        let coding = coding?;
        edit.set_header("content-encoding", coding.name());
        // Ranges and digests are of the bytes that the origin has.
        for gone in ["accept-ranges", "content-md5", "digest", "content-digest"] {
            edit.remove_header(gone);
        }
        if let Some(tag) = response.header("etag").filter(|tag| !tag.starts_with(b"W/")) {
            edit.set_header("etag", [b"W/", tag].concat());
        }
        Some(ResponseBody::transform(Coder::new(coding, self.level, response.body_length())))
    }

    fn is_worth_it(&self, response: &ResponseBegin) -> bool {
        let no_transform =
            |line: &[u8]| line.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-transform"));
        let kind = response.header_str("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let fits = |name: &String| match name.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => *name == kind,
        };
        response.status() != 206
            && response.header("content-encoding").is_none()
            && response.header("content-range").is_none()
            && response.body_length().is_none_or(|length| length >= self.min_length)
            && !response.header_lines("cache-control").any(no_transform)
            && self.types.iter().any(fits)
    }
}

#[cfg(test)]
mod tests;
