//! The derives of the family, each re-exported by the crate of its trait. This crate is not used directly.

mod config;
mod event;
mod job;
mod row;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

/// A struct becomes a group of settings, an enum of unit variants a choice of words.
///
/// Use it as `shared_core::Config`; the attributes are described in `shared_core::schema`.
#[proc_macro_derive(Config, attributes(config))]
pub fn config(input: TokenStream) -> TokenStream {
    expand(input, |input| config::expand(input, &quote!(::shared_core)))
}

/// [`macro@Config`] for programs that list `shared-service` alone, which re-exports it as `Config`.
#[proc_macro_derive(ServiceConfig, attributes(config))]
pub fn service_config(input: TokenStream) -> TokenStream {
    expand(input, |input| config::expand(input, &quote!(::shared_service::core)))
}

fn expand(
    input: TokenStream,
    with: impl Fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    with(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// A struct that is read from a row, by the names of the columns. Use it as `shared_db::Row`.
#[proc_macro_derive(Row)]
pub fn row(input: TokenStream) -> TokenStream {
    expand(input, |input| row::expand(input, &quote!(::shared_db)))
}

/// [`macro@Row`] for programs that list `shared-service` alone, which re-exports it as `Row`.
#[proc_macro_derive(ServiceRow)]
pub fn service_row(input: TokenStream) -> TokenStream {
    expand(input, |input| row::expand(input, &quote!(::shared_service::db)))
}

/// A struct that can be published: its name, version and key, from `#[event(..)]`. Use it as `shared_events::Event`.
#[proc_macro_derive(Event, attributes(event))]
pub fn event(input: TokenStream) -> TokenStream {
    expand(input, |input| event::expand(input, &quote!(::shared_events)))
}

/// [`macro@Event`] for programs that list `shared-service` alone, which re-exports it as `Event`.
#[proc_macro_derive(ServiceEvent, attributes(event))]
pub fn service_event(input: TokenStream) -> TokenStream {
    expand(input, |input| event::expand(input, &quote!(::shared_service::events)))
}

/// A struct that is a job: its name and options. Use it as `shared_queues::Job`, where the attributes are described.
#[proc_macro_derive(Job, attributes(job))]
pub fn job(input: TokenStream) -> TokenStream {
    expand(input, |input| job::expand(input, &quote!(::shared_queues)))
}

/// [`macro@Job`] for programs that list `shared-service` alone, which re-exports it as `Job`.
#[proc_macro_derive(ServiceJob, attributes(job))]
pub fn service_job(input: TokenStream) -> TokenStream {
    expand(input, |input| job::expand(input, &quote!(::shared_service::queues)))
}
