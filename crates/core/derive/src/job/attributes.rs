//! What `#[job(..)]` says.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Error, LitInt, LitStr, Path, Result};

use super::{keys, words};

const KNOWN: &str = "expected one of `name`, `queue`, `priority`, `retry`, `retry_for`, `max_attempts`, `timeout`, `keep`, \
                     `order_by`, `unique_by`, `on_duplicate`, `limit`, `version`, `upcast`";

#[derive(Default)]
pub(super) struct Attributes {
    pub(super) name: Option<LitStr>,
    /// Calls behind `Options::DEFAULT`.
    pub(super) options: Vec<TokenStream>,
    version: Option<LitInt>,
    /// Keys, as expressions over `self`.
    order: Option<TokenStream>,
    unique: Option<TokenStream>,
    on_duplicate: Option<LitStr>,
    limits: Vec<TokenStream>,
    upcast: Option<(LitStr, Path)>,
}

impl Attributes {
    /// Takes one attribute in.
    pub(super) fn read(&mut self, meta: &ParseNestedMeta<'_>, root: &TokenStream) -> Result<()> {
        let Some(key) = meta.path.get_ident() else { return Err(meta.error(KNOWN)) };
        match key.to_string().as_str() {
            "name" => self.name = Some(meta.value()?.parse()?),
            "order_by" => self.order = Some(keys::by_fields(meta, root)?),
            "unique_by" => self.unique = Some(keys::by_fields(meta, root)?),
            "on_duplicate" => self.on_duplicate = Some(meta.value()?.parse()?),
            "limit" => self.limits.push(keys::limit(&meta.value()?.parse()?, root)?),
            "upcast" => {
                let function: LitStr = meta.value()?.parse()?;
                let path = function.parse()?;
                self.upcast = Some((function, path));
            }
            option => {
                let call = self.option(option, meta, root)?;
                self.options.push(call);
            }
        }
        Ok(())
    }

    /// The call for something that is the same for all jobs of the type.
    fn option(&mut self, key: &str, meta: &ParseNestedMeta<'_>, root: &TokenStream) -> Result<TokenStream> {
        let text = || -> Result<LitStr> { meta.value()?.parse() };
        let number = || -> Result<LitInt> { meta.value()?.parse() };
        Ok(match key {
            "queue" => {
                let queue = text()?;
                quote!(.queue(#queue))
            }
            "priority" => {
                let priority = words::priority(&text()?, root)?;
                quote!(.priority(#priority))
            }
            "retry" => {
                let retry = words::retry(&text()?, root)?;
                quote!(.retry(#retry))
            }
            "retry_for" => {
                let time = words::duration(&text()?)?;
                quote!(.retry_for(#time))
            }
            "timeout" => {
                let timeout = words::duration(&text()?)?;
                quote!(.timeout(#timeout))
            }
            "keep" => {
                let time = words::duration(&text()?)?;
                quote!(.keep(#time))
            }
            "max_attempts" => {
                let attempts = number()?;
                quote!(.max_attempts(#attempts))
            }
            "version" => {
                let version = self.version.insert(number()?);
                quote!(.version(#version))
            }
            _ => return Err(meta.error(KNOWN)),
        })
    }

    /// The methods of the trait that differ from its own.
    pub(super) fn methods(&self, root: &TokenStream) -> Result<TokenStream> {
        let order = self.order.iter();
        let unique = self.unique(root)?.into_iter();
        let upcast = self.upcast(root)?;
        let limits = match self.limits.as_slice() {
            [] => None,
            limits => Some(quote! {
                fn limits(&self) -> ::std::vec::Vec<#root::LimitKey> {
                    ::std::vec![#(#limits),*]
                }
            }),
        };
        Ok(quote! {
            #(fn order_key(&self) -> ::core::option::Option<::std::string::String> {
                ::core::option::Option::Some(#order)
            })*
            #(fn unique(&self) -> ::core::option::Option<#root::Unique> {
                ::core::option::Option::Some(#unique)
            })*
            #limits
            #upcast
        })
    }

    fn unique(&self, root: &TokenStream) -> Result<Option<TokenStream>> {
        match (&self.unique, &self.on_duplicate) {
            (None, None) => Ok(None),
            (None, Some(how)) => Err(Error::new_spanned(
                how,
                "`on_duplicate` needs `unique_by`, which says when two jobs are the same",
            )),
            (Some(key), Some(how)) => words::on_duplicate(how, key, root).map(Some),
            (Some(key), None) => {
                words::on_duplicate(&LitStr::new("existing", Span::call_site()), key, root).map(Some)
            }
        }
    }

    fn upcast(&self, root: &TokenStream) -> Result<Option<TokenStream>> {
        let Some((function, path)) = &self.upcast else { return Ok(None) };
        let version = self.version.as_ref().map_or(Ok(1), LitInt::base10_parse::<u32>)?;
        if version < 2 {
            return Err(Error::new_spanned(
                function,
                "`upcast` needs a `version` above 1: it makes older payloads like those of that version",
            ));
        }
        Ok(Some(quote! {
            fn upcast(
                version: u32,
                payload: #root::derive::Value,
            ) -> ::core::result::Result<#root::derive::Value, #root::derive::Failure> {
                #path(version, payload)
            }
        }))
    }
}
