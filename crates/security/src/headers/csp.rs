use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::Nonce;
use crate::{Error, Origin};

macro_rules! directives {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What a policy speaks of (CSP Level 3, section 6).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Directive { $($(#[$doc])* $variant,)* }

        impl Directive {
            /// The name in the header.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

directives! {
    /// Everything that is not named itself.
    DefaultSrc = "default-src";
    /// What `<base>` may point to.
    BaseUri = "base-uri";
    /// Where scripts may send requests to.
    ConnectSrc = "connect-src";
    /// Fonts.
    FontSrc = "font-src";
    /// Where forms may be sent to.
    FormAction = "form-action";
    /// Who may put the page into a frame.
    FrameAncestors = "frame-ancestors";
    /// What the page may put into a frame.
    FrameSrc = "frame-src";
    /// Images.
    ImgSrc = "img-src";
    /// The manifest of an application.
    ManifestSrc = "manifest-src";
    /// Sound and video.
    MediaSrc = "media-src";
    /// Plug-ins.
    ObjectSrc = "object-src";
    /// Scripts.
    ScriptSrc = "script-src";
    /// Scripts in attributes, such as `onclick`.
    ScriptSrcAttr = "script-src-attr";
    /// Scripts in elements.
    ScriptSrcElem = "script-src-elem";
    /// Styles.
    StyleSrc = "style-src";
    /// Styles in attributes.
    StyleSrcAttr = "style-src-attr";
    /// Styles in elements.
    StyleSrcElem = "style-src-elem";
    /// Workers.
    WorkerSrc = "worker-src";
}

/// From where something may come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// From nowhere. Stands alone.
    None,
    /// From the page's own origin.
    SelfOrigin,
    /// From elements that carry the [`Nonce`] of this response.
    Nonce,
    /// From scripts that were let in by a nonce or a hash.
    StrictDynamic,
    /// From the page's own text. It makes a policy for scripts worthless, and is refused beside a nonce or a hash, where
    /// browsers pass over it.
    UnsafeInline,
    /// From any origin by `https`.
    Https,
    /// From `data:` URLs.
    Data,
    /// From `blob:` URLs.
    Blob,
    /// From this origin.
    Origin(Origin),
    /// From a script or style in the page with this SHA-256 digest.
    Sha256([u8; 32]),
}

impl Source {
    /// This script or style in the page, and no other.
    pub fn inline(text: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self::Sha256(bytes)
    }

    fn write(&self, policy: &mut String) {
        match self {
            Self::None => policy.push_str("'none'"),
            Self::SelfOrigin => policy.push_str("'self'"),
            Self::Nonce => policy.push_str(NONCE),
            Self::StrictDynamic => policy.push_str("'strict-dynamic'"),
            Self::UnsafeInline => policy.push_str("'unsafe-inline'"),
            Self::Https => policy.push_str("https:"),
            Self::Data => policy.push_str("data:"),
            Self::Blob => policy.push_str("blob:"),
            Self::Origin(origin) => policy.push_str(origin.as_str()),
            Self::Sha256(digest) => {
                policy.push_str("'sha256-");
                policy.push_str(&STANDARD.encode(digest));
                policy.push('\'');
            }
        }
    }
}

/// Stands in the policy's text where the nonce of a response will be. No source can write it.
const NONCE: &str = "\0";

/// A content security policy (CSP Level 3), made of typed parts: there is no text in it that could end a directive
/// or the header.
///
/// ```
/// use shared_security::headers::{Csp, Directive, Source};
/// # fn main() -> Result<(), shared_security::Error> {
/// let images = "https://images.example".parse()?;
/// let policy = Csp::strict().with(Directive::ImgSrc, [Source::SelfOrigin, Source::Origin(images)])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Csp {
    directives: Vec<(Directive, Vec<Source>)>,
    upgrade: bool,
    report_to: Option<String>,
}

impl Csp {
    /// Nothing may be loaded, framed or sent: for answers that no browser is meant to show.
    pub fn nothing() -> Self {
        Self::of(&[
            (Directive::DefaultSrc, &[Source::None]),
            (Directive::BaseUri, &[Source::None]),
            (Directive::FormAction, &[Source::None]),
            (Directive::FrameAncestors, &[Source::None]),
        ])
    }

    /// For pages: scripts and styles by nonce, everything else from the page's own origin, no frames around it.
    pub fn strict() -> Self {
        let mut policy = Self::of(&[
            (Directive::DefaultSrc, &[Source::SelfOrigin]),
            (Directive::BaseUri, &[Source::None]),
            (Directive::FormAction, &[Source::SelfOrigin]),
            (Directive::FrameAncestors, &[Source::None]),
            (Directive::ImgSrc, &[Source::SelfOrigin, Source::Data]),
            (Directive::ObjectSrc, &[Source::None]),
            (Directive::ScriptSrc, &[Source::Nonce, Source::StrictDynamic]),
            (Directive::ScriptSrcAttr, &[Source::None]),
            (Directive::StyleSrc, &[Source::SelfOrigin, Source::Nonce]),
        ]);
        policy.upgrade = true;
        policy
    }

    /// The default of helmet 8 for Express. It has no nonce, allows styles in the page, and `base-uri 'self'`, where
    /// ASVS 3.4.3 wants `'none'`: for pages that move here, not for new ones.
    pub fn helmet() -> Self {
        let mut policy = Self::of(&[
            (Directive::DefaultSrc, &[Source::SelfOrigin]),
            (Directive::BaseUri, &[Source::SelfOrigin]),
            (Directive::FontSrc, &[Source::SelfOrigin, Source::Https, Source::Data]),
            (Directive::FormAction, &[Source::SelfOrigin]),
            (Directive::FrameAncestors, &[Source::SelfOrigin]),
            (Directive::ImgSrc, &[Source::SelfOrigin, Source::Data]),
            (Directive::ObjectSrc, &[Source::None]),
            (Directive::ScriptSrc, &[Source::SelfOrigin]),
            (Directive::ScriptSrcAttr, &[Source::None]),
            (Directive::StyleSrc, &[Source::SelfOrigin, Source::Https, Source::UnsafeInline]),
        ]);
        policy.upgrade = true;
        policy
    }

    fn of(directives: &[(Directive, &[Source])]) -> Self {
        let directives =
            directives.iter().map(|(directive, sources)| (*directive, sources.to_vec())).collect();
        Self { directives, upgrade: false, report_to: None }
    }

    /// Says it for one directive, in place of what was said for it. No sources at all is [`Source::None`].
    ///
    /// # Errors
    /// [`Error::Csp`] for `'none'` beside others, and for `'unsafe-inline'` beside a nonce or a hash.
    pub fn with(
        mut self,
        directive: Directive,
        sources: impl IntoIterator<Item = Source>,
    ) -> Result<Self, Error> {
        let mut sources: Vec<_> = sources.into_iter().collect();
        if sources.is_empty() {
            sources.push(Source::None);
        }
        check(&sources)?;
        match self.directives.iter_mut().find(|(known, _)| *known == directive) {
            Some((_, known)) => *known = sources,
            None => self.directives.push((directive, sources)),
        }
        Ok(self)
    }

    /// Lets `https` pages load over `https` what they name by `http`, or not.
    pub fn upgrade_insecure_requests(mut self, upgrade: bool) -> Self {
        self.upgrade = upgrade;
        self
    }

    /// Where browsers report what was kept from loading (ASVS 3.4.7): an absolute `https` URL, or a path of this
    /// service. Sets `report-to` with `reporting-endpoints`, and `report-uri` for browsers that know only that.
    ///
    /// # Errors
    /// [`Error::Csp`] for a text that is neither, or that would have to be escaped.
    pub fn report_to(mut self, endpoint: &str) -> Result<Self, Error> {
        let starts =
            endpoint.starts_with("https://") || (endpoint.starts_with('/') && !endpoint.starts_with("//"));
        let clean = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\' | b'\'');
        if !starts || endpoint.len() > 1024 || !endpoint.bytes().all(clean) {
            return Err(Error::Csp {
                reason: "reports go to an https URL or a path, without quotes, `;` and `,`",
            });
        }
        self.report_to = Some(endpoint.to_owned());
        Ok(self)
    }

    pub(super) fn needs_nonce(&self) -> bool {
        self.directives.iter().any(|(_, sources)| sources.contains(&Source::Nonce))
    }

    /// The header `reporting-endpoints` that names the place of [`report_to`](Self::report_to).
    pub(super) fn reporting_endpoints(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("csp=\"{}\"", self.report_to.as_ref()?)).ok()
    }

    fn text(&self) -> String {
        let mut policy = String::new();
        for (directive, sources) in &self.directives {
            separate(&mut policy);
            policy.push_str(directive.name());
            for source in sources {
                policy.push(' ');
                source.write(&mut policy);
            }
        }
        if self.upgrade {
            separate(&mut policy);
            policy.push_str("upgrade-insecure-requests");
        }
        if let Some(endpoint) = &self.report_to {
            separate(&mut policy);
            policy.push_str("report-uri ");
            policy.push_str(endpoint);
            policy.push_str("; report-to csp");
        }
        policy
    }
}

fn separate(policy: &mut String) {
    if !policy.is_empty() {
        policy.push_str("; ");
    }
}

fn check(sources: &[Source]) -> Result<(), Error> {
    if sources.len() > 1 && sources.contains(&Source::None) {
        return Err(Error::Csp { reason: "`'none'` stands alone" });
    }
    let by_name = |source: &Source| matches!(source, Source::Nonce | Source::Sha256(_));
    if sources.contains(&Source::UnsafeInline) && sources.iter().any(by_name) {
        return Err(Error::Csp { reason: "`'unsafe-inline'` means nothing beside a nonce or a hash" });
    }
    Ok(())
}

impl fmt::Display for Csp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().replace(NONCE, "'nonce-..'"))
    }
}

