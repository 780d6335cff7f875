//! `#[plugin]`: from an `impl` block to the SDK's traits, and on the Wasm target to exports of just the phases in it.

use crate::doc;
use crate::interest::Interest;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, Type};

/// A phase of the contract: the author's method, and what stands for it in the SDK.
struct Phase {
    method: &'static str,
    /// In `Plan`.
    plan: &'static str,
    /// In `portcullis_sdk::plugin`.
    of: &'static str,
    /// Arguments after `&self`, in `portcullis_sdk`; borrowed, the second one mutably.
    takes: &'static [&'static str],
    /// In `portcullis_sdk`; `None`: nothing.
    gives: Option<&'static str>,
    export: &'static str,
    /// What is exported beside it: `connections`, `bodies`, `upstreams`.
    beside: Option<&'static str>,
}

const PHASES: [Phase; 11] = [
    Phase {
        method: "on_request",
        plan: "request",
        of: "OnRequest",
        takes: &["Request", "RequestEdits"],
        gives: Some("Verdict"),
        export: "__export_on_request",
        beside: None,
    },
    Phase {
        method: "on_response",
        plan: "response",
        of: "OnResponse",
        takes: &["Response", "Edits"],
        gives: Some("ResponseVerdict"),
        export: "__export_on_response",
        beside: None,
    },
    Phase {
        method: "on_request_body",
        plan: "request_body",
        of: "OnRequestBody",
        takes: &["RequestBegin", "RequestEdits"],
        gives: Some("RequestBody"),
        export: "__export_on_request_body",
        beside: Some("__export_bodies"),
    },
    Phase {
        method: "on_response_body",
        plan: "response_body",
        of: "OnResponseBody",
        takes: &["ResponseBegin", "Edits"],
        gives: Some("ResponseBody"),
        export: "__export_on_response_body",
        beside: Some("__export_bodies"),
    },
    Phase {
        method: "on_accept",
        plan: "accept",
        of: "OnAccept",
        takes: &["Accepted", "ConnectionEdits"],
        gives: Some("AcceptVerdict"),
        export: "__export_on_accept",
        beside: Some("__export_connections"),
    },
    Phase {
        method: "on_client_hello",
        plan: "client_hello",
        of: "OnClientHello",
        takes: &["ClientHello", "ConnectionEdits"],
        gives: Some("HelloVerdict"),
        export: "__export_on_client_hello",
        beside: Some("__export_connections"),
    },
    Phase {
        method: "on_close",
        plan: "close",
        of: "OnClose",
        takes: &["Closed"],
        gives: None,
        export: "__export_on_close",
        beside: Some("__export_connections"),
    },
    Phase {
        method: "on_balance",
        plan: "balance",
        of: "OnBalance",
        takes: &["Choice", "UpstreamEdits"],
        gives: Some("BalanceVerdict"),
        export: "__export_on_balance",
        beside: Some("__export_upstreams"),
    },
    Phase {
        method: "on_attempt",
        plan: "attempt",
        of: "OnAttempt",
        takes: &["FailedAttempt", "UpstreamEdits"],
        gives: Some("AttemptVerdict"),
        export: "__export_on_attempt",
        beside: Some("__export_upstreams"),
    },
    Phase {
        method: "on_done",
        plan: "done",
        of: "OnDone",
        takes: &["Done"],
        gives: None,
        export: "__export_on_done",
        beside: Some("__export_upstreams"),
    },
    Phase {
        method: "on_tick",
        plan: "tick",
        of: "OnTick",
        takes: &["Tick"],
        gives: None,
        export: "__export_on_tick",
        beside: Some("__export_upstreams"),
    },
];

/// `#[plugin(name = "…", description = "…")]`, both optional.
#[derive(Default)]
struct Arguments {
    name: Option<LitStr>,
    description: Option<LitStr>,
}

/// The methods that mean something, out of the author's block.
#[derive(Default)]
struct Found {
    configure: Option<ImplItemFn>,
    check: Option<ImplItemFn>,
    plan: Option<ImplItemFn>,
    /// By index into `PHASES`, with what it asks for.
    phases: Vec<(usize, ImplItemFn, Interest)>,
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = arguments_of(arguments)?;
    let mut block: ItemImpl = syn::parse2(item)?;
    if block.trait_.is_some() {
        return Err(Error::new(block.self_ty.span(), "`#[plugin]` goes on `impl Name { … }`, not on an impl of a trait"));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new(block.generics.span(), "a plugin cannot be generic: the proxy makes it of settings alone"));
    }
    let found = find(&mut block)?;
    if found.phases.is_empty() {
        let names = PHASES.each_ref().map(|phase| phase.method).join("`, `");
        return Err(Error::new(block.self_ty.span(), format!("a plugin takes part in at least one phase: write `{names}` or several")));
    }
    let traits = traits(&block.self_ty, &block, &arguments, &found)?;
    let exports = exports(&block.self_ty, &found);
    Ok(quote! {
        #block
        #traits
        #exports
    })
}

