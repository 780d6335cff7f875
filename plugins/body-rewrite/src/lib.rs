//! Replaces text in bodies while they pass: what matches is found also where it lies across the borders of pieces.
//!
//! The search for literal texts stands in `literal`, that for regular expressions in `pattern`; `rewriter` does what both need.
#![cfg_attr(target_family = "wasm", no_std)]

mod literal;
mod pattern;
mod rewriter;

use portcullis_sdk::prelude::*;
use rewriter::{Finder, Rewriter};

/// Replaces text in bodies.
#[settings]
pub struct Settings {
    /// What is replaced: one, or a list of them. Where several match at one place, the first of the list does.
    replace: OneOrMany<Replacement>,
    /// Which bodies.
    #[setting(default)]
    of: Of,
    /// Media types of these bodies, without parameters; `text/*` stands for all of text.
    #[setting(default)]
    types: Option<Vec<String>>,
}

/// One replacement: `text` or `regex`.
#[settings]
pub struct Replacement {
    /// This, byte for byte.
    text: Option<String>,
    /// What this regular expression matches: at most `longest` bytes.
    regex: Option<String>,
    /// What stands in its place; after `regex`, `$1` and `${name}` are groups and `$$` is a dollar sign.
    with: String,
}

/// Bodies of one kind.
#[settings]
#[derive(Default, PartialEq, Eq, Clone, Copy)]
pub enum Of {
    /// On their way to the client.
    #[default]
    Response,
    /// On their way to the upstream.
    Request,
}

pub struct BodyRewrite {
    finder: Rc<Finder>,
    of: Of,
    types: Vec<String>,
}

/// What text is in, as far as browsers and APIs go.
const TYPES: [&str; 6] =
    ["text/*", "application/json", "application/javascript", "application/xml", "application/xhtml+xml", "image/svg+xml"];

#[plugin(name = "body-rewrite", description = "Replaces text in bodies")]
impl BodyRewrite {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let Settings { replace, of, types } = settings;
        let mut problems = Vec::new();
        let finder = Finder::of(&replace, &mut problems);
        let types = types.unwrap_or_else(|| TYPES.map(str::to_owned).into());
        for (at, name) in types.iter().enumerate().filter(|(_, name)| !name.contains('/') || name.contains(';')) {
            problems.push(Problem::at(format!("/types/{at}"), format!("a media type such as `text/html`, not `{name}`")));
        }
        match finder {
            Some(finder) if problems.is_empty() => {
                Ok(Self { finder: Rc::new(finder), of, types: types.iter().map(|name| name.to_ascii_lowercase()).collect() })
            }
            _ => Err(problems),
        }
    }

    fn plan(&self, plan: &mut Plan) {
        match self.of {
            Of::Request => plan.skip_response_body(),
            Of::Response => plan.skip_request_body(),
        }
    }

    #[interest(headers = ["content-type", "content-encoding"])]
    fn on_request_body(&self, request: &RequestBegin, _: &mut RequestEdits) -> Option<RequestBody> {
        self.takes(request).then(|| RequestBody::transform(Rewriter::new(Rc::clone(&self.finder))))
    }

    #[interest(headers = ["content-type", "content-encoding", "content-range", "etag"])]
    fn on_response_body(&self, response: &ResponseBegin, edit: &mut Edits) -> Option<ResponseBody> {
        // A part of a body is of the bytes that the origin counts.
        if !self.takes(response) || response.status() == 206 || response.header("content-range").is_some() {
            return None;
        }
        for gone in ["accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"] {
            edit.remove_header(gone);
        }
        if let Some(tag) = response.header("etag").filter(|tag| !tag.starts_with(b"W/")) {
            edit.set_header("etag", [b"W/", tag].concat());
        }
        Some(ResponseBody::transform(Rewriter::new(Rc::clone(&self.finder))))
    }

    fn takes(&self, fields: &Fields) -> bool {
        let kind = fields.header_str("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let fits = |name: &String| match name.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => *name == kind,
        };
        let plain = fields.header_str("content-encoding").is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
        plain && self.types.iter().any(fits)
    }
}

#[cfg(test)]
mod tests;