impl fmt::Debug for Csp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Csp({self})")
    }
}

/// A policy whose text was written once, so that a response only fills in its nonce.
#[derive(Clone, Debug)]
pub(super) enum Written {
    Fixed(HeaderValue),
    WithNonce(Vec<String>),
}

impl Written {
    /// Everything in a policy is printable ASCII, so that this does not fail; were it to, the strictest is sent.
    pub(super) fn of(policy: &Csp) -> Self {
        let text = policy.text();
        if policy.needs_nonce() {
            return Self::WithNonce(text.split(NONCE).map(str::to_owned).collect());
        }
        Self::Fixed(header(text))
    }

    pub(super) fn value(&self, nonce: Option<&Nonce>) -> HeaderValue {
        match (self, nonce) {
            (Self::Fixed(value), _) => value.clone(),
            (Self::WithNonce(parts), Some(nonce)) => header(parts.join(&format!("'nonce-{nonce}'"))),
            // Never: the layer makes a nonce for each policy that needs one.
            (Self::WithNonce(_), None) => header(String::new()),
        }
    }
}

fn header(text: String) -> HeaderValue {
    match HeaderValue::try_from(text) {
        Ok(value) if !value.is_empty() => value,
        _ => HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ASVS 3.4.3.
    #[test]
    fn a_strict_policy_has_nonces_and_no_base_and_no_plugins() {
        assert_eq!(
            Csp::strict().to_string(),
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self' data:; \
             object-src 'none'; script-src 'nonce-..' 'strict-dynamic'; script-src-attr 'none'; \
             style-src 'self' 'nonce-..'; upgrade-insecure-requests"
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let policy = Csp::nothing();
        for sources in [
            vec![Source::None, Source::SelfOrigin],
            vec![Source::Nonce, Source::UnsafeInline],
            vec![Source::UnsafeInline, Source::inline("alert(1)")],
        ] {
            assert!(policy.clone().with(Directive::ScriptSrc, sources).is_err());
        }
    }

    /// ASVS 3.4.7; and nothing in an endpoint can begin another directive or header.
    #[test]
    fn reports_have_a_place_and_it_cannot_be_escaped_from() {
        let policy = Csp::nothing().report_to("https://reports.example/csp").unwrap();
        assert!(policy.to_string().ends_with("report-uri https://reports.example/csp; report-to csp"));
        assert_eq!(policy.reporting_endpoints().unwrap(), "csp=\"https://reports.example/csp\"");
        for endpoint in
            ["", "http://a", "//a", "/a;script-src *", "/a\r\nb: c", "/a b", "/a\"", "javascript:a", "/a,b"]
        {
            assert!(Csp::nothing().report_to(endpoint).is_err(), "{endpoint}");
        }
    }

    /// The digest of the empty text, which is known everywhere.
    #[test]
    fn an_inline_script_is_named_by_its_digest() {
        let policy = Csp::nothing().with(Directive::ScriptSrc, [Source::inline("")]).unwrap();
        assert!(policy.to_string().contains("'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"));
    }
}
