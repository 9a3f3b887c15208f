use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

/// A struct with named fields, read by the names of the columns.
pub(crate) fn expand(input: &DeriveInput, root: &TokenStream) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "a row is a struct with named fields"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            &input.ident,
            "a row is a struct with named fields: columns are read by name",
        ));
    };
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let idents: Vec<_> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let columns: Vec<String> =
        idents.iter().map(|ident| ident.to_string().trim_start_matches("r#").to_owned()).collect();
    let types = fields.named.iter().map(|field| &field.ty);
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #root::Row for #name #type_generics #where_clause {
            const COLUMNS: &'static [#root::Column] = &[
                #(#root::Column::of::<#types>(::core::option::Option::Some(#columns)),)*
            ];

            fn from_row(row: &#root::Columns<'_>) -> ::core::result::Result<Self, #root::Error> {
                Ok(Self { #(#idents: row.named(#columns)?,)* })
            }
        }
    })
}
