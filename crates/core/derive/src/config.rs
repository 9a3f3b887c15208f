//! `#[derive(Config)]`: a struct becomes a group of settings, an enum of unit variants a choice of words.

mod attributes;

use attributes::{Attributes, container, doc, has_validate, variant_name};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, GenericArgument, PathArguments, Result, Type};

/// Expands the derive; `core` is the path under which the program sees `shared_core`.
pub(crate) fn expand(input: &DeriveInput, core: &TokenStream) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "settings can't be generic"));
    }
    let schema = quote!(#core::schema);
    match &input.data {
        Data::Struct(data) => group(input, &data.fields, &schema),
        Data::Enum(data) => choice(input, data, &schema),
        Data::Union(_) => Err(Error::new_spanned(&input.ident, "settings are a struct or an enum")),
    }
}

fn group(input: &DeriveInput, fields: &Fields, schema: &TokenStream) -> Result<TokenStream> {
    let Fields::Named(fields) = fields else {
        return Err(Error::new_spanned(&input.ident, "settings are a struct with named fields"));
    };
    let name = &input.ident;
    let prefix = container(&input.attrs)?;
    let fields = fields.named.iter().map(|field| Part::new(field, schema)).collect::<Result<Vec<_>>>()?;
    let schemas = fields.iter().map(|part| &part.schema);
    let idents: Vec<_> = fields.iter().map(|part| part.ident).collect();
    let reads = fields.iter().enumerate().map(|(i, part)| part.read(i, schema));
    // A type read through `FromStr` is a value, whatever it is.
    let parts = fields.iter().filter(|part| !part.parsed).map(|part| {
        let ident = part.ident;
        quote!(|| #schema::Setting::part(&self.#ident, of))
    });
    let validated = has_validate(input);
    let this = quote!(Self { #(#idents: #idents?),* });
    let result = if validated { quote!(reader.validated(#this, FIELDS)) } else { quote!(Some(#this)) };
    Ok(quote! {
        const _: () = {
            const FIELDS: &'static [#schema::Field] = &[#(#schemas),*];
            const _: () = #schema::assert_sound(FIELDS);

            impl #schema::Setting for #name {
                const SCHEMA: &'static #schema::Schema =
                    &#schema::Schema::Group(#schema::Group { prefix: #prefix, fields: FIELDS });

                // Everything is read before anything fails.
                fn read(reader: &mut #schema::Reader<'_>, _: &'static #schema::Field) -> ::core::option::Option<Self> {
                    #(let #idents = #reads;)*
                    #result
                }

                fn part(&self, of: ::std::any::TypeId) -> ::core::option::Option<&dyn ::std::any::Any> {
                    if of == ::std::any::TypeId::of::<Self>() {
                        return ::core::option::Option::Some(self);
                    }
                    ::core::option::Option::None #(.or_else(#parts))*
                }
            }
        };
    })
}

/// One field: its schema, and how it is read.
struct Part<'a> {
    ident: &'a syn::Ident,
    ty: &'a Type,
    parsed: bool,
    schema: TokenStream,
}

impl<'a> Part<'a> {
    fn new(field: &'a syn::Field, schema: &TokenStream) -> Result<Self> {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "a field needs a name"))?;
        let attributes = Attributes::of(field)?;
        let name = ident.unraw().to_string();
        let ty = &field.ty;
        let setting = if attributes.parse { parsed_type(ty, schema) } else { quote!(#ty) };
        let base =
            quote_spanned!(ty.span()=> #schema::Field::new(#name, <#setting as #schema::Setting>::SCHEMA));
        let set = attributes.tokens();
        let schema = quote!(#schema::Field { #set ..#base });
        Ok(Self { ident, ty, parsed: attributes.parse, schema })
    }

    fn read(&self, index: usize, schema: &TokenStream) -> TokenStream {
        let ty = self.ty;
        if !self.parsed {
            return quote_spanned!(ty.span()=> reader.field::<#ty>(&FIELDS[#index]));
        }
        let parsed = parsed_type(ty, schema);
        let unwrap = match wrapper(ty) {
            Some(("Option", _)) => quote!(|field| field.map(|parsed| parsed.0)),
            Some(_) => quote!(|field| field.into_iter().map(|parsed| parsed.0).collect()),
            None => quote!(|field| field.0),
        };
        quote_spanned!(ty.span()=> reader.field::<#parsed>(&FIELDS[#index]).map(#unwrap))
    }
}

/// `T` read through `FromStr`; in an `Option` or `Vec`, what lies in it.
fn parsed_type(ty: &Type, schema: &TokenStream) -> TokenStream {
    match wrapper(ty) {
        Some(("Option", inner)) => quote!(::core::option::Option<#schema::Parsed<#inner>>),
        Some((_, inner)) => quote!(::std::vec::Vec<#schema::Parsed<#inner>>),
        None => quote!(#schema::Parsed<#ty>),
    }
}

fn wrapper(ty: &Type) -> Option<(&'static str, &Type)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let name = ["Option", "Vec"].into_iter().find(|name| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some((name, inner)),
        _ => None,
    }
}

fn choice(input: &DeriveInput, data: &syn::DataEnum, schema: &TokenStream) -> Result<TokenStream> {
    let name = &input.ident;
    let (mut choices, mut arms) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a choice of settings has variants without fields"));
        }
        let (ident, word, doc) = (&variant.ident, variant_name(variant)?, doc(&variant.attrs));
        choices.push(quote!(#schema::Choice { name: #word, doc: #doc }));
        arms.push(quote!(#word => ::core::option::Option::Some(Self::#ident)));
    }
    Ok(quote! {
        impl #schema::Value for #name {
            const KIND: #schema::Kind = #schema::Kind::Choice(&[#(#choices),*]);

            fn parse(text: &str) -> ::core::option::Option<Self> {
                match text {
                    #(#arms,)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    })
}
