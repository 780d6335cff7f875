//! What one call of a phase shows a guest: what it asked for and nothing else. Out of a head, or out of a text that was written of one before.
//!
//! As a text it is what a decision is remembered by, and what a guest is shown again that must catch up (`remembered`). So
//! whatever reaches a guest must go through here.

use super::fields::is_hidden;
use super::plan::{Interest, RequestInterest, ResponseInterest};
use crate::message::{Exchange, RequestHead, ResponseHead};
use http::HeaderMap;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Name and value.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);
pub(super) type Attribute<'a> = (&'a str, Cow<'a, str>);

/// Header lines and attributes that are shown. A place of the caller's, since they are long to move and mostly empty.
#[derive(Default)]
pub(super) struct Lines<'a> {
    headers: SmallVec<[Pair<'a>; 24]>,
    attributes: SmallVec<[Attribute<'a>; 8]>,
}

impl<'a> Lines<'a> {
    /// The fields of interest, lines of one name in the order received, and the attributes that are set.
    #[inline(always)]
    pub(super) fn look_up(&mut self, exchange: &'a Exchange, request: &'a RequestHead, headers: &'a HeaderMap, interest: &'a Interest) {
        if interest.all_headers {
            let shown = headers.iter().filter(|(name, _)| !is_hidden(name));
            self.headers.extend(shown.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())));
        } else {
            for name in &interest.headers {
                self.headers.extend(headers.get_all(name).iter().map(|value| (name.as_str().as_bytes(), value.as_bytes())));
            }
        }
        for name in &interest.attributes {
            if let Some(value) = exchange.attribute(name, Some(request)) {
                self.attributes.push((name, value));
            }
        }
    }

    #[inline(always)]
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown { headers: &self.headers, attributes: &self.attributes }
    }
}

/// Of `on-request`.
pub(super) struct RequestInputs<'a> {
    /// 0 if it is not asked for.
    pub(super) exchange: u64,
    /// Method, scheme, authority, path; empty where not asked for.
    pub(super) texts: [&'a str; 4],
    pub(super) query: Option<&'a str>,
    pub(super) shown: Shown<'a>,
}

/// Of `on-response`.
pub(super) struct ResponseInputs<'a> {
    pub(super) exchange: u64,
    pub(super) status: u16,
    pub(super) shown: Shown<'a>,
}

/// Header lines and attributes.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) headers: &'a [Pair<'a>],
    pub(super) attributes: &'a [Attribute<'a>],
}

impl<'a> RequestInputs<'a> {
    #[inline(always)]
    pub(super) fn new(exchange: &Exchange, head: &'a RequestHead, interest: &RequestInterest, shown: Shown<'a>) -> Self {
        let asked = |asked: bool, text: &'a str| if asked { text } else { "" };
        Self {
            exchange: if interest.exchange { exchange.id.0 } else { 0 },
            texts: [
                asked(interest.method, head.method.as_str()),
                asked(interest.scheme, head.scheme.as_str()),
                asked(interest.authority, &head.authority),
                asked(interest.path, &head.path),
            ],
            query: head.query.as_deref().filter(|_| interest.query),
            shown,
        }
    }

    /// Writes all of it but the exchange's number, so that different inputs give different texts.
    #[inline]
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        for part in self.texts {
            put(text, part.as_bytes());
        }
        text.push(self.query.is_some().into());
        put(text, self.query.unwrap_or_default().as_bytes());
        self.shown.write(text);
    }

    /// What was written, its lines in `lines`. `None`: it is not what `write` writes.
    pub(super) fn read<'l: 'a>(mut text: &'l [u8], lines: &'a mut Lines<'l>) -> Option<Self> {
        let texts = [string(&mut text)?, string(&mut text)?, string(&mut text)?, string(&mut text)?];
        let (there, rest) = text.split_first()?;
        text = rest;
        let query = string(&mut text)?;
        let query = (*there == 1).then_some(query);
        for _ in 0..number(&mut text)? {
            lines.headers.push((take(&mut text)?, take(&mut text)?));
        }
        for _ in 0..number(&mut text)? {
            lines.attributes.push((string(&mut text)?, string(&mut text)?.into()));
        }
        text.is_empty().then(|| Self { exchange: 0, texts, query, shown: lines.shown() })
    }
}

