//! `#[derive(Event)]`: the name, the version and the key of an event, from `#[event(..)]`, and its rules, from `#[validate(..)]`.

mod attributes;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, Data, DataStruct, DeriveInput, Error, Ident, LitStr, Result};

use attributes::Attributes;

/// Expands the derive; `root` is the path under which the program sees `shared_events`.
pub(crate) fn expand(input: &DeriveInput, root: &TokenStream) -> Result<TokenStream> {
    let attributes = Attributes::of(input)?;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "an event is a struct with named fields"));
    };
    let Attributes { name, version, key, .. } = &attributes;
    let field = field(data, key)?;
    let (upcast, check) = (attributes.upcast(root)?, check(input, data, root));
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
            #check
            #upcast
        }
    })
}

/// The field that `key` names.
fn field<'a>(data: &'a DataStruct, key: &LitStr) -> Result<&'a Ident> {
    let mut fields = data.fields.iter().filter_map(|field| field.ident.as_ref());
    fields
        .find(|field| **field == key.value())
        .ok_or_else(|| Error::new(key.span(), "there is no field with this name"))
}

/// Whoever writes rules down means them: nobody has to say once more that they count.
fn check(input: &DeriveInput, data: &DataStruct, root: &TokenStream) -> Option<TokenStream> {
    let is_rule = |attribute: &Attribute| attribute.path().is_ident("validate");
    let mut attributes = input.attrs.iter().chain(data.fields.iter().flat_map(|field| &field.attrs));
    attributes.any(is_rule).then(|| {
        quote! {
            fn check(&self) -> ::core::result::Result<(), #root::derive::ValidationErrors> {
                #root::derive::Validate::validate(self)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the derive makes of a struct with these attributes, or says about them.
    fn derive(attributes: &str, fields: &str) -> std::result::Result<String, String> {
        let input = format!("#[event({attributes})] struct Happened {{ {fields} }}");
        let input = syn::parse_str(&input).map_err(|error| error.to_string())?;
        let code = expand(&input, &quote!(events)).map_err(|error| error.to_string())?;
        Ok(code.to_string().replace(' ', ""))
    }

    #[test]
    fn older_versions_go_through_one_function_a_step() {
        let attributes = "name = \"a.b\", version = 3, key = \"a\", upcast(\"to_2\", \"old::to_3\")";
        let code = derive(attributes, "a: u8").unwrap();
        assert!(code.contains("ifversion<=1u16{payload=to_2(payload)?;}"), "{code}");
        assert!(code.contains("ifversion<=2u16{payload=old::to_3(payload)?;}"), "{code}");
        let one = derive("name = \"a.b\", version = 2, key = \"a\", upcast = \"to_2\"", "a: u8").unwrap();
        assert!(one.contains("ifversion<=1u16{payload=to_2(payload)?;}"), "{one}");
    }

    #[test]
    fn rules_count_where_there_are_any() {
        let attributes = "name = \"a.b\", version = 1, key = \"a\"";
        let with = derive(attributes, "#[validate(range(min = 1))] a: u8").unwrap();
        assert!(with.contains("events::derive::Validate::validate(self)"), "{with}");
        let without = derive(attributes, "#[serde(default)] a: u8").unwrap();
        assert!(!without.contains("fncheck"), "{without}");
    }

    #[test]
    fn mistakes_are_told_with_what_would_be_right() {
        for (wrong, said) in [
            ("version = 1, key = \"a\"", "an event needs #[event(name = \"note.created\")]"),
            ("name = \"a.b\", version = 0, key = \"a\"", "a version is an integer from 1 to 65535"),
            ("name = \"a.b\", version = 1, key = \"b\"", "there is no field with this name"),
            ("name = \"a.b\", version = 1, key = \"a\", topic = \"x\"", "expected `name`,"),
            (
                "name = \"a.b\", version = 3, key = \"a\", upcast = \"to_2\"",
                "version 3 needs 2 functions, one for each step from a version to the next; here is 1",
            ),
            ("name = \"a.b\", version = 1, key = \"a\", upcast = \"to_1\"", "version 1 needs 0 functions"),
        ] {
            let error = derive(wrong, "a: u8").expect_err(wrong);
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
