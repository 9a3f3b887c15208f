//! `#[derive(Event)]`: the name, the version and the key of an event, from `#[event(..)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Ident, LitInt, LitStr, Result};

/// Expands the derive; `root` is the path under which the program sees `shared_events`.
pub(crate) fn expand(input: &DeriveInput, root: &TokenStream) -> Result<TokenStream> {
    let Attributes { name, version, key } = Attributes::of(input)?;
    let field = field(input, &key)?;
    let (ident, span) = (&input.ident, name.span());
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let checked = quote_spanned!(span=> const _: () = #root::assert_name(#name););
    Ok(quote! {
        #checked

        #[automatically_derived]
        impl #impl_generics #root::Event for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            const VERSION: u16 = #version;

            fn key(&self) -> ::std::string::String {
                ::std::string::ToString::to_string(&self.#field)
            }
        }
    })
}

struct Attributes {
    name: LitStr,
    version: u16,
    key: LitStr,
}

impl Attributes {
    fn of(input: &DeriveInput) -> Result<Self> {
        let (mut name, mut version, mut key) = (None, None, None);
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                let value = meta.value()?;
                if meta.path.is_ident("name") {
                    name = Some(value.parse()?);
                } else if meta.path.is_ident("version") {
                    version = Some(version_of(&value.parse()?)?);
                } else if meta.path.is_ident("key") {
                    key = Some(value.parse()?);
                } else {
                    return Err(meta.error("expected `name`, `version` or `key`"));
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
        })
    }
}

fn version_of(literal: &LitInt) -> Result<u16> {
    literal
        .base10_parse()
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| Error::new_spanned(literal, "a version is an integer from 1 to 65535"))
}

/// The field that `key` names.
fn field<'a>(input: &'a DeriveInput, key: &LitStr) -> Result<&'a Ident> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "an event is a struct with named fields"));
    };
    let mut fields = data.fields.iter().filter_map(|field| field.ident.as_ref());
    fields
        .find(|field| **field == key.value())
        .ok_or_else(|| Error::new(key.span(), "there is no field with this name"))
}
