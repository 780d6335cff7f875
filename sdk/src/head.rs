//! What a phase sees: borrowed views of the parts that the plugin asked for.
//!
//! They point into memory that the proxy filled for this call. Nothing of them can outlive it; copy what must be kept.
//!
//! On the native target, where tests run, reading a part that was not asked for panics and says which word is missing in the
//! interest: in the proxy it would be silently empty.

use crate::abi::Field;
#[cfg(not(target_family = "wasm"))]
use crate::plan::Asked;
use alloc::borrow::Cow;
use core::ops::Deref;

/// Header fields and attributes, in either phase.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'c> {
    pub(crate) headers: &'c [Field<'c>],
    pub(crate) attributes: &'c [Field<'c>],
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: &'c Asked,
}

impl<'c> Fields<'c> {
    /// The value of the first line of this name (lower case): bytes without surrounding white space.
    #[inline]
    pub fn header(&self, name: &str) -> Option<&'c [u8]> {
        self.header_lines(name).next()
    }

    /// The value of the first line of this name, if it is UTF-8.
    #[inline]
    pub fn header_str(&self, name: &str) -> Option<&'c str> {
        self.header(name).and_then(|value| core::str::from_utf8(value).ok())
    }

    /// The values of all lines of this name, in the order received.
    #[inline]
    pub fn header_lines<'n>(&self, name: &'n str) -> impl Iterator<Item = &'c [u8]> + use<'c, 'n> {
        #[cfg(not(target_family = "wasm"))]
        assert!(
            self.asked.all_headers || self.asked.headers.iter().any(|asked| asked == name),
            "header `{name}` was not asked for: add it (in lower case) to the interest, #[interest(headers = [\"{name}\"])]"
        );
        self.headers.iter().filter(move |field| field.is(name)).map(Field::value)
    }

    /// All lines that were asked for: names in lower case, values as bytes.
    #[inline]
    pub fn headers(&self) -> impl Iterator<Item = (&'c str, &'c [u8])> + use<'c> {
        self.headers.iter().map(|field| (field.name(), field.value()))
    }

    /// The attribute of this name, such as `client.ip`; `None` if the proxy or a link before has not set it.
    #[inline]
    pub fn attribute(&self, name: &str) -> Option<&'c str> {
        #[cfg(not(target_family = "wasm"))]
        assert!(
            self.asked.attributes.iter().any(|asked| asked == name),
            "attribute `{name}` was not asked for: add it to the interest, #[interest(attributes = [\"{name}\"])]"
        );
        self.attributes.iter().find(|field| field.is(name)).map(Field::text)
    }

    /// The value of the first cookie of this name (RFC 6265, section 5.4). Needs the header `cookie`.
    pub fn cookie(&self, name: &str) -> Option<&'c [u8]> {
        let pairs = self.header_lines("cookie").flat_map(|line| line.split(|&byte| byte == b';'));
        pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

/// A request's head (RFC 9110, section 6), as far as it was asked for.
///
/// What it lends ends with the call:
/// ```compile_fail,E0521
/// # use portcullis_sdk::prelude::*;
/// # #[settings] struct Nothing;
/// struct Keep(std::cell::Cell<&'static str>);
///
/// #[plugin]
/// impl Keep {
///     # fn configure(_: Nothing) -> Result<Self, Vec<Problem>> { Ok(Self(std::cell::Cell::new(""))) }
///     #[interest(path)]
///     fn on_request(&self, request: &Request, _: &mut RequestEdits) {
///         self.0.set(request.path());
///     }
/// }
/// ```
/// ```compile_fail
/// # use portcullis_sdk::prelude::*;
/// # #[settings] struct Nothing;
/// # struct Keep(std::cell::Cell<&'static str>);
/// # #[plugin]
/// # impl Keep {
/// #     fn configure(_: Nothing) -> Result<Self, Vec<Problem>> { Ok(Self(std::cell::Cell::new(""))) }
/// #[interest(path)]
/// fn on_request(&self, request: &Request<'static>, _: &mut RequestEdits) {
///     self.0.set(request.path());
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Request<'c> {
    pub(crate) exchange: u64,
    pub(crate) method: &'c str,
    pub(crate) scheme: &'c str,
    pub(crate) authority: &'c str,
    pub(crate) path: &'c str,
    pub(crate) query: Option<&'c str>,
    pub(crate) fields: Fields<'c>,
    /// What of the head was asked for; see the head of this file.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

