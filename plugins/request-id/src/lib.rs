//! Gives each exchange a UUID, for the upstream, the client and the access log.
//!
//! Between the two phases the id rests in the attribute `log.request-id`, not in the plugin: so it is the same whether the
//! guest is shared or fresh, and other links can use it.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;
use portcullis_sdk::random;

const ATTRIBUTE: &str = "log.request-id";

/// Longer ones of clients are replaced: an id is to be logged, not to be a message.
const LONGEST: usize = 128;

/// Gives each exchange a UUID.
#[settings]
pub struct Settings {
    /// The header field that carries it.
    #[setting(default = "x-request-id")]
    header: String,
    /// Whether a client's own id is kept: at most 128 letters, digits and "-_.:+/=@".
    #[setting(default = false)]
    trust: bool,
    /// Whether the client gets the id as well.
    #[setting(default = true)]
    response: bool,
}

pub struct RequestId {
    header: String,
    trust: bool,
    response: bool,
}

#[plugin(name = "request-id", description = "Gives each exchange a UUID, for the upstream, the client and the access log")]
impl RequestId {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let header = header_name(&settings.header).map_err(|why| vec![Problem::at("/header", why)])?;
        Ok(Self { header, trust: settings.trust, response: settings.response })
    }

    fn plan(&self, plan: &mut Plan) {
        if self.trust {
            plan.request().header(self.header.clone());
        }
        if self.response {
            plan.response().attribute(ATTRIBUTE);
        } else {
            plan.skip_response();
        }
    }

    fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
        let theirs = if self.trust { request.header_str(&self.header).filter(|id| is_sound(id)) } else { None };
        if let Some(id) = theirs {
            edit.set_attribute(ATTRIBUTE, id);
            return;
        }
        let id = uuid(random::bits(), random::bits());
        // Hexadecimal digits and hyphens.
        let id = core::str::from_utf8(&id).unwrap_or_default();
        edit.set_header(&self.header, id);
        edit.set_attribute(ATTRIBUTE, id);
    }

    fn on_response(&self, response: &Response, edit: &mut Edits) {
        if let Some(id) = response.attribute(ATTRIBUTE) {
            edit.set_header(&self.header, id);
        }
    }
}

fn is_sound(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(&byte))
}

/// A random UUID (RFC 9562, section 5.4) as text.
fn uuid(high: u64, low: u64) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Version 4 and variant 10.
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let mut digits = (0..16).rev().map(|n| high >> (n * 4)).chain((0..16).rev().map(|n| low >> (n * 4)));
    core::array::from_fn(|at| match at {
        8 | 13 | 18 | 23 => b'-',
        _ => DIGITS[(digits.next().unwrap_or_default() & 0xf) as usize],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, get, response};

    #[test]
    fn the_id_goes_to_the_upstream_and_to_the_log() {
        let ids = Harness::<RequestId>::new("{}");
        let first = ids.on_request(get("/").header("x-request-id", "forged"));
        let id = first.header("x-request-id").expect("set");
        assert_eq!(first.headers("x-request-id").len(), 1);
        assert_eq!(first.attribute("log.request-id"), Some(id));
        assert_ne!(ids.on_request(get("/")).header("x-request-id"), Some(id), "each its own");
    }

    #[test]
    fn it_is_a_random_uuid() {
        assert_eq!(&uuid(0, 0), b"00000000-0000-4000-8000-000000000000");
        assert_eq!(&uuid(u64::MAX, u64::MAX), b"ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(&uuid(0x0123_4567_89ab_cdef, 0x0123_4567_89ab_cdef), b"01234567-89ab-4def-8123-456789abcdef");
    }

    #[test]
    fn the_response_carries_the_same_one() {
        let ids = Harness::<RequestId>::new(r#"{"header": "X-Trace"}"#);
        let after = ids.on_response(response(200).attribute("log.request-id", "abc"));
        assert_eq!(after.header("x-trace"), Some("abc"));
        assert_eq!(ids.on_response(response(200)).header("x-trace"), None);
    }

    #[test]
    fn a_trusted_id_is_kept_if_it_is_sound() {
        let ids = Harness::<RequestId>::new(r#"{"trust": true}"#);
        let kept = ids.on_request(get("/").header("x-request-id", "a-1_b.2"));
        assert_eq!((kept.header("x-request-id"), kept.attribute("log.request-id")), (Some("a-1_b.2"), Some("a-1_b.2")));
        for bad in ["", "a b", "a\"b", &"x".repeat(129)] {
            let replaced = ids.on_request(get("/").header("x-request-id", bad));
            assert_eq!(replaced.header("x-request-id").map(str::len), Some(36), "{bad}");
        }
    }

    #[test]
    fn only_what_the_settings_need_is_asked_for() {
        let mut expected = Plan::default();
        expected.request();
        assert_eq!(Harness::<RequestId>::new(r#"{"response": false}"#).plan(), &expected);
    }

    #[test]
    fn the_header_must_be_one() {
        assert_eq!(Harness::<RequestId>::refused(r#"{"header": "a b"}"#)[0].path, "/header");
    }
}
