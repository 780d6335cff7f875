//! The stable codes of what can be wrong with a configuration. One table; `portcullis check`, the golden files and the book use it.

use serde::Serialize;
use std::fmt;

macro_rules! codes {
    ($($number:literal $name:ident $title:literal $explanation:literal)*) => {
        /// What is wrong. Numbers never change their meaning and are never used again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $explanation] $name = $number),* }

        impl Code {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// A few words, for lists.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// What it means and what to do.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation),* }
            }
        }
    };
}

codes! {
    1 Syntax "not TOML" "The file breaks the syntax of TOML. Only the first such place of a file is shown, since one mistake makes many."
    2 WrongType "wrong type" "The value has another type than the key wants; an example of a right one is shown."
    3 UnknownKey "unknown key" "No such key here. The nearest one and all keys of the place are shown."
    4 Duplicate "duplicate" "The same key or table is written twice."
    5 BadValue "bad value" "The text is not what the key wants: a duration, size, rate, address, network, regular expression, name … The place inside the text is shown."
    6 NotYet "not in this version" "A key or value of a later version. It is refused rather than ignored."
    7 Unreadable "file cannot be read" "A configuration file, or one that `include` names, cannot be read."
    8 Missing "something is missing" "A key or table without which the rest means nothing."
    9 Conflict "contradiction" "Two settings exclude each other, or one needs another that is not there."
    10 SiteTwice "two sites claim one name" "Names are compared in lower case and without a trailing dot."
    11 RouteShadowed "route can never match" "Another route of the site takes every request that this one could match (Gateway API precedence)."
    12 Undefined "undefined name" "No upstream, plugin or chain of this name is declared."
    13 ChainLoop "chain refers to itself" "A named chain contains itself, directly or through others."
    14 WithoutNothing "`without` removes nothing" "No inherited link has this name. Links are called by `as`, else by their plugin's name."
    20 KeyMismatch "key and certificate differ" "The private key does not belong to the first certificate of the file."
    21 NotCovered "certificate does not cover the name" "No subject alternative name of the certificate fits the site's name."
    22 Expired "certificate expired or ends soon" "An error once it has expired, a warning in the last days before."
    23 CaEmpty "no CA certificate, or no revocation list" "The file of trusted certificates holds none, or one that is no CA; the system has none to trust; or the file of revocation lists holds none."
    24 PlainSecret "secret in plain text" "A key that looks like a secret has a literal value; write { env = \"NAME\" } or { file = \"/run/secrets/name\" }."
    25 CertificateUnreadable "certificate or key cannot be read" "The PEM file is missing, not readable, or holds no certificate or key."
    26 SecretMissing "secret cannot be read" "The environment variable is not set, or the file cannot be read."
    27 LocalCa "local CA cannot be used" "The state directory, the local CA in it, or a leaf it should make cannot be read or written."
    28 AcmeState "ACME cannot be prepared" "The state directory for ACME accounts and certificates, or the CA file that `ca` names, cannot be used."
    29 TicketKeys "ticket keys cannot be used" "The directory in `ticket-keys`, or a key in it, cannot be read or written, or is open to others than its owner."
    30 PluginUnreadable "component cannot be read" "The file is missing, is no component for portcullis:plugin, or its SHA-256 differs from the pin."
    31 NotGranted "import not granted" "The component imports something that `allow` does not grant or that this version does not know."
    32 SettingsRefused "plugin refused its settings" "The settings break the schema that the component declares, or its `configure` found a problem in them."
    33 PhaseMissing "plugin lacks the phase" "The component exports no phase that this place in the configuration needs."
    34 StoreUnusable "store cannot be used" "The address of a store is none that a server can have."
    35 Unsigned "signature is missing or wrong" "The plugin has no signature by a key that is trusted for it, or a key or signature cannot be read."
    36 Unfetched "plugin is not here" "The registry cannot be reached or does not have it, or what it sent is not what the digest promises. `check` asks no registry, and warns of what is not in the state directory yet."
    40 PortTaken "port taken or privileged" "The address cannot be bound."
    41 ListenersOverlap "two listeners overlap" "Two addresses would receive the same connections."
    42 Unreachable "server cannot be reached" "A server of an upstream does not take connections, or no TLS session with it comes about. Found by `check --online`."
    43 PeerRefused "server's certificate is refused" "The certificate of an upstream's server is not to be trusted for it. Found by `check --online`."
    50 StripMismatch "`strip` is not a prefix of the route" "Only a part of the path that every request of the route begins with can be stripped."
    52 PerTryTooLong "one try may take longer than all" "`per-try` of `retry` is longer than the exchange may take as a whole."
    53 TrustsAll "everybody is trusted" "With 0.0.0.0/0 or ::/0 any client can claim any address in X-Forwarded-For."
    54 Unverified "server is not verified" "With verify = false anybody on the way to the upstream can take its place."
    55 FaultsInjected "faults are injected" "A route has `fault`, so that some requests are delayed or refused on purpose: right in a test, and rarely elsewhere."
    60 Unused "declared but not used" "Nothing refers to it."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:03}", *self as u16)
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_sorted() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Code::UnknownKey.to_string(), "E003");
    }
}
