//! How services declare, load and document their settings.

mod documents;
mod names;
mod properties;
mod report;
mod rules;
mod sources;
mod types;
