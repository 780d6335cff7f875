//! Capabilities: functions of the proxy that a plugin may call. What is not called is not imported.
//!
//! The functions are not `#[inline]`, so that whoever calls one links this module, and with it the sections that describe them. They are
//! those of `test::outside`, which stands in for this module on the native target.

use super::given::{Answer, Given, GivenResponse, GivenSendError, GivenStoreError, GivenTaken, Perhaps, returned};
use super::raw::{Field, Maybe, Slice, Str};
use crate::http::{self, Request, Response};
use crate::kv;
use crate::log::Level;
use alloc::string::String;
use alloc::vec::Vec;

#[link(wasm_import_module = "wasi:random/random@0.2.0")]
unsafe extern "C" {
    #[link_name = "get-random-u64"]
    safe fn get_random_u64() -> u64;
}

#[link(wasm_import_module = "portcullis:plugin/log@0.1.0")]
unsafe extern "C" {
    #[link_name = "log"]
    fn log_log(level: u32, message: *const u8, message_len: usize);
}

#[link(wasm_import_module = "portcullis:plugin/clock@0.1.0")]
unsafe extern "C" {
    #[link_name = "now"]
    safe fn clock_now() -> u64;
    #[link_name = "monotonic"]
    safe fn clock_monotonic() -> u64;
}

#[link(wasm_import_module = "portcullis:plugin/random@0.1.0")]
unsafe extern "C" {
    #[link_name = "bytes"]
    fn random_bytes(length: u32, result: *mut Given<u8>);
}

#[link(wasm_import_module = "portcullis:plugin/secret@0.1.0")]
unsafe extern "C" {
    #[link_name = "get"]
    fn secret_get(name: *const u8, name_len: usize, result: *mut Perhaps<Given<u8>>);
}