/// Panics on the native target if a field of the request was not asked for.
macro_rules! asked {
    ($request:expr, $bit:ident, $word:literal) => {
        #[cfg(not(target_family = "wasm"))]
        assert!(
            $request.asked & crate::plan::RequestInterest::$bit != 0,
            concat!("`", $word, "` was not asked for: add it to the interest, #[interest(", $word, ")]")
        );
    };
}

impl<'c> Request<'c> {
    /// As received, case-sensitive. Interest: `method`.
    #[inline]
    pub fn method(&self) -> &'c str {
        asked!(self, METHOD, "method");
        self.method
    }

    /// `http` or `https`: how the client reached the proxy. Interest: `scheme`.
    #[inline]
    pub fn scheme(&self) -> &'c str {
        asked!(self, SCHEME, "scheme");
        self.scheme
    }

    /// Host and port as the client named them, in lower case, without a default port. Interest: `authority`.
    #[inline]
    pub fn authority(&self) -> &'c str {
        asked!(self, AUTHORITY, "authority");
        self.authority
    }

    /// The authority without its port; an IPv6 address keeps its brackets. Interest: `authority`.
    pub fn host(&self) -> &'c str {
        host(self.authority())
    }

    /// Absolute path in its normal form (RFC 3986, section 6.2.2): what routes are matched on. Interest: `path`.
    #[inline]
    pub fn path(&self) -> &'c str {
        asked!(self, PATH, "path");
        self.path
    }

    /// What follows the first `?`, without it; `None` if there is no `?`. Interest: `query`.
    #[inline]
    pub fn query(&self) -> Option<&'c str> {
        asked!(self, QUERY, "query");
        self.query
    }

    /// The decoded value of the first query parameter of this name. Interest: `query`.
    pub fn query_value(&self, name: &str) -> Option<Cow<'c, str>> {
        crate::query::pairs(self.query()?).find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The number that ties the phases of one exchange together. Interest: `exchange`.
    #[inline]
    pub fn exchange(&self) -> u64 {
        #[cfg(not(target_family = "wasm"))]
        assert!(self.fields.asked.exchange, "`exchange` was not asked for: add it to the interest, #[interest(exchange)]");
        self.exchange
    }
}

/// Its header fields and attributes.
impl<'c> Deref for Request<'c> {
    type Target = Fields<'c>;

    #[inline]
    fn deref(&self) -> &Fields<'c> {
        &self.fields
    }
}

/// An authority without its port; an IPv6 address keeps its brackets.
pub fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// A response's status, and the fields that were asked for.
#[derive(Debug, Clone, Copy)]
pub struct Response<'c> {
    pub(crate) exchange: u64,
    pub(crate) status: u16,
    pub(crate) fields: Fields<'c>,
}

impl Response<'_> {
    /// The final status, 200 to 599; 101 for an upgrade. Always there.
    #[inline]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The number that ties the phases of one exchange together. Interest: `exchange`.
    #[inline]
    pub fn exchange(&self) -> u64 {
        #[cfg(not(target_family = "wasm"))]
        assert!(self.fields.asked.exchange, "`exchange` was not asked for: add it to the interest, #[interest(exchange)]");
        self.exchange
    }
}

/// Its header fields and attributes.
impl<'c> Deref for Response<'c> {
    type Target = Fields<'c>;

    #[inline]
    fn deref(&self) -> &Fields<'c> {
        &self.fields
    }
}
