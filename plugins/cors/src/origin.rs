//! Origins (RFC 6454): which ones are let in.

use portcullis_sdk::prelude::*;

pub struct Origins {
    any: bool,
    known: Vec<Origin>,
}

enum Origin {
    /// Serialized, in lower case, without a default port.
    Exact(String),
    /// Scheme with `://`, and what is behind `*`, with its dot.
    Below { scheme: String, end: String },
    /// What files and sandboxed frames have.
    Null,
}

impl Origins {
    pub fn parse(written: &OneOrMany<String>, problems: &mut Vec<Problem>) -> Self {
        let mut origins = Self { any: false, known: Vec::new() };
        let at = Pointer::root().key("origins");
        if written.is_empty() {
            problems.push(Problem::at(at.clone(), "names nobody"));
        }
        for (index, text) in written.iter().enumerate() {
            match &**text {
                "*" => origins.any = true,
                "null" => origins.known.push(Origin::Null),
                text => match origin(text) {
                    Ok(origin) => origins.known.push(origin),
                    Err(why) => problems.push(Problem::at(written.pointer(&at, index), why)),
                },
            }
        }
        origins
    }

    pub const fn any(&self) -> bool {
        self.any
    }

    pub fn allow(&self, origin: &str) -> bool {
        self.any || self.known.iter().any(|known| known.is(origin))
    }
}

fn origin(text: &str) -> Result<Origin, &'static str> {
    let lower = text.to_ascii_lowercase();
    let (scheme, host) = lower.split_once("://").ok_or("an origin has a scheme, such as https://app.example.com")?;
    if host.contains('/') {
        return Err("an origin has no path, not even a slash at its end");
    }
    let default = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let host = if default.is_empty() { host } else { host.strip_suffix(default).unwrap_or(host) };
    let (below, name) = host.strip_prefix("*.").map_or((false, host), |rest| (true, rest));
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if name.is_empty() || !name.bytes().all(sound) {
        return Err(if name.contains('*') { "`*` can only be the first label of the host" } else { "no host that an origin could have" });
    }
    Ok(match below {
        true => Origin::Below { scheme: [scheme, "://"].concat(), end: [".", name].concat() },
        false => Origin::Exact([scheme, "://", host].concat()),
    })
}

impl Origin {
    /// Browsers send origins in lower case and without default ports.
    fn is(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => origin == exact,
            Self::Null => origin == "null",
            Self::Below { scheme, end } => {
                let labels = origin.strip_prefix(&**scheme).and_then(|host| host.strip_suffix(&**end));
                labels.is_some_and(|labels| {
                    !labels.is_empty() && labels.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                })
            }
        }
    }
}
