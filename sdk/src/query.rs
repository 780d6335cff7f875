//! Query strings as forms write them (`a=b&c=d`): pairs out of one, and text made fit for one.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The pairs of a query, decoded, in order. A part without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    parts(query).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name), decode(value))
    })
}

/// The parts between `&`, as they are.
pub fn parts(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|part| !part.is_empty())
}

/// The decoded name of a part.
pub fn name(part: &str) -> Cow<'_, str> {
    decode(part.split_once('=').map_or(part, |(name, _)| name))
}

/// `+` and `%XX` undone. What is no UTF-8 then, or no `%XX`, stays as it is.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (byte, _) => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        letter => (letter | 0x20) - b'a' + 10,
    }
}

/// Adds text to a query, `%XX` for all that is not unreserved (RFC 3986, section 2.3).
pub fn encode_into(query: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
            query.extend(['%', char::from(high), char::from(low)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let all: Vec<_> = pairs("a=b%20c+d&&flag&%61=%zz&u=%C3%A9&bad=%ff").collect();
        let expected = [("a", "b c d"), ("flag", ""), ("a", "%zz"), ("u", "é"), ("bad", "%ff")];
        assert!(all.iter().map(|(name, value)| (&**name, &**value)).eq(expected), "{all:?}");
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let mut query = String::new();
        encode_into(&mut query, "a b&c=é+%/~");
        assert_eq!(query, "a%20b%26c%3D%C3%A9%2B%25%2F~");
        assert_eq!(decode(&query), "a b&c=é+%/~");
    }
}
