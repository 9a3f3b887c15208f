//! Keys that are made of a job's fields.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Error, LitStr, Member, Result, Token, parenthesized, token};

/// `= "field"` or `("a", "b")`: the key that these fields make.
pub(super) fn by_fields(meta: &ParseNestedMeta<'_>, root: &TokenStream) -> Result<TokenStream> {
    if !meta.input.peek(token::Paren) {
        let field: LitStr = meta.value()?.parse()?;
        return key(&[field], root);
    }
    let fields;
    parenthesized!(fields in meta.input);
    let fields = Punctuated::<LitStr, Token![,]>::parse_terminated(&fields)?;
    if fields.is_empty() {
        return Err(meta.error("expected the name of a field in quotes"));
    }
    key(&fields.into_iter().collect::<Vec<_>>(), root)
}

/// `stripe`, or `host by domain`, or `host by domain, region`.
pub(super) fn limit(text: &LitStr, root: &TokenStream) -> Result<TokenStream> {
    let words = text.value();
    let (name, fields) = match words.split_once(" by ") {
        Some((name, fields)) => (name.trim(), Some(fields)),
        None => (words.trim(), None),
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Error::new_spanned(
            text,
            "expected the name of a limit, `stripe`, or `host by domain` for one limit per value of a field",
        ));
    }
    let Some(fields) = fields else { return Ok(quote!(#root::LimitKey::named(#name))) };
    let fields: Vec<_> = fields.split(',').map(|field| LitStr::new(field.trim(), text.span())).collect();
    let key = key(&fields, root)?;
    Ok(quote!(#root::LimitKey::by(#name, #key)))
}

fn key(fields: &[LitStr], root: &TokenStream) -> Result<TokenStream> {
    let fields = fields.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(quote!(#root::derive::key(&[#(&#fields),*])))
}

/// `name`, or `address.city`. The compiler itself says best which fields there are.
fn field(text: &LitStr) -> Result<TokenStream> {
    let path = text.parse_with(Punctuated::<Member, Token![.]>::parse_separated_nonempty).map_err(|_| {
        Error::new_spanned(text, "expected the name of a field, such as `to` or `address.city`")
    })?;
    Ok(quote!(self.#path))
}
