//! The contract's types as they lie in memory (component model, canonical ABI): `wit/types.wit`, field by field.
//!
//! `repr(C)` structs and `repr(C, u8)` enums have exactly the layout that the canonical ABI gives to records and variants of fewer
//! than 256 cases; the sizes are asserted below for the target where it matters.

use core::marker::PhantomData;
use core::slice;

/// `string`, or `list<u8>`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str<'c> {
    start: *const u8,
    len: usize,
    bytes: PhantomData<&'c [u8]>,
}

impl<'c> Str<'c> {
    /// # Safety
    /// `len` bytes at `start` are initialised and unchanged for as long as `'c`. `start` may be anything when `len` is 0.
    #[inline]
    pub(crate) const unsafe fn new(start: *const u8, len: usize) -> Self {
        Self { start, len, bytes: PhantomData }
    }

    #[inline]
    pub(crate) const fn of(bytes: &'c [u8]) -> Self {
        Self { start: bytes.as_ptr(), len: bytes.len(), bytes: PhantomData }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &'c [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: promised to `new`.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }

    /// As text. Only for what is `string` in the contract.
    ///
    /// # Safety
    /// The bytes must be UTF-8: made from a `str`, or passed as `string` by the proxy, which the component model holds to it.
    #[inline]
    pub(crate) unsafe fn text(&self) -> &'c str {
        // SAFETY: the caller's promise.
        unsafe { core::str::from_utf8_unchecked(self.bytes()) }
    }
}

impl core::fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes().fmt(f)
    }
}

/// `list<T>`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Slice<'c, T> {
    start: *const T,
    len: usize,
    items: PhantomData<&'c [T]>,
}

impl<'c, T> Slice<'c, T> {
    pub(crate) const EMPTY: Self = Self::of(&[]);

    /// # Safety
    /// As for `Str::new`, and `start` is aligned for `T`.
    #[inline]
    pub(crate) const unsafe fn new(start: *const T, len: usize) -> Self {
        Self { start, len, items: PhantomData }
    }

    #[inline]
    pub(crate) const fn of(items: &'c [T]) -> Self {
        Self { start: items.as_ptr(), len: items.len(), items: PhantomData }
    }

    #[inline]
    pub(crate) fn items(&self) -> &'c [T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: promised to `new`.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }
}

/// `header` and `attribute`; the name of both is text, the value of an attribute too.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Field<'c> {
    pub(crate) name: Str<'c>,
    pub(crate) value: Str<'c>,
}

impl<'c> Field<'c> {
    #[inline]
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.bytes() == name.as_bytes()
    }

    #[inline]
    pub(crate) fn name(&self) -> &'c str {
        // SAFETY: `string` in the contract, and made from `str` in tests.
        unsafe { self.name.text() }
    }

    #[inline]
    pub(crate) fn value(&self) -> &'c [u8] {
        self.value.bytes()
    }

    /// The value of an attribute; of a header field, what of it is UTF-8 or nothing.
    #[inline]
    pub(crate) fn text(&self) -> &'c str {
        core::str::from_utf8(self.value.bytes()).unwrap_or_default()
    }
}

/// `option<string>`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum Text<'c> {
    None,
    Some(Str<'c>),
}

/// `option<T>`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum Maybe<T> {
    None,
    Some(T),
}

/// `edit`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawEdit<'c> {
    SetHeader(Field<'c>),
    AppendHeader(Field<'c>),
    RemoveHeader(Str<'c>),
    SetMethod(Str<'c>),
    SetAuthority(Str<'c>),
    SetPath(Str<'c>),
    SetQuery(Text<'c>),
    SetAttribute(Field<'c>),
}

/// `reply`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawReply<'c> {
    pub status: u16,
    pub headers: Slice<'c, Field<'c>>,
    pub body: Str<'c>,
}

/// `verdict`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawVerdict<'c> {
    Next,
    Forward(Str<'c>),
    Reply(RawReply<'c>),
    Abort,
}

/// `decision`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawDecision<'c> {
    pub verdict: RawVerdict<'c>,
    pub edits: Slice<'c, RawEdit<'c>>,
}

/// `problem`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawProblem<'c> {
    pub path: Str<'c>,
    pub message: Str<'c>,
}

/// `request-interest` (`first` holds the flags) and `response-interest` (`first` is `exchange`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawInterest<'c> {
    pub first: u8,
    pub headers: Slice<'c, Str<'c>>,
    pub all_headers: bool,
    pub attributes: Slice<'c, Str<'c>>,
}

/// `plan`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawPlan<'c> {
    pub request: Maybe<RawInterest<'c>>,
    pub response: Maybe<RawInterest<'c>>,
    pub warnings: Slice<'c, RawProblem<'c>>,
}

/// What `configure` returns: `result<plan, list<problem>>`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawConfigured<'c> {
    Ok(RawPlan<'c>),
    Err(Slice<'c, RawProblem<'c>>),
}

/// `list<list<u8>>`.
pub type Strings<'c> = Slice<'c, Str<'c>>;

impl<'c> Strings<'c> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'c [u8]> + use<'c> {
        self.items().iter().map(Str::bytes)
    }
}

/// `list<u16>`.
pub type Numbers<'c> = Slice<'c, u16>;

/// `accept-verdict`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawAcceptVerdict<'c> {
    Next,
    Reset,
    Close,
    Forward(Str<'c>),
}

/// `accept-decision`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawAcceptDecision<'c> {
    pub verdict: RawAcceptVerdict<'c>,
    pub attributes: Slice<'c, Field<'c>>,
}

/// `hello-verdict`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawHelloVerdict<'c> {
    Next,
    Reset,
    Close,
    Alert(u8),
    Forward(Str<'c>),
    PassThrough(Str<'c>),
}

/// `hello-decision`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawHelloDecision<'c> {
    pub verdict: RawHelloVerdict<'c>,
    pub attributes: Slice<'c, Field<'c>>,
}

/// `accept-interest`, `hello-interest`, `close-interest` and `done-interest`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawShown<'c> {
    pub fields: u8,
    pub attributes: Slice<'c, Str<'c>>,
}