fn arguments_of(tokens: TokenStream) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    let parser = syn::meta::parser(|meta| {
        let slot = match () {
            () if meta.path.is_ident("name") => &mut arguments.name,
            () if meta.path.is_ident("description") => &mut arguments.description,
            () => return Err(meta.error("there are `name = \"…\"` and `description = \"…\"`")),
        };
        *slot = Some(meta.value()?.parse()?);
        Ok(())
    });
    parser.parse2(tokens)?;
    Ok(arguments)
}

/// Sorts the methods and takes the `#[interest]` attributes off.
fn find(block: &mut ItemImpl) -> Result<Found> {
    let mut found = Found::default();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let interest = take_interest(method)?;
        let name = method.sig.ident.to_string();
        if let Some(index) = PHASES.iter().position(|phase| phase.method == name) {
            found.phases.push((index, method.clone(), interest.unwrap_or_default()));
            continue;
        }
        if interest.is_some() {
            return Err(Error::new(method.sig.ident.span(), "`#[interest]` goes on a phase, such as `on_request`"));
        }
        match &*name {
            "configure" => found.configure = Some(method.clone()),
            "check" => found.check = Some(method.clone()),
            "plan" => found.plan = Some(method.clone()),
            other if other.starts_with("on_") => {
                let names = PHASES.each_ref().map(|phase| phase.method).join("`, `");
                return Err(Error::new(
                    method.sig.ident.span(),
                    format!(
                        "no phase is called `{other}`; there are `{names}`. Other methods that begin with `on_` go into another impl block"
                    ),
                ));
            }
            _ => {}
        }
    }
    if let (Some(_), Some(check)) = (&found.configure, &found.check) {
        return Err(Error::new(check.sig.ident.span(), "`configure` can refuse settings itself; write one of the two"));
    }
    Ok(found)
}

fn take_interest(method: &mut ImplItemFn) -> Result<Option<Interest>> {
    let Some(at) = method.attrs.iter().position(|attribute| attribute.path().is_ident("interest")) else { return Ok(None) };
    let attribute = method.attrs.remove(at);
    match &attribute.meta {
        syn::Meta::Path(_) => Ok(Some(Interest::default())),
        _ => attribute.parse_args().map(Some),
    }
}

fn traits(plugin: &Type, block: &ItemImpl, arguments: &Arguments, found: &Found) -> Result<TokenStream> {
    let about = about(block, arguments);
    let (settings, configure) = configure(plugin, found)?;
    let plan = plan(plugin, found)?;
    let phases = found.phases.iter().map(|(index, method, _)| phase(plugin, &PHASES[*index], method));
    Ok(quote! {
        #[automatically_derived]
        impl ::portcullis_sdk::plugin::Plugin for #plugin {
            type Settings = #settings;
            const ABOUT: ::portcullis_sdk::plugin::About = #about;
            #configure
            #plan
        }
        #(#phases)*
    })
}

