//! Capabilities: functions of the proxy that a plugin may call. What is not called is not imported.

#[link(wasm_import_module = "wasi:random/random@0.2.0")]
unsafe extern "C" {
    #[link_name = "get-random-u64"]
    safe fn get_random_u64() -> u64;
}

#[unsafe(link_section = "component-type:portcullis-random")]
#[used]
static RANDOM: [u8; super::metadata::RANDOM.len()] = *super::metadata::RANDOM;

#[inline]
pub(crate) fn random() -> u64 {
    get_random_u64()
}
