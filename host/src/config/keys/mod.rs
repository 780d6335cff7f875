//! Every key a configuration may have: type, meaning, example. The one description that the decoder (`raw`), the JSON Schema
//! (`schema`) and the lists in error messages share, so that they cannot differ.

mod admin;
mod cases;
mod certificates;
mod chains;
mod observe;
mod outbound;
mod platform;
mod sites;
mod tables;
mod tcp;
mod trust;

pub use admin::*;
pub use cases::*;
pub use certificates::*;
pub use chains::*;
pub use observe::*;
pub use outbound::*;
pub use platform::*;
pub use sites::*;
pub use tables::*;
pub use tcp::*;
pub use trust::*;

/// A table of the configuration.
#[derive(Debug)]
pub struct Keys {
    /// Unique; the name of the definition in the JSON Schema.
    pub name: &'static str,
    pub doc: &'static str,
    pub keys: &'static [Key],
    /// Keys of later versions: refused as such rather than as unknown.
    pub later: &'static [&'static str],
    /// What other keys may hold; `None`: there are no others.
    pub open: Option<&'static Kind>,
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub doc: &'static str,
    /// A value as one would write it.
    pub example: &'static str,
    pub required: bool,
}

/// What a value may be.
#[derive(Debug)]
pub enum Kind {
    Text(&'static Form),
    Choice(&'static [&'static str]),
    /// A whole number within bounds.
    Whole(i64, i64),
    Truth,
    List(&'static Kind),
    Table(&'static Keys),
    Either(&'static [Kind]),
    /// Settings of a plugin: whatever its own schema says.
    Anything,
}

/// A grammar inside a string.
#[derive(Debug)]
pub struct Form {
    /// With article: `a duration`.
    pub name: &'static str,
    /// A regular expression that every right text matches; wrong ones may match too.
    pub pattern: &'static str,
}

pub static TEXT: Form = Form { name: "a string", pattern: "" };
pub static DURATION: Form = Form { name: "a duration", pattern: "^([0-9]+(ms|s|m|h|d))+$" };
pub static SIZE: Form = Form { name: "a size", pattern: "^[0-9]+([KMGT]iB|[kKMG]?B)$" };
pub static RATE: Form = Form { name: "a rate", pattern: "^[0-9]+/[smhd]$" };
pub static PERCENT: Form = Form { name: "a percentage", pattern: "^[0-9]+%$" };
pub static LISTEN: Form = Form { name: "an address with a port", pattern: "^(.*:[0-9]+|unix:.+)$" };
pub static PEER: Form = Form { name: "a network or \"unix\"", pattern: "^(unix|[0-9a-fA-F.:]+(/[0-9]+)?)$" };
pub static SERVER: Form =
    Form { name: "a server as host:port", pattern: "^(.+:[0-9]+|(https|h2|grpcs)://.+|srv\\+https?://_.+|unix:.+|component:.+)$" };
pub static NAMESERVER: Form = Form { name: "an IP address, with or without a port", pattern: "^[0-9a-fA-F.:\\[\\]]+$" };
pub static TAG: Form = Form { name: "a tag", pattern: "^[-_.:=/0-9A-Za-z]{1,64}$" };
pub static RETRY_ON: Form =
    Form { name: "\"connect\", \"reset\", \"timeout\" or a status", pattern: "^(connect|reset|timeout|[45][0-9]{2})$" };
pub static HEALTH: Form = Form {
    name: "\"GET /path every 10s\", \"connect every 10s\" or \"grpc every 10s\"",
    pattern: "^(GET /[^ ]*|connect|grpc( [!-~]+)?)( every [0-9a-z]+)?$",
};
pub static GRPC_SERVICE: Form = Form { name: "the name of a gRPC service", pattern: "^[!-~]*$" };
pub static HASH: Form = Form { name: "\"hash(client.ip)\"", pattern: "^hash\\((client\\.ip|path|header:.+|cookie:.+)\\)$" };
pub static SITE_NAME: Form = Form { name: "a host name, *.name or *", pattern: "^(\\*|(\\*\\.)?[-_.:0-9A-Za-z\\[\\]]+)$" };
pub static HOST: Form = Form { name: "a host name", pattern: "^[-_.:0-9A-Za-z\\[\\]]+$" };
pub static FILE: Form = Form { name: "a path", pattern: "." };
pub static DIRECTORY: Form = Form { name: "an https URL, \"production\" or \"staging\"", pattern: "^(https://.+|production|staging)$" };
pub static MAILBOX: Form = Form { name: "an e-mail address", pattern: "^.+@.+$" };
pub static DIGEST: Form = Form { name: "a SHA-256", pattern: "^[0-9a-fA-F]{64}$" };
pub static METHOD: Form = Form { name: "a method", pattern: "^[^ ]+$" };
pub static HEADER: Form = Form { name: "a header name", pattern: "^[-!#$%&'*+.^_`|~0-9A-Za-z]+$" };
pub static HEADER_TEXT: Kind = Kind::Text(&HEADER);
pub static PATH: Form = Form { name: "a path", pattern: "^/" };
pub static PATTERN: Form = Form { name: "a path pattern", pattern: "^(/|=/|~)" };
pub static ALPN: Form = Form { name: "the name of a protocol (ALPN)", pattern: "^[!-~]{1,255}$" };
pub static UPSTREAM_NAME: Form = Form { name: "the name of an upstream", pattern: "^[-_.0-9A-Za-z]+$" };
pub static LINK_NAME: Form = Form { name: "the name of a plugin, or of a chain as \"@name\"", pattern: "^@?[-_.0-9A-Za-z]+$" };

impl Keys {
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// `servers, balance, pool`; of a long list, the ones most like `wrong`.
    pub fn list(&self, likeness: impl Fn(&str) -> f64) -> String {
        const ALL: usize = 16;
        const SOME: usize = 6;
        let mut names: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
        if names.len() <= ALL {
            return names.join(", ");
        }
        names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
        format!("{} and {} more", names.iter().take(SOME).copied().collect::<Vec<_>>().join(", "), names.len() - SOME)
    }
}

impl Kind {
    /// With article, for `… where a duration is wanted`.
    pub fn describe(&self) -> String {
        match self {
            Self::Text(form) => form.name.into(),
            Self::Choice(choices) => choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(" or "),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Truth => "true or false".into(),
            Self::List(_) => "a list".into(),
            Self::Either([Self::Text(form), Self::List(Self::Text(_) | Self::Either([Self::Text(_), ..])), rest @ ..]) => {
                let rest: String = rest.iter().map(|kind| format!(" or {}", kind.describe())).collect();
                format!("{} or a list of these{rest}", form.name)
            }
            Self::Table(_) => "a table".into(),
            Self::Either(kinds) => kinds.iter().map(Self::describe).collect::<Vec<_>>().join(" or "),
            Self::Anything => "a value".into(),
        }
    }
}
