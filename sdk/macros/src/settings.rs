//! `#[settings]`: a struct or enum that serde reads and whose JSON Schema is a constant.

use crate::doc;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Error, Expr, ExprLit, Field, Fields, Item, ItemEnum, ItemStruct, Lit, LitStr, Result, Token, bracketed};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[settings]` takes nothing; see `#[setting(…)]` for fields"));
    }
    match syn::parse2(item)? {
        Item::Struct(item) if !item.generics.params.is_empty() => Err(Error::new_spanned(item.generics, "settings cannot be generic")),
        Item::Struct(item) => of_struct(item),
        Item::Enum(item) => of_enum(item),
        other => Err(Error::new_spanned(other, "`#[settings]` goes on a struct or an enum")),
    }
}

/// `#[setting(…)]` of one field or variant.
#[derive(Default)]
struct Setting {
    rename: Option<LitStr>,
    default: Default,
    min: Option<String>,
    max: Option<String>,
    values: Vec<String>,
    format: Option<String>,
}

#[derive(Default)]
enum Default {
    #[default]
    None,
    /// `default`: that of the type.
    OfType,
    /// `default = …`: the expression, and what it is in JSON.
    Literal(Box<Expr>, String),
}

/// Takes `#[setting]` off and refuses `#[serde]`: the schema would not know what it says.
fn setting(attributes: &mut Vec<Attribute>) -> Result<Setting> {
    let mut setting = Setting::default();
    for attribute in attributes.iter() {
        if attribute.path().is_ident("serde") {
            return Err(Error::new_spanned(attribute, "write #[setting(…)]: the schema that operators see is made from it"));
        }
        if !attribute.path().is_ident("setting") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                setting.rename = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("default") {
                setting.default = if meta.input.peek(Token![=]) {
                    let value: Expr = meta.value()?.parse()?;
                    let json = json(&value)?;
                    Default::Literal(Box::new(value), json)
                } else {
                    Default::OfType
                };
            } else if meta.path.is_ident("min") {
                setting.min = Some(json(&meta.value()?.parse()?)?);
            } else if meta.path.is_ident("max") {
                setting.max = Some(json(&meta.value()?.parse()?)?);
            } else if meta.path.is_ident("values") {
                let list = meta.value()?;
                let inner;
                bracketed!(inner in list);
                let values = syn::punctuated::Punctuated::<Expr, Token![,]>::parse_terminated(&inner)?;
                setting.values = values.iter().map(json).collect::<Result<_>>()?;
            } else if meta.path.is_ident("format") {
                setting.format = Some(meta.value()?.parse::<LitStr>()?.value());
            } else {
                return Err(meta.error("there are: rename, default, min, max, values, format"));
            }
            Ok(())
        })?;
    }
    attributes.retain(|attribute| !attribute.path().is_ident("setting"));
    Ok(setting)
}

/// A literal as JSON.
fn json(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(quoted(&text.value())),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Ok(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => Ok(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit { lit: Lit::Bool(yes), .. }) => Ok(yes.value.to_string()),
        Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), expr, .. }) => Ok(format!("-{}", json(expr)?)),
        other => {
            Err(Error::new_spanned(other, "a literal: operators are shown it. For others write `default` alone and implement `Default`"))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\n' => json.push_str("\\n"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// `strip_prefix` and `StripPrefix` are `strip-prefix` in TOML.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for (index, c) in name.trim_start_matches("r#").chars().enumerate() {
        if c == '_' {
            kebab.push('-');
        } else if c.is_uppercase() {
            if index > 0 {
                kebab.push('-');
            }
            kebab.extend(c.to_lowercase());
        } else {
            kebab.push(c);
        }
    }
    kebab
}