#[link(wasm_import_module = "portcullis:plugin/metrics@0.1.0")]
unsafe extern "C" {
    #[link_name = "count"]
    fn metrics_count(name: *const u8, name_len: usize, labels: *const Field<'_>, labels_len: usize, add: u64);
    #[link_name = "gauge"]
    fn metrics_gauge(name: *const u8, name_len: usize, labels: *const Field<'_>, labels_len: usize, value: f64);
    #[link_name = "observe"]
    fn metrics_observe(name: *const u8, name_len: usize, labels: *const Field<'_>, labels_len: usize, value: f64);
}

#[link(wasm_import_module = "portcullis:plugin/tracing@0.1.0")]
unsafe extern "C" {
    #[link_name = "set-attribute"]
    fn tracing_set_attribute(name: *const u8, name_len: usize, value: *const u8, value_len: usize);
    #[link_name = "add-event"]
    fn tracing_add_event(name: *const u8, name_len: usize, attributes: *const Field<'_>, attributes_len: usize);
    #[link_name = "traceparent"]
    fn tracing_traceparent(result: *mut Perhaps<Given<u8>>);
}

#[link(wasm_import_module = "portcullis:plugin/kv@0.1.0")]
unsafe extern "C" {
    #[link_name = "get"]
    fn kv_get(store: *const u8, store_len: usize, key: *const u8, key_len: usize, result: *mut Answer<Perhaps<Given<u8>>, GivenStoreError>);
    #[link_name = "set"]
    fn kv_set(
        store: *const u8,
        store_len: usize,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
        has_ttl: u32,
        ttl: u64,
        result: *mut Answer<(), GivenStoreError>,
    );
    #[link_name = "add"]
    fn kv_add(
        store: *const u8,
        store_len: usize,
        key: *const u8,
        key_len: usize,
        delta: i64,
        has_ttl: u32,
        ttl: u64,
        result: *mut Answer<i64, GivenStoreError>,
    );
    #[link_name = "compare-and-set"]
    fn kv_compare_and_set(
        store: *const u8,
        store_len: usize,
        key: *const u8,
        key_len: usize,
        has_expected: u32,
        expected: *const u8,
        expected_len: usize,
        value: *const u8,
        value_len: usize,
        has_ttl: u32,
        ttl: u64,
        result: *mut Answer<bool, GivenStoreError>,
    );
    #[link_name = "delete"]
    fn kv_delete(store: *const u8, store_len: usize, key: *const u8, key_len: usize, result: *mut Answer<bool, GivenStoreError>);
    #[link_name = "take"]
    fn kv_take(
        store: *const u8,
        store_len: usize,
        key: *const u8,
        key_len: usize,
        units: u32,
        capacity: u32,
        interval: u64,
        result: *mut Answer<GivenTaken, GivenStoreError>,
    );
}

#[link(wasm_import_module = "portcullis:plugin/http-client@0.1.0")]
unsafe extern "C" {
    #[link_name = "send"]
    fn http_client_send(requests: *const RawRequest<'_>, requests_len: usize, result: *mut Given<Answer<GivenResponse, GivenSendError>>);
}

/// The custom section of one interface. Not `#[used]`: that would keep the bytes in the module's data as well.
macro_rules! described {
    ($($name:ident $section:literal)*) => {$(
        #[allow(dead_code, reason = "it is there for its section")]
        #[unsafe(link_section = $section)]
        static $name: [u8; super::metadata::$name.len()] = *super::metadata::$name;
    )*};
}
described! {
    WASI_RANDOM "component-type:portcullis-wasi-random"
    LOG "component-type:portcullis-log"
    CLOCK "component-type:portcullis-clock"
    RANDOM "component-type:portcullis-random"
    SECRET "component-type:portcullis-secret"
    METRICS "component-type:portcullis-metrics"
    TRACING "component-type:portcullis-tracing"
    KV "component-type:portcullis-kv"
    HTTP_CLIENT "component-type:portcullis-http-client"
}

/// `request` of `http-client`.
#[repr(C)]
struct RawRequest<'r> {
    upstream: Str<'r>,
    method: Str<'r>,
    authority: Str<'r>,
    path: Str<'r>,
    headers: Slice<'r, Field<'r>>,
    body: Str<'r>,
    timeout: Maybe<u32>,
}

const _: () = assert!(size_of::<RawRequest<'_>>() == 56);

pub(crate) fn random() -> u64 {
    get_random_u64()
}

pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: a string that lives until the call returns.
    unsafe { log_log(level as u32, message.as_ptr(), message.len()) }
}

pub(crate) fn now() -> u64 {
    clock_now()
}

pub(crate) fn monotonic() -> u64 {
    clock_monotonic()
}

pub(crate) fn bytes(length: u32) -> Vec<u8> {
    // SAFETY: the import writes its result there.
    unsafe { returned(|result| random_bytes(length, result)) }.into()
}

pub(crate) fn secret(name: &str) -> Option<Vec<u8>> {
    // SAFETY: a string that lives until the call returns; the import writes its result there.
    let found: Option<Given<u8>> = unsafe { returned(|result| secret_get(name.as_ptr(), name.len(), result)) }.into();
    found.map(Vec::from)
}

/// The labels as the contract passes them, on the stack.
#[inline]
fn labelled(labels: &[(&str, &str)], tell: impl FnOnce(*const Field<'_>, usize)) {
    const MOST: usize = 8;
    assert!(labels.len() <= MOST, "at most 8 labels or attributes");
    let mut fields = [Field { name: Str::of(b""), value: Str::of(b"") }; MOST];
    for (field, (name, value)) in fields.iter_mut().zip(labels) {
        *field = Field { name: Str::of(name.as_bytes()), value: Str::of(value.as_bytes()) };
    }
    tell(fields.as_ptr(), labels.len());
}

pub(crate) fn set_attribute(name: &str, value: &str) {
    // SAFETY: strings that live until the call returns.
    unsafe { tracing_set_attribute(name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub(crate) fn add_event(name: &str, attributes: &[(&str, &str)]) {
    // SAFETY: a string and a list that live until the call returns.
    labelled(attributes, |attributes, len| unsafe { tracing_add_event(name.as_ptr(), name.len(), attributes, len) });
}

pub(crate) fn traceparent() -> Option<String> {
    // SAFETY: the import writes its result there.
    let found: Option<Given<u8>> = unsafe { returned(|result| tracing_traceparent(result)) }.into();
    found.map(String::from)
}

pub(crate) fn count(name: &str, labels: &[(&str, &str)], add: u64) {
    // SAFETY: strings and a list that live until the call returns. So below.
    labelled(labels, |labels, len| unsafe { metrics_count(name.as_ptr(), name.len(), labels, len, add) });
}

pub(crate) fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
    // SAFETY: as in `count`.
    labelled(labels, |labels, len| unsafe { metrics_gauge(name.as_ptr(), name.len(), labels, len, value) });
}

pub(crate) fn observe(name: &str, labels: &[(&str, &str)], value: f64) {
    // SAFETY: as in `count`.
    labelled(labels, |labels, len| unsafe { metrics_observe(name.as_ptr(), name.len(), labels, len, value) });
}

/// What the import said, by way of the memory it is shown.
#[inline]
fn asked<T>(import: impl FnOnce(*mut Answer<T, GivenStoreError>)) -> Result<T, kv::Error> {
    // SAFETY: every import that is asked writes its result there.
    match unsafe { returned(import) } {
        Answer::Ok(value) => Ok(value),
        Answer::Err(error) => Err(error.into()),
    }
}

#[inline]
fn ttl(millis: Option<u64>) -> (u32, u64) {
    millis.map_or((0, 0), |millis| (1, millis))
}

pub(crate) fn get(store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, kv::Error> {
    // SAFETY: texts that live until the call returns. So below.
    let found = asked(|result| unsafe { kv_get(store.as_ptr(), store.len(), key.as_ptr(), key.len(), result) })?;
    Ok(Option::<Given<u8>>::from(found).map(Vec::from))
}

pub(crate) fn set(store: &str, key: &[u8], value: &[u8], time: Option<u64>) -> Result<(), kv::Error> {
    let (has_ttl, ttl) = ttl(time);
    // SAFETY: as in `get`.
    asked(|result| unsafe {
        kv_set(store.as_ptr(), store.len(), key.as_ptr(), key.len(), value.as_ptr(), value.len(), has_ttl, ttl, result);
    })
}

pub(crate) fn add(store: &str, key: &[u8], delta: i64, time: Option<u64>) -> Result<i64, kv::Error> {
    let (has_ttl, ttl) = ttl(time);
    // SAFETY: as in `get`.
    asked(|result| unsafe { kv_add(store.as_ptr(), store.len(), key.as_ptr(), key.len(), delta, has_ttl, ttl, result) })
}

pub(crate) fn compare_and_set(
    store: &str,
    key: &[u8],
    expected: Option<&[u8]>,
    value: &[u8],
    time: Option<u64>,
) -> Result<bool, kv::Error> {
    let (has_expected, expected) = expected.map_or((0, &[][..]), |expected| (1, expected));
    let (has_ttl, ttl) = ttl(time);
    // SAFETY: as in `get`.
    asked(|result| unsafe {
        kv_compare_and_set(
            store.as_ptr(),
            store.len(),
            key.as_ptr(),
            key.len(),
            has_expected,
            expected.as_ptr(),
            expected.len(),
            value.as_ptr(),
            value.len(),
            has_ttl,
            ttl,
            result,
        );
    })
}

pub(crate) fn delete(store: &str, key: &[u8]) -> Result<bool, kv::Error> {
    // SAFETY: as in `get`.
    asked(|result| unsafe { kv_delete(store.as_ptr(), store.len(), key.as_ptr(), key.len(), result) })
}

pub(crate) fn take(store: &str, key: &[u8], units: u32, capacity: u32, interval: u64) -> Result<kv::Taken, kv::Error> {
    // SAFETY: as in `get`.
    let taken =
        asked(|result| unsafe { kv_take(store.as_ptr(), store.len(), key.as_ptr(), key.len(), units, capacity, interval, result) })?;
    Ok(taken.into())
}

pub(crate) fn send(requests: &[Request<'_>]) -> Vec<Result<Response, http::Error>> {
    let raw: Vec<RawRequest<'_>> = requests.iter().map(lower).collect();
    // SAFETY: a list that lives until the call returns, as does what it points to; the import writes its result there.
    let answers: Vec<Answer<GivenResponse, GivenSendError>> =
        unsafe { returned(|result| http_client_send(raw.as_ptr(), raw.len(), result)) }.into();
    let lift = |answer: Answer<GivenResponse, GivenSendError>| match answer {
        Answer::Ok(response) => Ok(response.into()),
        Answer::Err(error) => Err(error.into()),
    };
    answers.into_iter().map(lift).collect()
}

fn lower<'r>(request: &'r Request<'_>) -> RawRequest<'r> {
    RawRequest {
        upstream: Str::of(request.upstream.as_bytes()),
        method: Str::of(request.method.as_bytes()),
        authority: Str::of(request.authority.as_bytes()),
        path: Str::of(request.path.as_bytes()),
        headers: Slice::of(&request.headers),
        body: Str::of(request.body),
        timeout: request.timeout.map_or(Maybe::None, Maybe::Some),
    }
}