/// `connection-plan`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawConnectionPlan<'c> {
    pub accept: Maybe<RawShown<'c>>,
    pub client_hello: Maybe<RawShown<'c>>,
    pub close: Maybe<RawShown<'c>>,
}

/// `body-plan`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawBodyPlan<'c> {
    pub request: Maybe<RawInterest<'c>>,
    pub response: Maybe<RawInterest<'c>>,
}

/// What `begin` of `on-request-body` is passed: more than fits flat.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawRequestBegin<'c> {
    pub exchange: u64,
    pub method: Str<'c>,
    pub scheme: Str<'c>,
    pub authority: Str<'c>,
    pub path: Str<'c>,
    pub query: Text<'c>,
    pub headers: Slice<'c, Field<'c>>,
    pub attributes: Slice<'c, Field<'c>>,
    pub length: Maybe<u64>,
}

/// `body-want`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawWant {
    Pass,
    Watch,
    Transform,
    Buffer(u32),
}

/// `body-start`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawBodyStart<'c> {
    pub want: RawWant,
    pub edits: Slice<'c, RawEdit<'c>>,
}

/// `body-piece`; `body-range` in place.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawPiece<'c> {
    Keep(u32, u32),
    Bytes(Str<'c>),
}

/// `body-output`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawBodyOutput<'c> {
    pub pieces: Slice<'c, RawPiece<'c>>,
    pub more: bool,
}

/// `body-end`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawBodyEnd<'c> {
    pub pieces: Slice<'c, RawPiece<'c>>,
    pub edits: Slice<'c, RawEdit<'c>>,
}

/// `body-decision`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawBodyDecision<'c> {
    pub verdict: RawVerdict<'c>,
    pub edits: Slice<'c, RawEdit<'c>>,
    pub body: Maybe<Str<'c>>,
}

/// `candidate`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawCandidate<'c> {
    pub number: u32,
    pub address: Str<'c>,
    pub weight: u32,
    pub tags: Strings<'c>,
    pub running: u32,
    pub latency: u32,
}

impl<'c> RawCandidate<'c> {
    #[inline]
    pub(crate) fn address_text(&self) -> &'c str {
        // SAFETY: `string` in the contract, and made from `str` in tests.
        unsafe { self.address.text() }
    }
}

/// `balance-verdict`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawBalanceVerdict {
    Next,
    Choose(u32),
}

/// `balance-decision`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawBalanceDecision<'c> {
    pub verdict: RawBalanceVerdict,
    pub attributes: Slice<'c, Field<'c>>,
}

/// `attempt-verdict`.
#[repr(C, u8)]
#[derive(Debug, Clone, Copy)]
pub enum RawAttemptVerdict {
    Next,
    Stop,
    Again,
    AgainOn(u32),
}

/// `attempt-decision`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawAttemptDecision<'c> {
    pub verdict: RawAttemptVerdict,
    pub attributes: Slice<'c, Field<'c>>,
}

/// `balance-interest` and `attempt-interest`, whose lists differ.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawBetween<'c, T> {
    pub fields: u8,
    pub list: Slice<'c, T>,
    pub attributes: Slice<'c, Str<'c>>,
}

/// `upstream-plan`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawUpstreamPlan<'c> {
    pub balance: Maybe<RawBetween<'c, Str<'c>>>,
    pub attempt: Maybe<RawBetween<'c, u16>>,
    pub done: Maybe<RawShown<'c>>,
    pub tick: Maybe<u32>,
}

#[cfg(target_family = "wasm")]
const _: () = {
    assert!(size_of::<RawBodyPlan<'_>>() == 56);
    assert!(size_of::<RawRequestBegin<'_>>() == 88);
    assert!(size_of::<RawBodyStart<'_>>() == 16);
    assert!(size_of::<RawPiece<'_>>() == 12);
    assert!(size_of::<RawBodyOutput<'_>>() == 12);
    assert!(size_of::<RawBodyEnd<'_>>() == 16);
    assert!(size_of::<RawBodyDecision<'_>>() == 44);
    assert!(size_of::<RawCandidate<'_>>() == 32);
    assert!(size_of::<RawBalanceDecision<'_>>() == 16);
    assert!(size_of::<RawAttemptDecision<'_>>() == 16);
    assert!(size_of::<RawUpstreamPlan<'_>>() == 72);
    assert!(size_of::<RawAcceptDecision<'_>>() == 20);
    assert!(size_of::<RawHelloDecision<'_>>() == 20);
    assert!(size_of::<RawConnectionPlan<'_>>() == 48);
    assert!(size_of::<Str<'_>>() == 8);
    assert!(size_of::<Field<'_>>() == 16);
    assert!(size_of::<Text<'_>>() == 12);
    assert!(size_of::<RawEdit<'_>>() == 20);
    assert!(size_of::<RawReply<'_>>() == 20);
    assert!(size_of::<RawVerdict<'_>>() == 24);
    assert!(size_of::<RawDecision<'_>>() == 32);
    assert!(size_of::<RawInterest<'_>>() == 24);
    assert!(size_of::<RawPlan<'_>>() == 64);
    assert!(size_of::<RawConfigured<'_>>() == 68);
};
