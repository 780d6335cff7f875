//! `[acme]` and `tls = { acme = { … } }`: the server's settings, and those of a site or a TCP listener over them.

use super::Context;
use super::json;
use super::reader::Reader;
use crate::config::diagnostic::Place;
use crate::config::forms::Wrong;
use crate::config::source::Span;
use crate::config::{AcmeChallenge, AcmeEab, AcmeIssuer, AcmeSpec, Code, Diagnostic, SiteName, TlsSpec, keys};

/// `[acme]` over the built-in settings.
pub fn defaults(context: &Context<'_>, root: &Reader<'_, '_>) -> AcmeIssuer {
    match root.open_key("acme", &keys::ACME) {
        Some(reader) => issuer(context, &reader, AcmeIssuer::default()),
        None => AcmeIssuer::default(),
    }
}

/// `tls = { acme = { … } }`; `tls` is the table that has the key.
pub fn long(context: &Context<'_>, tls: &Reader<'_, '_>, defaults: &AcmeIssuer, name: Option<&SiteName>) -> Option<TlsSpec> {
    let at = tls.entry("acme")?.key_span;
    let (spec, _) = unchecked(context, tls, &keys::SITE_ACME, defaults)?;
    let place = context.place(at);
    is_orderable(context, name?, &place, &spec).then_some(TlsSpec::Acme(spec))
}

/// What is written in the `acme` of a `tls` table, and whether that says how names are proved. Which names they are is not looked at.
pub fn unchecked(
    context: &Context<'_>,
    tls: &Reader<'_, '_>,
    keys: &'static keys::Keys,
    defaults: &AcmeIssuer,
) -> Option<(AcmeSpec, bool)> {
    let at = tls.entry("acme")?.key_span;
    let reader = tls.open_key("acme", keys)?;
    let challenge = reader.choice("challenge");
    let issuer = issuer(context, &reader, defaults.clone());
    let proved = if challenge == Some(1) { AcmeChallenge::TlsAlpn01 } else { AcmeChallenge::Http01 };
    Some((AcmeSpec { challenge: proved, issuer, at: context.location(at) }, challenge.is_some()))
}

/// `tls = "acme"`, or no `tls` at all.
pub fn short(context: &Context<'_>, span: Span, defaults: &AcmeIssuer, name: &SiteName) -> Option<TlsSpec> {
    let spec = AcmeSpec { challenge: AcmeChallenge::default(), issuer: defaults.clone(), at: context.location(span) };
    let place = context.place(span);
    is_orderable(context, name, &place, &spec).then_some(TlsSpec::Acme(spec))
}

/// What is written in `reader`, over `base`. An account and roots belong to a directory: with another one, `base`'s do not hold.
fn issuer(context: &Context<'_>, reader: &Reader<'_, '_>, base: AcmeIssuer) -> AcmeIssuer {
    let mut issuer = base;
    if let Some(url) = reader.form("directory", directory)
        && url != issuer.directory
    {
        issuer = AcmeIssuer { directory: url, contact: issuer.contact, eab: None, ca: None };
    }
    if let Some(contact) = reader.list("contact", mailbox) {
        issuer.contact = contact.into_iter().map(|(address, _)| address).collect();
    }
    if let Some((path, span)) = reader.string("ca") {
        issuer.ca = Some((context.sources.resolve(span.file, path), context.location(span)));
    }
    if let Some(table) = reader.open_key("eab", &keys::ACME_EAB) {
        issuer.eab = eab(context, &table);
    }
    issuer
}

fn eab(context: &Context<'_>, table: &Reader<'_, '_>) -> Option<AcmeEab> {
    let (kid, _) = table.string("kid")?;
    let entry = table.entry("key")?;
    let secret = json::secret(context, table, entry)?;
    // CAs print base64url without padding; some tools add it, or use the other alphabet.
    let plain: String = secret.trim().trim_end_matches('=').chars().map(url_safe).collect();
    match data_encoding::BASE64URL_NOPAD.decode(plain.as_bytes()) {
        Ok(key) if !key.is_empty() => Some(AcmeEab { kid: kid.to_owned(), key }),
        _ => context.error(Code::BadValue, entry.value.span, "the key for external account binding is not base64url"),
    }
}

const fn url_safe(c: char) -> char {
    match c {
        '+' => '-',
        '/' => '_',
        other => other,
    }
}

/// A name that no CA would prove this way is refused here rather than by the CA, again and again.
pub fn is_orderable(context: &Context<'_>, name: &SiteName, place: &Place, spec: &AcmeSpec) -> bool {
    let refuse = |why: String, help: &str| {
        let found = Diagnostic::error(Code::Conflict, place.clone(), why);
        context.report(found.help(help));
        false
    };
    const OWN: &str = "use tls = { cert = \"….pem\", key = \"….key\" }, or \"local\" for the local CA";
    let lets_encrypt = matches!(&*spec.issuer.directory, AcmeIssuer::PRODUCTION | AcmeIssuer::STAGING);
    match name {
        SiteName::Any => refuse("ACME needs a name, and site `*` has none".into(), OWN),
        SiteName::Wildcard(suffix) => {
            refuse(format!("ACME for `*.{suffix}` needs the challenge dns-01, which Portcullis does not have"), OWN)
        }
        SiteName::Exact(host) if name.is_address() => refuse(format!("ACME certifies names, and `{host}` is an address"), OWN),
        SiteName::Exact(host) if lets_encrypt && name.is_local() => {
            let why = format!("no public CA certifies `{host}`, and this directory is Let's Encrypt's");
            refuse(why, "use \"local\", or name your own CA: [acme] directory = \"https://…\"")
        }
        SiteName::Exact(_) => true,
    }
}

/// `"production"`, `"staging"`, or an https URL.
fn directory(text: &str) -> Result<String, Wrong> {
    match text {
        "production" => return Ok(AcmeIssuer::PRODUCTION.into()),
        "staging" => return Ok(AcmeIssuer::STAGING.into()),
        _ => {}
    }
    let help = "for example: \"https://acme.example.com/directory\", \"production\" or \"staging\"";
    match text.parse::<http::Uri>() {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty()) => Ok(text.to_owned()),
        Ok(uri) if uri.scheme_str() == Some("http") => Err(Wrong::at(0..4, "ACME is only spoken over https").help(help)),
        _ => Err(Wrong::whole(text, "not an https URL").help(help)),
    }
}

fn mailbox(text: &str) -> Result<String, Wrong> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let plain =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | ',' | '?'));
    match address.split_once('@') {
        Some((local, domain)) if plain(local) && plain(domain) => Ok(address.to_owned()),
        _ => Err(Wrong::whole(text, "not an e-mail address").help("for example: \"ops@example.com\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_mailboxes() {
        assert_eq!(directory("staging").expect("fine"), AcmeIssuer::STAGING);
        assert!(directory("https://127.0.0.1:14000/dir").is_ok());
        assert_eq!(directory("http://a/dir").expect_err("in the clear").at, 0..4);
        assert!(directory("stagin").is_err() && directory("https://").is_err() && directory("").is_err());
        assert_eq!(mailbox("mailto:a@b.c").expect("fine"), "a@b.c");
        assert!(mailbox("a").is_err() && mailbox("a b@c").is_err() && mailbox("a@b,c@d").is_err());
    }
}
