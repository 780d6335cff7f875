//! Text of others in lines of ours: nothing that a client, an origin or a guest says can begin a new line or move the cursor.

/// Appends `text` between double quotes, as JSON has it (RFC 8259, section 7), with every character escaped that a terminal or a reader
/// could take for something else than itself.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            safe if !is_treacherous(safe) => push_char(out, safe),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    push_unit(out, *unit);
                }
            }
        }
    }
    out.push(b'"');
}

/// Appends `text` as it is if that cannot be misread in a line of words, quoted otherwise. Empty: `-`.
pub(super) fn word(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    match text {
        "" => out.push(b'-'),
        _ if text != "-" && text.bytes().all(plain) => out.extend_from_slice(text.as_bytes()),
        _ => quoted(out, text),
    }
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and marks that turn the direction of text around.
const fn is_treacherous(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn push_char(out: &mut Vec<u8>, character: char) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_unit(out: &mut Vec<u8>, unit: u16) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from_digit(u32::from(unit >> shift & 15), 16).map_or(b'0', |digit| digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(write: fn(&mut Vec<u8>, &str), text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, text);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn quoted_text_is_json_and_reads_back() {
        for text in ["", "plain", "a\"b\\c", "line\r\nbreak\0\x1b[31m", "é ü 漢 \u{1f980}", "\u{85}\u{2028}\u{202e}\u{feff}"] {
            let quoted = made(quoted, text);
            assert!(!quoted.chars().any(is_treacherous), "{quoted:?}");
            assert_eq!(serde_json::from_str::<String>(&quoted).expect("JSON"), text);
        }
    }

    #[test]
    fn word_is_quoted_only_where_it_must_be() {
        let cases = [
            ("/a/b?c=1", "/a/b?c=1"),
            ("", "-"),
            ("-", "\"-\""),
            ("a b", "\"a b\""),
            ("a\nb", "\"a\\u000ab\""),
            ("é", "\"é\""),
            ("a\"", "\"a\\\"\""),
        ];
        for (given, expected) in cases {
            assert_eq!(made(word, given), expected, "{given:?}");
        }
    }
}
