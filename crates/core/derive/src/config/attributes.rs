//! The attributes that `#[derive(Config)]` reads: its own, and what it understands of `#[validate(..)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Error, Expr, Lit, LitStr, Meta, Result, Token, UnOp, Variant};

/// What stands in `#[config(..)]` and `#[validate(..)]` of a field.
#[derive(Default)]
pub(super) struct Attributes {
    doc: String,
    default: Option<String>,
    min: Option<String>,
    max: Option<String>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    env: Option<String>,
    alias: Option<String>,
    url: Option<Vec<String>>,
    expected: Option<String>,
    hint: Option<String>,
    not_in_production: Option<String>,
    secret: bool,
    pub(super) parse: bool,
}

impl Attributes {
    pub(super) fn of(field: &syn::Field) -> Result<Self> {
        let mut this = Self { doc: doc(&field.attrs), ..Self::default() };
        for attribute in &field.attrs {
            if attribute.path().is_ident("config") {
                attribute.parse_nested_meta(|meta| this.config(&meta))?;
            } else if attribute.path().is_ident("validate") {
                for rule in attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
                    this.rule(&rule);
                }
            }
        }
        match &this.default {
            None if this.not_in_production.is_some() => {
                Err(Error::new_spanned(field, "`not_in_production` refuses a default: give one"))
            }
            _ => Ok(this),
        }
    }

    fn config(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let Some(key) = meta.path.get_ident() else { return Err(meta.error("expected a word")) };
        let text = || -> Result<_> { Ok(Some(meta.value()?.parse::<LitStr>()?.value())) };
        match key.to_string().as_str() {
            "default" => self.default = Some(literal(meta)?),
            "min" => self.min = Some(literal(meta)?),
            "max" => self.max = Some(literal(meta)?),
            "env" => self.env = text()?,
            "alias" => self.alias = text()?,
            "expected" => self.expected = text()?,
            "hint" => self.hint = text()?,
            "not_in_production" => self.not_in_production = text()?,
            "secret" => self.secret = true,
            "parse" => (self.parse, self.expected) = (true, text()?),
            "url" => self.url = Some(schemes(meta)?),
            _ => {
                return Err(meta.error(
                    "expected `default`, `min`, `max`, `env`, `alias`, `url`, `parse`, `expected`, `hint`, `secret` or `not_in_production`",
                ));
            }
        }
        Ok(())
    }

    /// Takes what the schema can say of a validator's rule; the rule itself runs as well.
    fn rule(&mut self, rule: &Meta) {
        let argument = |name| arguments(rule).into_iter().find(|(key, _)| key == name).map(|(_, text)| text);
        let length = |name| argument(name)?.parse().ok();
        if rule.path().is_ident("range") {
            self.min = self.min.take().or_else(|| argument("min"));
            self.max = self.max.take().or_else(|| argument("max"));
        } else if rule.path().is_ident("length") {
            let equal = length("equal");
            self.min_length = equal.or_else(|| length("min"));
            self.max_length = equal.or_else(|| length("max"));
        } else if rule.path().is_ident("url") {
            self.url.get_or_insert_default();
        }
    }

    /// The fields of `shared_core::schema::Field` that differ from a plain one.
    pub(super) fn tokens(&self) -> TokenStream {
        let texts = [
            ("default", &self.default),
            ("min", &self.min),
            ("max", &self.max),
            ("env", &self.env),
            ("alias", &self.alias),
            ("expected", &self.expected),
            ("hint", &self.hint),
            ("not_in_production", &self.not_in_production),
        ];
        let texts = texts.into_iter().filter_map(|(name, text)| Some(some(name, text.as_ref()?)));
        let lengths = [("min_length", self.min_length), ("max_length", self.max_length)];
        let lengths = lengths.into_iter().filter_map(|(name, length)| Some(some(name, length?)));
        let url = self.url.iter().map(|schemes| quote!(url: ::core::option::Option::Some(&[#(#schemes),*]),));
        let (doc, secret) = (&self.doc, self.secret);
        quote!(doc: #doc, secret: #secret, #(#texts)* #(#lengths)* #(#url)*)
    }
}

fn some(name: &str, value: impl quote::ToTokens) -> TokenStream {
    let name = quote::format_ident!("{name}");
    quote!(#name: ::core::option::Option::Some(#value),)
}

/// `key = 10`, `key = -1.5`, `key = true` or `key = "30s"`, as text.
fn literal(meta: &ParseNestedMeta<'_>) -> Result<String> {
    let value: Expr = meta.value()?.parse()?;
    text_of(&value).ok_or_else(|| Error::new_spanned(value, "expected a literal"))
}

fn text_of(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            Lit::Int(number) => Some(number.base10_digits().to_owned()),
            Lit::Float(number) => Some(number.base10_digits().to_owned()),
            Lit::Bool(flag) => Some(flag.value.to_string()),
            _ => None,
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => Some(format!("-{}", text_of(&unary.expr)?)),
        _ => None,
    }
}

/// `url("postgres", "postgresql")`; `url` alone allows every scheme.
fn schemes(meta: &ParseNestedMeta<'_>) -> Result<Vec<String>> {
    if !meta.input.peek(syn::token::Paren) {
        return Ok(Vec::new());
    }
    let inner;
    syn::parenthesized!(inner in meta.input);
    let schemes = Punctuated::<LitStr, Token![,]>::parse_terminated(&inner)?;
    Ok(schemes.iter().map(LitStr::value).collect())
}

/// The literal arguments of a rule: `range(min = 1, max = 1000)`.
fn arguments(rule: &Meta) -> Vec<(String, String)> {
    let Meta::List(list) = rule else { return Vec::new() };
    let parsed = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    let pairs = parsed.into_iter().flatten().filter_map(|meta| match meta {
        Meta::NameValue(pair) => Some((pair.path.get_ident()?.to_string(), text_of(&pair.value)?)),
        _ => None,
    });
    pairs.collect()
}

/// The prefix of `#[config(prefix = "NOTES")]` on a struct.
pub(super) fn container(attributes: &[Attribute]) -> Result<String> {
    let mut prefix = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("config")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("prefix") {
                return Err(meta.error("expected `prefix`"));
            }
            let text: LitStr = meta.value()?.parse()?;
            prefix = text.value();
            let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            match prefix.chars().all(capital) && !prefix.ends_with('_') && !prefix.is_empty() {
                true => Ok(()),
                false => {
                    Err(Error::new_spanned(text, "expected capitals such as \"NOTES\", without a final `_`"))
                }
            }
        })?;
    }
    Ok(prefix)
}

/// The word of a variant: `#[config(name = "verify-full")]`, or its name in snake case.
pub(super) fn variant_name(variant: &Variant) -> Result<String> {
    let mut name = snake_case(&variant.ident.to_string());
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("config")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected `name`"));
            }
            name = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    Ok(name)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (i, c) in name.char_indices() {
        if c.is_uppercase() && i > 0 {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// The doc comment, as it was written.
pub(super) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => text_of(&pair.value),
        _ => None,
    });
    let lines: Vec<String> =
        lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

/// The struct has rules of its own, which `derive(Validate)` turned into `Validate::validate`.
pub(super) fn has_validate(input: &DeriveInput) -> bool {
    let rules =
        |attributes: &[Attribute]| attributes.iter().any(|attribute| attribute.path().is_ident("validate"));
    let Data::Struct(data) = &input.data else { return false };
    rules(&input.attrs) || data.fields.iter().any(|field| rules(&field.attrs))
}
