//! `#[derive(Job)]`: a struct becomes a job with a name and options.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::{DeriveInput, Error, LitInt, LitStr, Result};

/// Expands the derive; `root` is the path under which the program sees `shared_queues`.
pub(crate) fn expand(input: &DeriveInput, root: &TokenStream) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a job can't be generic: its name stands for one type",
        ));
    }
    let mut attributes = Attributes::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("job")) {
        attribute.parse_nested_meta(|meta| attributes.read(&meta, root))?;
    }
    let Some(name) = attributes.name else {
        return Err(Error::new(Span::call_site(), "a job needs a name: `#[job(name = \"notes:index\")]`"));
    };
    let (job, options) = (&input.ident, attributes.options);
    // Spanned, so that a bad name is reported where it stands.
    let sound = quote_spanned!(name.span()=> const _: () = #root::assert_job_name(#name););
    Ok(quote! {
        #sound
        #[automatically_derived]
        impl #root::Job for #job {
            const NAME: &'static str = #name;
            const OPTIONS: #root::Options = #root::Options::DEFAULT #(#options)*;
        }
    })
}

#[derive(Default)]
struct Attributes {
    name: Option<LitStr>,
    /// Calls behind `Options::DEFAULT`.
    options: Vec<TokenStream>,
}

impl Attributes {
    fn read(&mut self, meta: &ParseNestedMeta<'_>, root: &TokenStream) -> Result<()> {
        let Some(key) = meta.path.get_ident() else { return Err(meta.error("expected a word")) };
        let option = match key.to_string().as_str() {
            "name" => {
                self.name = Some(meta.value()?.parse()?);
                return Ok(());
            }
            "queue" => {
                let queue: LitStr = meta.value()?.parse()?;
                quote!(.queue(#queue))
            }
            "retry" => {
                let retry = retry(&meta.value()?.parse()?, root)?;
                quote!(.retry(#retry))
            }
            "timeout" => {
                let timeout = duration(&meta.value()?.parse()?)?;
                quote!(.timeout(#timeout))
            }
            "max_attempts" => {
                let attempts: LitInt = meta.value()?.parse()?;
                quote!(.max_attempts(#attempts))
            }
            "version" => {
                let version: LitInt = meta.value()?.parse()?;
                quote!(.version(#version))
            }
            _ => {
                return Err(
                    meta.error("expected `name`, `queue`, `retry`, `timeout`, `max_attempts` or `version`")
                );
            }
        };
        self.options.push(option);
        Ok(())
    }
}

/// `exponential`, `exponential from 1s to 1h`, or `never`.
fn retry(text: &LitStr, root: &TokenStream) -> Result<TokenStream> {
    let words = text.value();
    match words.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["exponential"] => Ok(quote!(#root::Retry::DEFAULT)),
        ["exponential", "from", first, "to", longest] => {
            let duration = |word: &str| duration(&LitStr::new(word, text.span()));
            let (first, longest) = (duration(first)?, duration(longest)?);
            Ok(quote!(#root::Retry::Exponential { first: #first, longest: #longest }))
        }
        ["never"] => Ok(quote!(#root::Retry::Never)),
        _ => Err(Error::new_spanned(text, "expected `exponential`, `exponential from 1s to 1h` or `never`")),
    }
}

/// `500ms`, `30s`, `5m` or `1h`.
fn duration(text: &LitStr) -> Result<TokenStream> {
    let value = text.value();
    let unit = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let seconds = |number: u64, factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    let parsed = value[..unit].parse().ok().and_then(|number| match &value[unit..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(number, 1),
        "m" => seconds(number, 60),
        "h" => seconds(number, 60 * 60),
        _ => None,
    });
    match parsed.and_then(|duration| u64::try_from(duration.as_millis()).ok()) {
        Some(0) | None => Err(Error::new_spanned(text, "expected a duration: `500ms`, `30s`, `5m` or `1h`")),
        Some(milliseconds) => Ok(quote!(::core::time::Duration::from_millis(#milliseconds))),
    }
}
