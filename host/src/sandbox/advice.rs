//! What an author, or who got the file from one, can do about a component that is refused.

use super::grants::Refusal;
use super::load::LoadError;

impl LoadError {
    /// A line without a full stop; `None`: the error says all there is.
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Read { .. } => return None,
            Self::TooLarge => "an engine of another language with its program has 10 to 30 MiB: build without debug information".to_owned(),
            Self::Digest { .. } => "if the new file is meant, pin it: `sha256sum FILE`".to_owned(),
            Self::NotAComponent(_) => "in Rust: cargo build --release --target wasm32-wasip2".to_owned(),
            Self::Import(refusal) => return refusal.advice(),
            Self::ImportType(_) => {
                "it was built against another version of the interface: build it against wit/ of this proxy's version".to_owned()
            }
            Self::Version { .. } => format!("build it against portcullis:plugin@{}, or use a proxy that has the other", super::grants::VERSION),
            Self::NoExport(_) => {
                "every plugin exports `lifecycle`, whatever phases it has: #[plugin] of the SDK does, worlds of wit/ name it".to_owned()
            }
            Self::NoPhase => "write at least one phase: fn on_request(&self, request: &Request, edit: &mut RequestEdits)".to_owned(),
            Self::WrongType { .. } => {
                "types of a shipped version never change: build it against wit/ as it is here, without changes of your own".to_owned()
            }
            Self::Describe(_) => {
                "`describe` runs in an empty guest with 100 ms of CPU and no capability, and returns a JSON object with `name` and `version`"
                    .to_owned()
            }
        };
        Some(text)
    }
}

impl Refusal {
    fn advice(&self) -> Option<String> {
        let text = match self {
            Self::NotGranted { import } | Self::Item { import, .. }
                if import.starts_with("wasi:http/") || import.starts_with("wasi:sockets/") =>
            {
                "plugins reach servers through `portcullis:plugin/http-client`, granted by upstream (in Rust, portcullis_sdk::http); what a \
                 language's engine imports and the plugin does not use can be left out: componentize-py --stub-wasi, componentize-js --disable"
            }
            Self::NotGranted { import } | Self::Item { import, .. } if import.starts_with("wasi:") => {
                "of WASI there is what leads nowhere outside: clocks, random numbers, standard streams, an empty file system"
            }
            Self::NotGranted { .. } | Self::Item { .. } => {
                "a component may import portcullis:plugin/… and parts of WASI 0.2; compose it with what else it needs (wac plug)"
            }
            Self::Ungranted { grant, .. } => return Some(format!("add: allow = {{ {grant} }}")),
            Self::Version { import, .. } | Self::Newer { import, .. } if import.starts_with("wasi:") => "build it for WASI 0.2",
            Self::Version { .. } | Self::Newer { .. } => {
                "the file is newer than this proxy: use a newer proxy, or build against an SDK of this one's version"
            }
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_cannot_have_is_answered_with_what_it_can() {
        let of = |import: &str| LoadError::Import(Refusal::NotGranted { import: import.to_owned() }).advice().unwrap_or_default();
        assert!(of("wasi:http/outgoing-handler@0.2.0").contains("http-client"));
        assert!(of("wasi:nn/graph@0.2.0").contains("leads nowhere"));
        assert!(of("my:own/thing").contains("wac plug"));
        let newer = Refusal::Version { import: "portcullis:plugin/kv@0.2.0".to_owned(), offered: "0.1.0".to_owned() };
        assert!(LoadError::Import(newer).advice().unwrap_or_default().contains("newer proxy"));
    }
}