fn of_struct(mut item: ItemStruct) -> Result<TokenStream> {
    let mut defaults = Vec::new();
    let mut properties = Vec::new();
    let unit = match &mut item.fields {
        Fields::Named(fields) => {
            for field in &mut fields.named {
                let (property, default) = property(&item.ident, field)?;
                properties.push(property);
                defaults.extend(default);
            }
            false
        }
        // A plugin without settings.
        Fields::Unit => true,
        Fields::Unnamed(fields) => return Err(Error::new_spanned(fields, "settings have names: write a struct with named fields")),
    };
    let (name, description) = (&item.ident, doc::summary(&item.attrs));
    let schema = quote! {
        #[automatically_derived]
        impl ::portcullis_sdk::settings::Setting for #name {
            const SCHEMA: ::portcullis_sdk::settings::Schema = ::portcullis_sdk::settings::Schema::Object(
                ::portcullis_sdk::settings::Object { description: #description, properties: &[#(#properties),*] }
            );
        }
        #(#defaults)*
    };
    if unit {
        return Ok(quote! {
            #item
            #[automatically_derived]
            impl<'de> ::portcullis_sdk::__private::serde::Deserialize<'de> for #name {
                fn deserialize<D: ::portcullis_sdk::__private::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                    ::portcullis_sdk::__private::nothing(deserializer).map(|()| #name)
                }
            }
            #schema
        });
    }
    Ok(quote! {
        #[derive(::portcullis_sdk::__private::serde::Deserialize)]
        #[serde(crate = "::portcullis_sdk::__private::serde", deny_unknown_fields)]
        #item
        #schema
    })
}

/// The schema's member for a field, and the function that makes its default.
fn property(owner: &syn::Ident, field: &mut Field) -> Result<(TokenStream, Option<TokenStream>)> {
    let setting = setting(&mut field.attrs)?;
    let (ident, kind) = (field.ident.clone(), &field.ty);
    let ident = ident.ok_or_else(|| Error::new_spanned(&*field, "settings have names"))?;
    let name = setting.rename.map_or_else(|| kebab(&ident.to_string()), |name| name.value());
    let description = doc::summary(&field.attrs);
    field.attrs.push(syn::parse_quote!(#[serde(rename = #name)]));

    let (mut required, mut default, mut function) = (quote!(!<#kind as ::portcullis_sdk::settings::Setting>::OPTIONAL), quote!(None), None);
    match setting.default {
        Default::None => {}
        Default::OfType => {
            required = quote!(false);
            field.attrs.push(syn::parse_quote!(#[serde(default)]));
        }
        Default::Literal(value, json) => {
            required = quote!(false);
            default = quote!(Some(#json));
            let called = format_ident!("__{}_{}", owner, ident);
            let called_text = called.to_string();
            field.attrs.push(syn::parse_quote!(#[serde(default = #called_text)]));
            let made = match &*value {
                Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => quote!(::core::convert::Into::into(#value)),
                _ => quote!(#value),
            };
            function = Some(quote! {
                #[allow(non_snake_case, reason = "made of two names")]
                fn #called() -> #kind {
                    #made
                }
            });
        }
    }
    let narrow = narrow(setting.min, setting.max, &setting.values, setting.format);
    let property = quote! {
        ::portcullis_sdk::settings::Property {
            name: #name,
            description: #description,
            schema: <#kind as ::portcullis_sdk::settings::Setting>::SCHEMA,
            required: #required,
            default: #default,
            narrow: #narrow,
        }
    };
    Ok((property, function))
}

fn narrow(min: Option<String>, max: Option<String>, values: &[String], format: Option<String>) -> TokenStream {
    let option = |text: Option<String>| text.map_or_else(|| quote!(None), |text| quote!(Some(#text)));
    let (min, max, format) = (option(min), option(max), option(format));
    quote! {
        ::portcullis_sdk::settings::Narrow { min: #min, max: #max, values: &[#(#values),*], format: #format }
    }
}

fn of_enum(mut item: ItemEnum) -> Result<TokenStream> {
    let mut names = Vec::new();
    for variant in &mut item.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a choice is one of several words: variants cannot have fields"));
        }
        let renamed = setting(&mut variant.attrs)?.rename;
        let name = renamed.map_or_else(|| kebab(&variant.ident.to_string()), |name| name.value());
        variant.attrs.push(syn::parse_quote!(#[serde(rename = #name)]));
        names.push(name);
    }
    let name = &item.ident;
    Ok(quote! {
        #[derive(::portcullis_sdk::__private::serde::Deserialize)]
        #[serde(crate = "::portcullis_sdk::__private::serde")]
        #item
        #[automatically_derived]
        impl ::portcullis_sdk::settings::Setting for #name {
            const SCHEMA: ::portcullis_sdk::settings::Schema = ::portcullis_sdk::settings::Schema::Choice(&[#(#names),*]);
        }
    })
}
