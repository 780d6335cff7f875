//! The attribute macros of `portcullis-sdk`, which documents and re-exports them. Use them from there.
//!
//! They write no `unsafe` of their own: on the Wasm target they call the SDK's export macros, elsewhere nothing.

mod doc;
mod interest;
mod plugin;
mod settings;

use proc_macro::TokenStream;

/// See `portcullis_sdk::plugin`.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// See `portcullis_sdk::settings`.
#[proc_macro_attribute]
pub fn settings(arguments: TokenStream, item: TokenStream) -> TokenStream {
    settings::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