fn about(block: &ItemImpl, arguments: &Arguments) -> TokenStream {
    let name = arguments.name.as_ref().map_or_else(|| quote!(::core::env!("CARGO_PKG_NAME")), |name| quote!(#name));
    let description = match &arguments.description {
        Some(text) => text.value(),
        None => doc::summary(&block.attrs),
    };
    quote! {
        ::portcullis_sdk::plugin::About {
            name: #name,
            version: ::core::env!("CARGO_PKG_VERSION"),
            description: #description,
            package_description: ::core::env!("CARGO_PKG_DESCRIPTION"),
        }
    }
}

/// The type of the settings, and the trait's `configure`.
fn configure(plugin: &Type, found: &Found) -> Result<(TokenStream, TokenStream)> {
    let problems = quote!(::portcullis_sdk::__private::Vec<::portcullis_sdk::Problem>);
    let Some(method) = &found.configure else {
        let check = found.check.as_ref().map(|check| {
            let call = quote_spanned!(check.sig.ident.span()=> <#plugin>::check(&settings)?;);
            quote!(#call)
        });
        let body = quote! {
            fn configure(settings: Self) -> ::core::result::Result<Self, #problems> {
                #check
                ::core::result::Result::Ok(settings)
            }
        };
        return Ok((quote!(Self), body));
    };
    let settings = match method.sig.inputs.first() {
        Some(FnArg::Typed(argument)) if method.sig.inputs.len() == 1 => &argument.ty,
        _ => {
            return Err(Error::new(method.sig.span(), "write `fn configure(settings: YourSettings) -> Result<Self, Vec<Problem>>`"));
        }
    };
    let call = quote_spanned!(method.sig.ident.span()=> <#plugin>::configure(settings));
    let body = quote! {
        fn configure(settings: Self::Settings) -> ::core::result::Result<Self, #problems> {
            #call
        }
    };
    Ok((quote!(#settings), body))
}

fn plan(plugin: &Type, found: &Found) -> Result<TokenStream> {
    let mut asks = TokenStream::new();
    for (index, method, interest) in &found.phases {
        let phase = PHASES[*index].plan;
        if phase == "tick" {
            let every = interest.every(method, found.plan.is_some())?;
            asks.extend(every.map(|millis| quote!(plan.tick(::core::time::Duration::from_millis(#millis));)));
            continue;
        }
        let calls = interest.ask(phase)?;
        let method = syn::Ident::new(phase, proc_macro2::Span::call_site());
        asks.extend(quote! {
            {
                let interest = plan.#method();
                #calls
                let _ = interest;
            }
        });
    }
    let own = found.plan.as_ref().map(|method| quote_spanned!(method.sig.ident.span()=> <#plugin>::plan(self, plan);));
    Ok(quote! {
        fn plan(&self, plan: &mut ::portcullis_sdk::Plan) {
            #asks
            #own
        }
    })
}

fn phase(plugin: &Type, phase: &Phase, method: &ImplItemFn) -> TokenStream {
    let span = method.sig.ident.span();
    let ident = |name: &str| syn::Ident::new(name, proc_macro2::Span::call_site());
    let (name, of) = (ident(phase.method), ident(phase.of));
    let seen = ident(phase.takes[0]);
    let own = syn::Ident::new(phase.method, span);
    let (call, edits) = match phase.takes.get(1) {
        Some(edits) => {
            let edits = ident(edits);
            (quote_spanned!(span=> <#plugin>::#own(self, seen, edit)), quote!(, edit: &mut ::portcullis_sdk::#edits<'_>))
        }
        None => (quote_spanned!(span=> <#plugin>::#own(self, seen)), quote!()),
    };
    let (gives, body) = match phase.gives {
        Some(verdict) => {
            let verdict = ident(verdict);
            (quote!(-> ::portcullis_sdk::#verdict), quote!(::core::convert::Into::into(#call)))
        }
        None => (quote!(), quote!(#call)),
    };
    quote! {
        #[automatically_derived]
        impl ::portcullis_sdk::plugin::#of for #plugin {
            #[inline]
            fn #name(&self, seen: &::portcullis_sdk::#seen<'_> #edits) #gives {
                #[allow(clippy::unit_arg, reason = "a phase may return nothing")]
                #body
            }
        }
    }
}

/// What the proxy finds in the component: `lifecycle` and the phases that were written, nothing else.
fn exports(plugin: &Type, found: &Found) -> TokenStream {
    let phases = found.phases.iter().map(|(index, ..)| {
        let export = syn::Ident::new(PHASES[*index].export, proc_macro2::Span::call_site());
        quote!(::portcullis_sdk::#export! {})
    });
    let beside: std::collections::BTreeSet<_> = found.phases.iter().filter_map(|(index, ..)| PHASES[*index].beside).collect();
    let beside = beside.into_iter().map(|export| {
        let export = syn::Ident::new(export, proc_macro2::Span::call_site());
        quote!(::portcullis_sdk::#export! {})
    });
    let used = found.phases.iter().map(|(index, ..)| {
        let phase = &PHASES[*index];
        let [of, method] = [phase.of, phase.method].map(|name| syn::Ident::new(name, proc_macro2::Span::call_site()));
        quote!(let _ = <#plugin as ::portcullis_sdk::plugin::#of>::#method;)
    });
    quote! {
        // Nothing calls a plugin on the native target but tests: without them the compiler would take it for dead code.
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            let _ = <#plugin as ::portcullis_sdk::plugin::Plugin>::configure;
            #(#used)*
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::portcullis_sdk::__export_lifecycle! { #plugin }
            #(#beside)*
            #(#phases)*
        };
    }
}
