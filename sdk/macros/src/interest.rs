//! `#[interest(…)]` on a phase: what it wants to see, checked as far as the compiler can.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token, bracketed};

/// Of the request's head; the response's status is always there.
const FIELDS: [&str; 5] = ["method", "scheme", "authority", "path", "query"];

/// Of connections, by phase.
const OF_CONNECTIONS: [(&str, &[&str]); 3] = [
    ("accept", &["peer", "local", "connection"]),
    ("client_hello", &["sni", "alpn", "versions", "ciphers", "ja4", "raw", "connection"]),
    ("close", &["peer", "bytes", "duration", "reason", "connection"]),
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
}

impl Parse for Interest {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut interest = Self::default();
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            if input.peek(Token![=]) {
                input.parse::<Token![=]>()?;
                let names = list(input)?;
                match &*word.to_string() {
                    "headers" => interest.headers.extend(names),
                    "attributes" => interest.attributes.extend(names),
                    other => {
                        return Err(Error::new(
                            word.span(),
                            format!("no `{other} = …` here; there are `headers = [\"…\"]` and `attributes = [\"…\"]`"),
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

fn list(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    let inner;
    bracketed!(inner in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated_with(&inner, |input| input.parse())?.into_iter().collect())
}

impl Interest {
    /// Calls on `plan` that ask for it, in `phase`, as `Plan` names it.
    pub(crate) fn ask(&self, phase: &str) -> Result<TokenStream> {
        let mut calls = TokenStream::new();
        let of_connections = OF_CONNECTIONS.iter().find(|(of, _)| *of == phase).map(|(_, words)| *words);
        if let (Some(words), Some(header)) = (of_connections, self.headers.first()) {
            let message = format!("connections have no header fields; there are: {}, attributes = […]", words.join(", "));
            return Err(Error::new(header.span(), message));
        }
        for word in &self.words {
            let name = word.to_string();
            if let Some(words) = of_connections {
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
