//! `[trust]` and what a plugin says of its origin: whose signature is wanted, and which artefact of a registry.

use super::Location;
use super::forms::{self, Wrong};
use data_encoding::BASE64;
use std::fmt;
use std::path::PathBuf;

/// A key that may sign plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// As in `[trust] keys`; keys written where they are used have none.
    pub name: Option<String>,
    pub kept: KeptKey,
    pub at: Location,
}

/// Where a minisign public key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptKey {
    /// In the configuration, in base64. Of the right length and algorithm.
    Here(String),
    /// A file as `minisign -G` writes it. Read when plugins are loaded.
    File(PathBuf),
}

impl SigningKey {
    /// As given on a command line: the key itself, or a file with it.
    pub fn given(text: &str) -> Self {
        let kept = public_key(text).map_or_else(|_| KeptKey::File(text.into()), KeptKey::Here);
        Self { name: None, kept, at: Location { file: "".into(), line: 1, column: 1 } }
    }
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.kept) {
            (Some(name), _) => f.write_str(name),
            (None, KeptKey::Here(key)) => f.write_str(key),
            (None, KeptKey::File(path)) => write!(f, "{}", path.display()),
        }
    }
}

/// A minisign public key: two bytes of algorithm, eight of the key's number, 32 of the key.
pub fn public_key(text: &str) -> Result<String, Wrong> {
    const LENGTH: usize = 42;
    let wrong = |message: &str| Wrong::whole(text, message).help("for example: RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3");
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| wrong("a minisign public key is base64, the second line of a .pub file"))?;
    match bytes.get(..2) {
        Some(b"Ed" | b"ED") if bytes.len() == LENGTH => Ok(text.to_owned()),
        _ => Err(wrong("not a minisign public key (ed25519)")),
    }
}

/// An artefact in a registry: `oci://registry/repository@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Without TLS because it is written so (`oci+http://`).
    pub plain: bool,
    /// With its port, if it has one.
    pub registry: String,
    pub repository: String,
    /// What people call it today.
    pub tag: Option<String>,
    pub digest: Option<[u8; 32]>,
}

impl Reference {
    /// Whether a text is meant to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("oci:") || text.starts_with("oci+http:")
    }

    /// Reads one, with or without tag and digest.
    ///
    /// # Errors
    /// What is wrong in it, and where.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let shape =
            || Wrong::whole(text, "not an artefact in a registry").help("for example: oci://registry.example.com/plugins/jwt@sha256:…");
        let plain = text.starts_with("oci+http://");
        let rest = text.strip_prefix(if plain { "oci+http://" } else { "oci://" }).ok_or_else(shape)?;
        let start = text.len() - rest.len();
        let (name, digest) = match rest.split_once('@') {
            None => (rest, None),
            Some((name, digest)) => (name, Some(digest_of(digest, start + name.len() + 1)?)),
        };
        let (registry, path) = name.split_once('/').ok_or_else(shape)?;
        let (repository, tag) = match path.rsplit_once(':') {
            None => (path, None),
            Some((repository, tag)) => (repository, Some(tag)),
        };
        if registry.is_empty() || !registry.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) {
            return Err(
                Wrong::at(start..start + registry.len(), "not the name of a registry").help("for example: registry.example.com:5000")
            );
        }
        let at = start + registry.len() + 1;
        let part = |part: &str| {
            part.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
        };
        if repository.len() > 255 || !repository.split('/').all(part) {
            let wrong = Wrong::at(at..at + repository.len(), "not a repository");
            return Err(wrong.help("lower-case letters, digits, `-`, `_`, `.`, and `/` between parts"));
        }
        if let Some(tag) = tag {
            let at = at + repository.len() + 1;
            let fits = !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            if !fits || tag.starts_with(['-', '.']) {
                return Err(Wrong::at(at..at + tag.len(), "not a tag"));
            }
        }
        Ok(Self { plain, registry: registry.to_owned(), repository: repository.to_owned(), tag: tag.map(str::to_owned), digest })
    }

    /// Whether it is spoken to without TLS: only where it is written so, or where nobody can listen in.
    pub fn in_the_clear(&self) -> bool {
        let host = self
            .registry
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(&*self.registry, |(host, _)| host);
        let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        self.plain || host == "localhost" || address.is_some_and(|ip| ip.is_loopback())
    }

    /// The same artefact under its digest.
    #[must_use]
    pub fn pinned(&self, digest: [u8; 32]) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

/// The digest that a configuration must name: a tag can be another file tomorrow.
pub fn pinned_reference(text: &str) -> Result<(Reference, [u8; 32]), Wrong> {
    let reference = Reference::parse(text)?;
    match reference.digest {
        Some(digest) => Ok((reference, digest)),
        None => {
            Err(Wrong::at(text.len()..text.len(), "the digest is missing: what is checked today must be what runs tomorrow, and tags move")
                .help(format!("`portcullis plugin fetch {text}` says which digest it has now")))
        }
    }
}

fn digest_of(text: &str, at: usize) -> Result<[u8; 32], Wrong> {
    let Some(hex) = text.strip_prefix("sha256:") else {
        return Err(Wrong::at(at..at + text.len(), "not a digest").help("for example: sha256:9c82… (64 hexadecimal digits)"));
    };
    let skipped = at + text.len() - hex.len();
    forms::sha256(hex).map_err(|wrong| Wrong { at: wrong.at.start + skipped..wrong.at.end + skipped, ..wrong })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", if self.plain { "oci+http" } else { "oci" }, self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            f.write_str("@sha256:")?;
            digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let digest = "ab".repeat(32);
        for text in [
            "oci://ghcr.io/acme/jwt".to_owned(),
            "oci://localhost:5000/jwt:1.2".to_owned(),
            format!("oci://127.0.0.1:5000/a/b_c@sha256:{digest}"),
            format!("oci+http://[::1]:5000/a:v1@sha256:{digest}"),
        ] {
            let reference = Reference::parse(&text).expect(&text);
            assert_eq!(reference.to_string(), text);
            assert_eq!(pinned_reference(&text).is_ok(), text.contains('@'));
        }
        for (text, at) in [
            ("oci:ghcr.io/a", 0..13),
            ("oci://ghcr.io", 0..13),
            ("oci:///a", 6..6),
            ("oci://g h/a", 6..9),
            ("oci://g/A", 8..9),
            ("oci://g/a//b", 8..12),
            ("oci://g/a:", 10..10),
            ("oci://g/a@sha512:00", 10..19),
            ("oci://g/a@sha256:0x", 18..19),
        ] {
            assert_eq!(Reference::parse(text).expect_err(text).at, at, "{text}");
        }
    }

    #[test]
    fn only_loopback_is_spoken_to_in_the_clear_unasked() {
        for (text, clear) in [
            ("oci://localhost/a", true),
            ("oci://127.0.0.1:5000/a", true),
            ("oci://[::1]:5000/a", true),
            ("oci://localhost.example.com/a", false),
            ("oci://10.0.0.1:5000/a", false),
            ("oci+http://10.0.0.1:5000/a", true),
        ] {
            assert_eq!(Reference::parse(text).expect(text).in_the_clear(), clear, "{text}");
        }
    }

    #[test]
    fn keys() {
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        assert_eq!(public_key(key).expect("fine"), key);
        for text in ["", "RWQ", "ä", &key.replace("RWQ", "AWQ"), &key[4..]] {
            assert!(public_key(text).is_err(), "{text}");
        }
    }
}
