//! What a component's file says of its phases, without compiling it.

use super::grants::PACKAGE;
use wasmtime::component::__internal::wasmtime_environ::wasmparser::{Parser, Payload};

/// Names of the phases that it exports, such as `on-request-body`, in the order of the file. What it does in them depends on its settings. Of what
/// is no component, none.
pub fn phases(bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    // Of the component itself; those of components within it are its own affair.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(exports) if depth == 1 => {
                let names = exports.into_iter().map_while(Result::ok).filter_map(|export| phase(export.name.name));
                found.extend(names.map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

fn phase(export: &str) -> Option<&str> {
    let (interface, _version) = export.strip_prefix(PACKAGE)?.split_once('@')?;
    interface.starts_with("on-").then_some(interface)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::bundled;

    #[test]
    fn phases_are_read_from_the_file() {
        let of = |name: &str| {
            let mut found = phases(bundled::bundled(name).unwrap_or_else(|| panic!("no {name}")));
            found.sort();
            found.join(" ")
        };
        assert_eq!(of("headers"), "on-request on-response");
        assert_eq!(of("conn-limit"), "on-accept");
        assert_eq!(of("body-rewrite"), "on-request-body on-response-body");
        assert_eq!(phases(b"no component"), [""; 0]);
    }
}
