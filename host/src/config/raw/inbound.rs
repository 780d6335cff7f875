//! Where connections come from: listeners' addresses, and peers that something is granted to.

use super::Context;
use super::reader::Reader;
use crate::config::source::Span;
use crate::config::{Code, Diagnostic, ListenAddress, Peers, forms, keys};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a path of a Unix socket may have: `sun_path` less its end (unix(7)).
const LONGEST_PATH: usize = 107;

/// The addresses in one text; a socket's path is relative to the file that names it.
pub fn addresses(context: &Context<'_>, text: &str, span: Span) -> Option<Vec<ListenAddress>> {
    let addresses = context.form(text, span, forms::listen_addresses)?;
    let located = |address| match address {
        ListenAddress::Unix { path, mode } => socket(context, &path, span).map(|path| ListenAddress::Unix { path, mode }),
        address => Some(address),
    };
    addresses.into_iter().map(located).collect()
}

/// A socket's path, relative to the file that names it.
pub fn socket(context: &Context<'_>, path: &Path, span: Span) -> Option<PathBuf> {
    let path = context.sources.resolve(span.file, &path.to_string_lossy());
    if path.as_os_str().as_bytes().len() > LONGEST_PATH {
        return context.error(Code::BadValue, span, format!("the path of a socket has at most {LONGEST_PATH} bytes"));
    }
    Some(path)
}

/// `accept = { proxy-protocol = […] }` of a listener.
pub fn accept(context: &Context<'_>, listener: &Reader<'_, '_>) -> Peers {
    let Some(reader) = listener.open_key("accept", &keys::ACCEPT) else { return Peers::default() };
    peers(context, &reader, "proxy-protocol", "say in a PROXY header who it is", "name the networks of your load balancers only")
}

/// Networks and `unix`. `may`: what they may do, for the warning if everybody may.
pub fn peers(context: &Context<'_>, reader: &Reader<'_, '_>, key: &str, may: &str, help: &str) -> Peers {
    let mut peers = Peers::default();
    for (peer, span) in reader.list(key, forms::peer).unwrap_or_default() {
        match peer {
            forms::Peer::Unix => peers.unix = true,
            forms::Peer::Network(network) => {
                if network.prefix_len() == 0 {
                    let message = format!("with {network} every client is trusted to {may}");
                    context.report(Diagnostic::warning(Code::TrustsAll, context.place(span), message).help(help));
                }
                peers.networks.push(network);
            }
        }
    }
    peers
}
