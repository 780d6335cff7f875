//! Reads JSON for serde: just what settings need, in a few KiB of guest.
//!
//! serde_json costs a light plugin 60 KiB, most of it for printing numbers in messages. Here an error is a sentence about what would be
//! right; *where* it happened is where the reader stopped, which `place` turns into a pointer. The text comes from the proxy, which made it
//! itself: it is JSON, so what is checked is that nothing goes out of bounds, not that every rule of RFC 8259 is kept.

mod text;

use super::kinds::ONE_OR_MANY;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor};
use text::Reader;

/// Reads one value; the whole text must be it.
///
/// # Errors
/// What would be right, and the byte offset at which reading stopped.
pub(super) fn read<T: de::DeserializeOwned>(text: &str) -> Result<T, (String, usize)> {
    let mut reader = Reader { text, at: 0 };
    let value = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|Error(message)| (message, reader.at))
}

#[derive(Debug)]
struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Error {}

/// What was found instead is not printed: that would pull in the formatting of floats.
impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("expected {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("expected {expected}"))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(listed("expected one of", expected))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self(listed("unknown key; there are", expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(listed("missing key", &[field]))
    }
}

fn listed(start: &str, names: &[&str]) -> String {
    let mut text = String::from(start);
    for (index, name) in names.iter().enumerate() {
        text.push_str(if index == 0 { " `" } else { ", `" });
        text.push_str(name);
        text.push('`');
    }
    text
}

impl Reader<'_> {
    fn end(&mut self) -> Result<(), Error> {
        if self.is_done() { Ok(()) } else { Err(Error("expected nothing more".to_string())) }
    }
}

fn wrong<'de, V: Visitor<'de>>(visitor: &V) -> Error {
    Error(format!("expected {}", visitor as &dyn Expected))
}

/// Types that cannot stand in settings; no `Setting` is made of them.
macro_rules! not_in_settings {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            Err(wrong(&visitor))
        }
    )*};
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.integer() {
                Some((false, value)) => visitor.visit_u64(value),
                Some((true, value)) => visitor.visit_i64(0_i64.saturating_sub_unsigned(value)),
                None => Err(wrong(&visitor)),
            }
        }
    )*};
}

macro_rules! strings {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.string() {
                Some(string) => visitor.visit_str(&string),
                None => Err(wrong(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    integers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64);
    strings!(deserialize_str deserialize_string deserialize_identifier);
    not_in_settings!(deserialize_any deserialize_ignored_any deserialize_f32 deserialize_char deserialize_bytes deserialize_byte_buf deserialize_unit);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.word("true"), self.word("false")) {
            (true, _) => visitor.visit_bool(true),
            (_, true) => visitor.visit_bool(false),
            _ => Err(wrong(&visitor)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.number().parse() {
            Ok(number) => visitor.visit_f64(number),
            Err(_) => Err(wrong(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.word("null") { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == ONE_OR_MANY && self.peek() != b'[' {
            return visitor.visit_seq(One(Some(self)));
        }
        if name == ONE_OR_MANY { self.deserialize_seq(visitor) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.take(b'[') { visitor.visit_seq(Members { reader: self, first: true }) } else { Err(wrong(&visitor)) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.take(b'{') { visitor.visit_map(Members { reader: self, first: true }) } else { Err(wrong(&visitor)) }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        if self.peek() == b'"' { visitor.visit_enum(Word(self)) } else { Err(wrong(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        Err(wrong(&visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }
}

/// The members of an object or list, up to and with its closing bracket.
struct Members<'r, 't> {
    reader: &'r mut Reader<'t>,
    first: bool,
}

impl Members<'_, '_> {
    /// Whether another one comes.
    fn more(&mut self, close: u8) -> Result<bool, Error> {
        if self.reader.take(close) {
            return Ok(false);
        }
        if core::mem::replace(&mut self.first, false) || self.reader.take(b',') {
            return Ok(true);
        }
        Err(Error("expected a comma".to_string()))
    }
}

impl<'de> SeqAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.more(b']')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.more(b'}')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        if !self.reader.take(b':') {
            return Err(Error("expected a colon".to_string()));
        }
        seed.deserialize(&mut *self.reader)
    }
}

/// One value as a list of one.
struct One<'r, 't>(Option<&'r mut Reader<'t>>);

impl<'de> SeqAccess<'de> for One<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|reader| seed.deserialize(reader)).transpose()
    }

    /// Tells a value alone from a list, which gives no hint.
    fn size_hint(&self) -> Option<usize> {
        Some(1)
    }
}

/// A variant by name. Those of settings have no fields.
struct Word<'r, 't>(&'r mut Reader<'t>);

impl<'de> EnumAccess<'de> for Word<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        seed.deserialize(&mut *self.0).map(|value| (value, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error("expected a word".to_string()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Err(wrong(&visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        Err(wrong(&visitor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;
    use alloc::collections::BTreeMap;

    #[test]
    fn strings_are_read_with_their_escapes() {
        let read = super::read::<String>(r#" "a\n\"\\\/\u00e9\ud83d\ude00 b" "#);
        assert_eq!(read, Ok("a\n\"\\/é😀 b".to_string()));
        assert_eq!(super::read::<String>(r#""é  ""#), Ok("é  ".to_string()));
    }

    #[test]
    fn numbers_are_held_to_their_type() {
        assert_eq!(super::read::<u8>("255"), Ok(255));
        assert_eq!(super::read::<i64>("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(super::read::<f64>("-1.5e3"), Ok(-1500.0));
        for (text, message) in [("256", "expected u8"), ("-1", "expected u8"), ("1.5", "expected u8"), ("x", "expected u8")] {
            assert_eq!(super::read::<u8>(text).map_err(|(message, _)| message), Err(message.to_string()), "{text}");
        }
    }

    #[test]
    fn collections_and_options_nest() {
        let text = r#"{"a": ["x", null], "b": []}"#;
        let read = super::read::<BTreeMap<String, Vec<Option<String>>>>(text).expect("accepted");
        assert_eq!(read["a"], [Some("x".to_string()), None]);
        assert!(read["b"].is_empty());
        let read = super::read::<Map<OneOrMany<u8>>>(r#"{"z": 1, "a": [2, 3]}"#).expect("accepted");
        let flat: Vec<_> = read.iter().map(|(key, values)| (&**key, values.to_vec())).collect();
        assert_eq!(flat, [("z", vec![1]), ("a", vec![2, 3])], "in the order written");
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_refused() {
        let whole = r#"{"a": ["\u0041b", "c"]}"#;
        for end in 0..whole.len() {
            assert!(super::read::<Map<Vec<String>>>(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        assert!(super::read::<Map<Vec<String>>>(whole).is_ok());
        for text in [r#"{} {}"#, r#"["a" "b"]"#, r#"{"a" []}"#, r#""\ud800""#, r#""\uzzzz""#] {
            assert!(super::read::<Map<Vec<String>>>(text).is_err() && super::read::<String>(text).is_err(), "{text}");
        }
    }
}
