//! The words of JSON: strings with their escapes, numbers, punctuation.

use alloc::borrow::Cow;
use alloc::string::String;

/// A place in a text.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    /// The byte offset.
    pub(super) at: usize,
}

impl<'t> Reader<'t> {
    /// The next byte that is not white space; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    pub(super) fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Whether nothing more follows.
    pub(super) fn is_done(&mut self) -> bool {
        self.peek() == 0
    }

    /// A string, borrowed if it has no escapes.
    pub(super) fn string(&mut self) -> Option<Cow<'t, str>> {
        if !self.take(b'"') {
            return None;
        }
        let text = self.text;
        let run = plain(text.get(self.at..)?);
        self.at += run.len();
        if self.take_raw(b'"') {
            return Some(Cow::Borrowed(run));
        }
        let mut string = String::from(run);
        while self.take_raw(b'\\') {
            string.push(self.escape()?);
            let run = plain(text.get(self.at..)?);
            self.at += run.len();
            string.push_str(run);
        }
        self.take_raw(b'"').then_some(Cow::Owned(string))
    }

    /// Like `take`, but inside a string, where white space counts.
    fn take_raw(&mut self, byte: u8) -> bool {
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// What a backslash and the characters after it stand for (RFC 8259, section 7).
    fn escape(&mut self) -> Option<char> {
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'u' => return self.unicode(),
            // `"`, `\` and `/`; nothing else is JSON.
            other => char::from(other),
        })
    }

    fn unicode(&mut self) -> Option<char> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        let low = if self.word("\\u") { self.hex()? } else { 0 };
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + low.checked_sub(0xdc00)?)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// The characters of a number.
    pub(super) fn number(&mut self) -> &'t str {
        self.peek();
        let text = self.text;
        let rest = text.get(self.at..).unwrap_or_default();
        let len = rest.bytes().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// A whole number; `None` if it is none, or does not fit.
    pub(super) fn integer(&mut self) -> Option<(bool, u64)> {
        let number = self.number();
        let digits = number.strip_prefix('-').unwrap_or(number);
        digits.parse().ok().map(|value| (digits.len() < number.len(), value))
    }
}

/// What precedes the next quote or backslash.
fn plain(text: &str) -> &str {
    text.get(..text.find(['"', '\\']).unwrap_or(text.len())).unwrap_or_default()
}
