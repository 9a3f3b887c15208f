//! The little languages inside the quotes of `#[job(..)]`.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, LitStr, Result};

/// `exponential`, `exponential from 1s to 1h`, or `never`.
pub(super) fn retry(text: &LitStr, root: &TokenStream) -> Result<TokenStream> {
    let words = text.value();
    match words.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["exponential"] => Ok(quote!(#root::Retry::DEFAULT)),
        ["exponential", "from", first, "to", longest] => {
            let (first, longest) = (span_of_time(first, text)?, span_of_time(longest, text)?);
            Ok(quote!(#root::Retry::Exponential { first: #first, longest: #longest }))
        }
        ["never"] => Ok(quote!(#root::Retry::Never)),
        _ => Err(Error::new_spanned(text, "expected `exponential`, `exponential from 1s to 1h` or `never`")),
    }
}

/// `high`, `normal` or `low`.
pub(super) fn priority(text: &LitStr, root: &TokenStream) -> Result<TokenStream> {
    match text.value().as_str() {
        "high" => Ok(quote!(#root::Priority::High)),
        "normal" => Ok(quote!(#root::Priority::Normal)),
        "low" => Ok(quote!(#root::Priority::Low)),
        _ => Err(Error::new_spanned(text, "expected `high`, `normal` or `low`")),
    }
}

/// `existing`, `reject`, `throttle for 1h`, `debounce` or `keep latest`, about jobs with this key.
pub(super) fn on_duplicate(text: &LitStr, key: &TokenStream, root: &TokenStream) -> Result<TokenStream> {
    let words = text.value();
    match words.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["existing"] => Ok(quote!(#root::Unique::existing(#key))),
        ["reject"] => Ok(quote!(#root::Unique::reject(#key))),
        ["debounce"] => Ok(quote!(#root::Unique::debounce(#key))),
        ["keep", "latest"] => Ok(quote!(#root::Unique::keep_latest(#key))),
        ["throttle", "for", period] => {
            let period = span_of_time(period, text)?;
            Ok(quote!(#root::Unique::throttle(#key, #period)))
        }
        _ => Err(Error::new_spanned(
            text,
            "expected `existing`, `reject`, `throttle for 1h`, `debounce` or `keep latest`",
        )),
    }
}

/// `500ms`, `30s`, `5m`, `1h` or `1d`.
pub(super) fn duration(text: &LitStr) -> Result<TokenStream> {
    span_of_time(&text.value(), text)
}

/// The same, as a word of a longer text.
fn span_of_time(word: &str, text: &LitStr) -> Result<TokenStream> {
    let unit = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let seconds = |number: u64, factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    let parsed = word[..unit].parse().ok().and_then(|number| match &word[unit..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(number, 1),
        "m" => seconds(number, 60),
        "h" => seconds(number, 60 * 60),
        "d" => seconds(number, 24 * 60 * 60),
        _ => None,
    });
    match parsed.and_then(|duration| u64::try_from(duration.as_millis()).ok()) {
        Some(0) | None => {
            Err(Error::new_spanned(text, "expected a duration: `500ms`, `30s`, `5m`, `1h` or `1d`"))
        }
        Some(milliseconds) => Ok(quote!(::core::time::Duration::from_millis(#milliseconds))),
    }
}