impl<'a> ResponseInputs<'a> {
    #[inline(always)]
    pub(super) fn new(exchange: &Exchange, head: &ResponseHead, interest: &ResponseInterest, shown: Shown<'a>) -> Self {
        Self { exchange: if interest.exchange { exchange.id.0 } else { 0 }, status: head.status.as_u16(), shown }
    }

    /// As for a request. Never read again.
    #[inline]
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.status.to_le_bytes());
        self.shown.write(text);
    }
}

impl Shown<'_> {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        put_number(text, self.headers.len());
        for (name, value) in self.headers {
            put(text, name);
            put(text, value);
        }
        put_number(text, self.attributes.len());
        for (name, value) in self.attributes {
            put(text, name.as_bytes());
            put(text, value.as_bytes());
        }
    }
}

#[inline]
fn put(text: &mut Vec<u8>, part: &[u8]) {
    put_number(text, part.len());
    text.extend_from_slice(part);
}

/// As LEB128: most numbers are small, and a short text is found sooner.
#[inline]
fn put_number(text: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        text.push(number as u8 | 0x80);
        number >>= 7;
    }
    text.push(number as u8);
}

fn take<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(text)?;
    let (part, rest) = text.split_at_checked(length)?;
    *text = rest;
    Some(part)
}

fn string<'a>(text: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take(text)?).ok()
}

fn number(text: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, rest) = text.split_first()?;
        *text = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Case = ([String; 4], Option<String>, Vec<(String, Vec<u8>)>, Vec<(String, String)>);

    fn text((texts, query, headers, attributes): &Case) -> Vec<u8> {
        let headers: Vec<Pair<'_>> = headers.iter().map(|(name, value)| (name.as_bytes(), &value[..])).collect();
        let attributes: Vec<Attribute<'_>> = attributes.iter().map(|(name, value)| (&name[..], value.into())).collect();
        let shown = Shown { headers: &headers, attributes: &attributes };
        let mut text = Vec::new();
        RequestInputs { exchange: 0, texts: texts.each_ref().map(String::as_str), query: query.as_deref(), shown }.write(&mut text);
        text
    }

    fn case() -> impl Strategy<Value = Case> {
        let short = "[ab]{0,2}";
        let (headers, attributes) =
            (prop::collection::vec((short, prop::collection::vec(0..3u8, 0..3)), 0..3), prop::collection::vec((short, short), 0..3));
        ([short, short, short, short], prop::option::of(short), headers, attributes)
    }

    #[test]
    fn numbers_of_any_length_are_read_again() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 70_000, u32::MAX as usize, usize::MAX] {
            let mut text = Vec::new();
            put_number(&mut text, number);
            let mut rest = &text[..];
            assert_eq!((super::number(&mut rest), rest), (Some(number), &[][..]));
        }
        assert_eq!(super::number(&mut &[0xff; 20][..]), None);
    }

    proptest! {
        /// Few letters, so that cases are often nearly equal.
        #[test]
        fn equal_texts_are_equal_inputs(one in case(), other in case()) {
            prop_assert_eq!(text(&one) == text(&other), one == other);
        }

        #[test]
        fn what_is_written_can_be_read(case in case()) {
            let text = text(&case);
            let mut lines = Lines::default();
            let read = RequestInputs::read(&text, &mut lines).expect("readable");
            let mut again = Vec::new();
            read.write(&mut again);
            prop_assert_eq!(&again, &text);
            let (texts, query, headers, attributes) = &case;
            prop_assert_eq!((read.texts, read.query), (texts.each_ref().map(String::as_str), query.as_deref()));
            prop_assert!(read.shown.headers.iter().copied().eq(headers.iter().map(|(name, value)| (name.as_bytes(), &value[..]))));
            prop_assert!(read.shown.attributes.iter().map(|(name, value)| (*name, &**value)).eq(attributes.iter().map(|(name, value)| (&name[..], &value[..]))));
            for end in 0..text.len() {
                prop_assert!(RequestInputs::read(&text[..end], &mut Lines::default()).is_none());
            }
        }
    }
}
