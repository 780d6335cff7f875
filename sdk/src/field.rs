//! Header field names and values as the contract wants them, for settings that hold some.

use alloc::string::String;

/// Belong to the connection: never shown to plugins, cannot be edited.
const HIDDEN: [&str; 9] =
    ["connection", "transfer-encoding", "content-length", "keep-alive", "te", "trailer", "upgrade", "proxy-connection", "host"];

/// A header field name in lower case, fit for an edit.
///
/// # Errors
/// What is wrong with it: not a token (RFC 9110, section 5.1), or a field that belongs to the connection.
pub fn header_name(text: &str) -> Result<String, &'static str> {
    let token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !token {
        return Err("a header name has letters, digits and `-`");
    }
    let name = text.to_ascii_lowercase();
    if HIDDEN.contains(&&*name) {
        return Err("this header belongs to the connection and cannot be changed");
    }
    Ok(name)
}

/// Whether these bytes can be a field value (RFC 9110, section 5.5).
///
/// # Errors
/// That they cannot, and why.
pub fn header_value(value: &[u8]) -> Result<(), &'static str> {
    let sound = value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    if sound { Ok(()) } else { Err("a header value has no line breaks or other control characters") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!(header_name("X-Served-By").as_deref(), Ok("x-served-by"));
        for name in ["", "a b", "a:", "é", "Host", "TE", "Content-Length"] {
            assert!(header_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn values_have_no_controls() {
        assert!(header_value("é\t ok".as_bytes()).is_ok());
        for value in ["a\r\nb", "a\0", "\x7f"] {
            assert!(header_value(value.as_bytes()).is_err(), "{value:?}");
        }
    }
}
