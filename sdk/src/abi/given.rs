//! What the proxy hands back from an import: memory from `cabi_realloc`, which is the plugin's own from then on (see `exports::Stage`).
//!
//! Not `Copy` and taken by value, so that each block has one owner.

#![allow(dead_code, reason = "the proxy makes these values")]

use alloc::string::String;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::time::Duration;

/// `list<T>`; with bytes also `string`.
#[repr(C)]
pub(super) struct Given<T> {
    start: *mut T,
    len: usize,
}

impl<T> From<Given<T>> for Vec<T> {
    #[inline]
    fn from(given: Given<T>) -> Self {
        if given.len == 0 {
            return Self::new();
        }
        // SAFETY: `cabi_realloc` gave out this block, from the global allocator, with this length and the alignment of `T`; the proxy has
        // filled it. Only imports make a `Given`, and nothing else refers to what is in it.
        unsafe { Self::from_raw_parts(given.start, given.len, given.len) }
    }
}

impl From<Given<u8>> for String {
    #[inline]
    fn from(given: Given<u8>) -> Self {
        // SAFETY: `string` in the contract wherever this is used; the component model holds the proxy to UTF-8.
        unsafe { Self::from_utf8_unchecked(given.into()) }
    }
}

/// `option<T>`.
#[repr(C, u8)]
pub(super) enum Perhaps<T> {
    None,
    Some(T),
}

impl<T> From<Perhaps<T>> for Option<T> {
    #[inline]
    fn from(given: Perhaps<T>) -> Self {
        match given {
            Perhaps::None => None,
            Perhaps::Some(value) => Some(value),
        }
    }
}

/// `result<T, E>`.
#[repr(C, u8)]
pub(super) enum Answer<T, E> {
    Ok(T),
    Err(E),
}

/// `error` of `kv`.
#[repr(C, u8)]
pub(super) enum GivenStoreError {
    Denied,
    Full,
    WrongType,
    Unavailable(Given<u8>),
}

impl From<GivenStoreError> for crate::kv::Error {
    fn from(given: GivenStoreError) -> Self {
        match given {
            GivenStoreError::Denied => Self::Denied,
            GivenStoreError::Full => Self::Full,
            GivenStoreError::WrongType => Self::WrongType,
            GivenStoreError::Unavailable(why) => Self::Unavailable(why.into()),
        }
    }
}

/// `taken` of `kv`.
#[repr(C)]
pub(super) struct GivenTaken {
    admitted: bool,
    left: u32,
    retry: u64,
    full: u64,
}

impl From<GivenTaken> for crate::kv::Taken {
    fn from(given: GivenTaken) -> Self {
        let GivenTaken { admitted, left, retry, full } = given;
        Self { admitted, left, retry: Duration::from_millis(retry), full: Duration::from_millis(full) }
    }
}

/// `error` of `http-client`.
#[repr(C, u8)]
pub(super) enum GivenSendError {
    Denied,
    Invalid(Given<u8>),
    Timeout,
    Failed(Given<u8>),
    TooLarge,
}

impl From<GivenSendError> for crate::http::Error {
    fn from(given: GivenSendError) -> Self {
        match given {
            GivenSendError::Denied => Self::Denied,
            GivenSendError::Invalid(what) => Self::Invalid(what.into()),
            GivenSendError::Timeout => Self::Timeout,
            GivenSendError::Failed(why) => Self::Failed(why.into()),
            GivenSendError::TooLarge => Self::TooLarge,
        }
    }
}

/// `header`.
#[repr(C)]
pub(super) struct GivenHeader {
    name: Given<u8>,
    value: Given<u8>,
}

/// `response` of `http-client`.
#[repr(C)]
pub(super) struct GivenResponse {
    status: u16,
    headers: Given<GivenHeader>,
    body: Given<u8>,
}

impl From<GivenResponse> for crate::http::Response {
    fn from(given: GivenResponse) -> Self {
        let headers: Vec<GivenHeader> = given.headers.into();
        let headers = headers.into_iter().map(|header| (header.name.into(), header.value.into()));
        Self { status: given.status, headers: headers.collect(), body: given.body.into() }
    }
}

/// What an import writes into the memory it is shown.
///
/// # Safety
/// `import` writes a whole `T` there.
#[inline]
pub(super) unsafe fn returned<T>(import: impl FnOnce(*mut T)) -> T {
    let mut result = MaybeUninit::uninit();
    import(result.as_mut_ptr());
    // SAFETY: the caller's promise.
    unsafe { result.assume_init() }
}

const _: () = {
    assert!(size_of::<Given<u8>>() == 8);
    assert!(size_of::<Perhaps<Given<u8>>>() == 12);
    assert!(size_of::<Answer<Perhaps<Given<u8>>, GivenStoreError>>() == 16);
    assert!(size_of::<Answer<(), GivenStoreError>>() == 16);
    assert!(size_of::<Answer<bool, GivenStoreError>>() == 16);
    assert!(size_of::<Answer<i64, GivenStoreError>>() == 24);
    assert!(size_of::<Answer<GivenTaken, GivenStoreError>>() == 32);
    assert!(size_of::<GivenResponse>() == 20);
    assert!(size_of::<Answer<GivenResponse, GivenSendError>>() == 24);
};
