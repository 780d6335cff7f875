//! `[admin]`: addresses, and a token wherever others than this machine can come.

use super::Context;
use super::inbound;
use super::listen;
use super::reader::Reader;
use super::tcp::Written;
use crate::config::source::Span;
use crate::config::{AdminSpec, Code, Diagnostic, ListenAddress, ListenSpec, Secret, keys};

/// Characters of a token: fewer can be guessed. 16 of base64 are 96 bits.
const SHORTEST: usize = 16;

/// `listen` and `tcp`: what else is listened on.
pub fn read(context: &Context<'_>, root: &Reader<'_, '_>, listen: &ListenSpec, tcp: &[Written]) -> Option<AdminSpec> {
    let reader = root.open_key("admin", &keys::ADMIN)?;
    let token = token(context, &reader);
    let written = reader.list("listen", |text| Ok(text.to_owned()))?;
    let mut addresses: Vec<(ListenAddress, Span)> = Vec::new();
    for (text, span) in written {
        for address in inbound::addresses(context, &text, span).unwrap_or_default() {
            meets(context, (&address, span), listen, tcp, &addresses);
            addresses.push((address, span));
        }
    }
    if let Some((address, span)) = addresses.iter().find(|(address, _)| !is_private(address))
        && reader.entry("token").is_none()
    {
        let message = format!("others than this machine can come to {address}, so `token` is needed");
        let found = Diagnostic::error(Code::Missing, context.place(*span), message);
        context
            .report(found.help("for example: token = { env = \"ADMIN_TOKEN\" }").help("or listen on 127.0.0.1, [::1] or unix:/path only"));
    }
    let listen = addresses.into_iter().map(|(address, span)| (address, context.location(span))).collect();
    Some(AdminSpec { listen, token })
}

fn token(context: &Context<'_>, reader: &Reader<'_, '_>) -> Option<Secret> {
    let entry = reader.entry("token")?;
    let text = super::json::secret(context, reader, entry)?;
    let sound = text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound {
        let found = Diagnostic::error(
            Code::BadValue,
            context.place(entry.value.span),
            format!("the token has fewer than {SHORTEST} characters, or others than visible ASCII"),
        );
        context.report(found.help("make one with: openssl rand -base64 24"));
        return None;
    }
    Some(Secret(text))
}

/// Whether only this machine's processes can come. Whose, on a Unix socket, its permissions say.
fn is_private(address: &ListenAddress) -> bool {
    address.ip().is_none_or(|address| address.ip().to_canonical().is_loopback())
}

fn meets(
    context: &Context<'_>,
    (address, span): (&ListenAddress, Span),
    listen: &ListenSpec,
    tcp: &[Written],
    earlier: &[(ListenAddress, Span)],
) {
    let sites = listen.https.iter().chain(&listen.http).map(|(other, at)| (other, at.clone()));
    let tcp = tcp.iter().flat_map(|written| written.spec.addresses.iter().map(|other| (other, Some(written.spec.at.clone()))));
    let own = earlier.iter().map(|(other, span)| (other, Some(context.location(*span))));
    let Some((other, at)) = sites.chain(tcp).chain(own).find(|(other, _)| listen::meet(other, address)) else { return };
    let mut found = Diagnostic::error(Code::ListenersOverlap, context.place(span), format!("{other} is listened on too"));
    match at {
        Some(at) => found = found.note(at.into(), "the other one"),
        None => found = found.help("that one is a default; it can be changed in [listen]"),
    }
    context.report(found);
}
