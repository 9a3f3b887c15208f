//! `#[derive(Job)]`: a struct becomes a job with a name, options, and the keys that its fields make.

mod attributes;
mod keys;
mod words;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Error, Result};

use attributes::Attributes;

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
    let Some(name) = &attributes.name else {
        return Err(Error::new(Span::call_site(), "a job needs a name: `#[job(name = \"notes:index\")]`"));
    };
    let (job, options, methods) = (&input.ident, &attributes.options, attributes.methods(root)?);
    // Spanned, so that a bad name is reported where it stands.
    let sound = quote_spanned!(name.span()=> const _: () = #root::assert_job_name(#name););
    Ok(quote! {
        #sound
        #[automatically_derived]
        impl #root::Job for #job {
            const NAME: &'static str = #name;
            const OPTIONS: #root::Options = #root::Options::DEFAULT #(#options)*;
            #methods
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the derive makes of a struct with these attributes, or says about them.
    fn derive(attributes: &str) -> std::result::Result<String, String> {
        let input = format!("#[job(name = \"a:b\", {attributes})] struct Job {{ a: u8, b: String }}");
        let input = syn::parse_str(&input).map_err(|error| error.to_string())?;
        let code = expand(&input, &quote!(queues)).map_err(|error| error.to_string())?;
        Ok(code.to_string().replace(' ', ""))
    }

    #[test]
    fn options_become_calls_of_a_constant() {
        let code = derive("priority = \"high\", keep = \"1h\", retry_for = \"2d\"").unwrap();
        assert!(code.contains(".priority(queues::Priority::High)"), "{code}");
        assert!(code.contains(".keep(::core::time::Duration::from_millis(3600000u64))"), "{code}");
        assert!(code.contains(".retry_for(::core::time::Duration::from_millis(172800000u64))"), "{code}");
    }

    #[test]
    fn fields_become_keys() {
        let code = derive(r#"order_by("a", "b.c"), unique_by = "a", limit = "all", limit = "host by a, b""#)
            .unwrap();
        assert!(code.contains("queues::derive::key(&[&self.a,&self.b.c])"), "{code}");
        assert!(code.contains("queues::Unique::existing(queues::derive::key(&[&self.a]))"), "{code}");
        assert!(code.contains("queues::LimitKey::named(\"all\")"), "{code}");
        assert!(
            code.contains("queues::LimitKey::by(\"host\",queues::derive::key(&[&self.a,&self.b]))"),
            "{code}"
        );
    }

    #[test]
    fn duplicates_are_treated_as_it_is_said() {
        for (said, call) in [
            ("existing", "Unique::existing(queues::derive::key(&[&self.a]))"),
            ("reject", "Unique::reject(queues::derive::key(&[&self.a]))"),
            ("debounce", "Unique::debounce(queues::derive::key(&[&self.a]))"),
            ("keep latest", "Unique::keep_latest(queues::derive::key(&[&self.a]))"),
            (
                "throttle for 1m",
                "Unique::throttle(queues::derive::key(&[&self.a]),::core::time::Duration::from_millis(60000u64))",
            ),
        ] {
            let code = derive(&format!("on_duplicate = \"{said}\", unique_by = \"a\"")).unwrap();
            assert!(code.contains(call), "{code}");
        }
    }

    #[test]
    fn mistakes_are_told_with_what_would_be_right() {
        for (wrong, said) in [
            ("speed = \"high\"", "expected one of `name`,"),
            ("priority = \"urgent\"", "expected `high`, `normal` or `low`"),
            ("keep = \"1 week\"", "expected a duration: `500ms`, `30s`, `5m`, `1h` or `1d`"),
            (
                "on_duplicate = \"reject\"",
                "`on_duplicate` needs `unique_by`, which says when two jobs are the same",
            ),
            ("unique_by = \"a\", on_duplicate = \"throttle\"", "`throttle for 1h`"),
            ("order_by = \"a b\"", "expected the name of a field"),
            ("order_by()", "expected the name of a field"),
            ("limit = \"host per a\"", "expected the name of a limit, `stripe`, or `host by domain`"),
            ("upcast = \"old\"", "`upcast` needs a `version` above 1"),
        ] {
            let error = derive(wrong).expect_err(wrong);
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
