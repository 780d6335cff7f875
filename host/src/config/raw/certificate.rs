//! Where a certificate comes from, in the long form: the operator's files, `local = true` or `acme`. The same for sites and TCP listeners.

use super::Context;
use super::reader::Reader;
use crate::config::{CertifiedFiles, Code, TlsSpec};

/// `table` is the `tls` table; `acme` reads what stands in its `acme`.
pub fn long(context: &Context<'_>, table: &Reader<'_, '_>, acme: impl FnOnce() -> Option<TlsSpec>) -> Option<TlsSpec> {
    let local = table.truth("local") == Some(true);
    let (chosen, others): (_, &[&str]) = match table.entry("acme") {
        Some(_) => ("acme", &["cert", "key", "ocsp", "local"]),
        None if local => ("local", &["cert", "key", "ocsp"]),
        None => return files(context, table),
    };
    for key in others {
        if let Some(entry) = table.entry(key) {
            let message = format!("`{key}` and `{chosen}` exclude each other");
            context.error::<()>(Code::Conflict, entry.key_span, message);
        }
    }
    if local { Some(TlsSpec::Local) } else { acme() }
}

fn files(context: &Context<'_>, table: &Reader<'_, '_>) -> Option<TlsSpec> {
    table.needs(&["cert", "key"]);
    let path = |key: &str| table.string(key).map(|(path, span)| (context.sources.resolve(span.file, path), span));
    let (cert, key, ocsp) = (path("cert"), path("key"), path("ocsp"));
    let (cert, key) = (cert?, key?);
    let (at, key_at) = (context.location(cert.1), context.location(key.1));
    Some(TlsSpec::Files(CertifiedFiles { cert: cert.0, key: key.0, ocsp: ocsp.map(|(path, _)| path), at, key_at }))
}
