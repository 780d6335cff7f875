//! `#[interest(…)]` on a phase: what it wants to see, checked as far as the compiler can.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, ImplItemFn, LitInt, LitStr, Result, Token, bracketed};

/// Of the request's head; the response's status is always there.
const FIELDS: [&str; 5] = ["method", "scheme", "authority", "path", "query"];

/// Of connections and of the way to upstreams, by phase.
const BY_PHASE: [(&str, &[&str]); 6] = [
    ("accept", &["peer", "local", "connection"]),
    ("client_hello", &["sni", "alpn", "versions", "ciphers", "ja4", "raw", "connection"]),
    ("close", &["peer", "bytes", "duration", "reason", "connection"]),
    ("balance", &["upstream", "method", "path", "address", "weight", "tags", "load", "exchange"]),
    ("attempt", &["server", "reason", "candidates", "exchange"]),
    ("done", &["upstream", "server", "reason", "times", "bytes", "exchange"]),
];

/// Never shown to plugins (`wit/types.wit`, `header`).
const HIDDEN: [&str; 9] =
    ["connection", "transfer-encoding", "content-length", "keep-alive", "te", "trailer", "upgrade", "proxy-connection", "host"];

/// One `#[interest(…)]`.
#[derive(Default)]
pub(crate) struct Interest {
    words: Vec<Ident>,
    headers: Vec<LitStr>,
    attributes: Vec<LitStr>,
    /// Of `on_attempt`.
    statuses: Vec<LitInt>,
    /// Of `on_tick`.
    every: Option<LitStr>,
}

impl Parse for Interest {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut interest = Self::default();
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            if input.peek(Token![=]) {
                input.parse::<Token![=]>()?;
                match &*word.to_string() {
                    "headers" => interest.headers.extend(list(input)?),
                    "attributes" => interest.attributes.extend(list(input)?),
                    "statuses" => interest.statuses.extend(list(input)?),
                    "every" => interest.every = Some(input.parse()?),
                    other => {
                        return Err(Error::new(
                            word.span(),
                            format!(
                                "no `{other} = …` here; there are `headers = [\"…\"]`, `attributes = [\"…\"]`, `statuses = [503]` and `every = \"10s\"`"
                            ),
                        ));
                    }
                }
            } else {
                interest.words.push(word);
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(interest)
    }
}

fn list<T: Parse>(input: ParseStream<'_>) -> Result<Vec<T>> {
    let inner;
    bracketed!(inner in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated_with(&inner, |input| input.parse())?.into_iter().collect())
}

impl Interest {
    /// Calls on `plan` that ask for it, in `phase`, as `Plan` names it.
    pub(crate) fn ask(&self, phase: &str) -> Result<TokenStream> {
        let mut calls = TokenStream::new();
        let by_phase = BY_PHASE.iter().find(|(of, _)| *of == phase).map(|(_, words)| *words);
        if let (Some(words), Some(header)) = (by_phase.filter(|_| phase != "balance"), self.headers.first()) {
            let message = format!("there are no header fields here; there are: {}, attributes = […]", words.join(", "));
            return Err(Error::new(header.span(), message));
        }
        if let (Some(status), true) = (self.statuses.first(), phase != "attempt") {
            return Err(Error::new(status.span(), "`statuses` belongs to `on_attempt`"));
        }
        if let Some(every) = &self.every {
            return Err(Error::new(every.span(), "`every` belongs to `on_tick`"));
        }
        for status in &self.statuses {
            if !status.base10_parse::<u16>().is_ok_and(|status| (200..600).contains(&status)) {
                return Err(Error::new(status.span(), "not the status of a response: 200 to 599"));
            }
            calls.extend(quote!(interest.status(#status);));
        }
        for word in &self.words {
            let name = word.to_string();
            if let Some(words) = by_phase {
                if !words.contains(&&*name) {
                    let message = format!("`{name}` cannot be asked for; there are: {}, attributes = […]", words.join(", "));
                    return Err(Error::new(word.span(), message));
                }
                calls.extend(quote!(interest.#word();));
                continue;
            }
            let known = ["exchange", "all_headers"].contains(&&*name) || (of_request(phase) && FIELDS.contains(&&*name));
            if !known {
                return Err(Error::new(word.span(), unknown(&name, phase)));
            }
            calls.extend(quote!(interest.#word();));
        }
        for header in &self.headers {
            check_header(&header.value(), header.span())?;
            calls.extend(quote!(interest.header(#header);));
        }
        for attribute in &self.attributes {
            calls.extend(quote!(interest.attribute(#attribute);));
        }
        Ok(calls)
    }
}

fn of_request(phase: &str) -> bool {
    matches!(phase, "request" | "request_body")
}

impl Interest {
    /// Of `on_tick`: its interval in milliseconds. `None`: the plugin's own `plan` says.
    pub(crate) fn every(&self, method: &ImplItemFn, planned: bool) -> Result<Option<u64>> {
        let others = self.headers.first().or(self.attributes.first()).map(LitStr::span);
        let others = others.or(self.words.first().map(Ident::span)).or(self.statuses.first().map(LitInt::span));
        if let Some(other) = others {
            return Err(Error::new(other, "a tick has nothing to ask for but `every = \"10s\"`"));
        }
        let Some(every) = &self.every else {
            let message = "how often? #[interest(every = \"10s\")], or `plan.tick(…)` in a method `plan`";
            return if planned { Ok(None) } else { Err(Error::new(method.sig.ident.span(), message)) };
        };
        match milliseconds(&every.value()) {
            Some(millis @ 100..=86_400_000) => Ok(Some(millis)),
            Some(_) => Err(Error::new(every.span(), "100ms to 24h")),
            None => Err(Error::new(every.span(), "not a duration: a whole number with ms, s, m or h")),
        }
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn unknown(name: &str, phase: &str) -> String {
    match (name, phase) {
        ("status", _) => "the status is always there, it need not be asked for".to_owned(),
        (name, "response" | "response_body") if FIELDS.contains(&name) => {
            format!("a response has no {name}; ask for the request's with attributes = [\"request.{name}\"]")
        }
        (_, "response" | "response_body") => {
            format!("`{name}` cannot be asked for; there are: exchange, all_headers, headers = […], attributes = […]")
        }
        _ => format!(
            "`{name}` cannot be asked for; there are: {}, exchange, all_headers, headers = […], attributes = […]",
            FIELDS.join(", ")
        ),
    }
}

fn check_header(name: &str, span: Span) -> Result<()> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Error::new(span, format!("names of header fields are in lower case: \"{}\"", name.to_ascii_lowercase())));
    }
    if name == "host" {
        return Err(Error::new(span, "`host` is not among the header fields; ask for `authority`"));
    }
    if HIDDEN.contains(&name) {
        return Err(Error::new(span, format!("`{name}` belongs to the connection and is never shown to plugins")));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
        return Err(Error::new(span, "not a header field name (RFC 9110, section 5.1)"));
    }
    Ok(())
}
