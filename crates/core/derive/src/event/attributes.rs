//! What `#[event(..)]` says.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Error, LitInt, LitStr, Path, Result, Token, parenthesized, token};

pub(super) struct Attributes {
    pub(super) name: LitStr,
    pub(super) version: u16,
    pub(super) key: LitStr,
    upcast: Vec<LitStr>,
}

impl Attributes {
    pub(super) fn of(input: &DeriveInput) -> Result<Self> {
        let (mut name, mut version, mut key, mut upcast) = (None, None, None, Vec::new());
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    name = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("version") {
                    version = Some(version_of(&meta.value()?.parse()?)?);
                } else if meta.path.is_ident("key") {
                    key = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("upcast") {
                    upcast = functions(&meta)?;
                } else {
                    return Err(meta.error("expected `name`, `version`, `key` or `upcast`"));
                }
                Ok(())
            })?;
        }
        let missing =
            |what: &str| Error::new_spanned(&input.ident, format!("an event needs #[event({what})]"));
        Ok(Self {
            name: name.ok_or_else(|| missing("name = \"note.created\""))?,
            version: version.ok_or_else(|| missing("version = 1"))?,
            key: key.ok_or_else(|| missing("key = \"the field whose events stay in order\""))?,
            upcast,
        })
    }

    /// The method that takes a payload through the steps that it lacks.
    pub(super) fn upcast(&self, root: &TokenStream) -> Result<Option<TokenStream>> {
        let Some(first) = self.upcast.first() else { return Ok(None) };
        let steps = usize::from(self.version) - 1;
        if self.upcast.len() != steps {
            let (version, given) = (self.version, self.upcast.len());
            return Err(Error::new_spanned(
                first,
                format!(
                    "version {version} needs {steps} functions, one for each step from a version to the next; here is {given}"
                ),
            ));
        }
        let functions = self.upcast.iter().map(LitStr::parse::<Path>).collect::<Result<Vec<_>>>()?;
        let versions = 1..self.version;
        Ok(Some(quote! {
            fn upcast(
                version: u16,
                mut payload: #root::derive::Value,
            ) -> ::core::result::Result<#root::derive::Value, #root::derive::Failure> {
                #(if version <= #versions {
                    payload = #functions(payload)?;
                })*
                ::core::result::Result::Ok(payload)
            }
        }))
    }
}

/// `= "to_2"` or `("to_2", "to_3")`.
fn functions(meta: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    if !meta.input.peek(token::Paren) {
        return Ok(vec![meta.value()?.parse()?]);
    }
    let functions;
    parenthesized!(functions in meta.input);
    let functions = Punctuated::<LitStr, Token![,]>::parse_terminated(&functions)?;
    Ok(functions.into_iter().collect())
}

fn version_of(literal: &LitInt) -> Result<u16> {
    literal
        .base10_parse()
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| Error::new_spanned(literal, "a version is an integer from 1 to 65535"))
}
