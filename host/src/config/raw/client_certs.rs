//! `tls = { …, client = { ca, crl, require, forward } }`: which clients a site or a TCP listener takes. The same for every kind of `tls`
//! table.

use super::Context;
use super::node::Value;
use super::reader::Reader;
use crate::config::keys::Keys;
use crate::config::{ClientCertForward, ClientCertSpec};

/// `of` is the table of the site or listener; `keys` are those that can stand there.
pub fn read(context: &Context<'_>, of: &Reader<'_, '_>, keys: &'static Keys) -> Option<ClientCertSpec> {
    let Value::Table(tls) = &of.get("tls")?.value else { return None };
    let node = &tls.get("client")?.value;
    let table = Reader::open(context, node, keys, of.below("tls") + ".client")?;
    let path = |key: &str| table.string(key).map(|(path, span)| (context.sources.resolve(span.file, path), context.location(span)));
    let (ca, crl) = (path("ca"), path("crl"));
    let require = table.truth("require").unwrap_or(true);
    let forward = table.choice("forward").map(|choice| match choice {
        0 => ClientCertForward::Rfc9440,
        _ => ClientCertForward::Xfcc,
    });
    let (ca, ca_at) = ca?;
    Some(ClientCertSpec { ca, ca_at, crl, require, forward })
}
