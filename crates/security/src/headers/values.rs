//! The headers of which there are several right values.

macro_rules! values {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[non_exhaustive]
            pub enum $name { $($(#[$variant_doc])* $variant,)* }

            impl $name {
                pub(super) fn text(self) -> &'static str {
                    match self { $(Self::$variant => $text,)* }
                }
            }
        )*
    };
}

values! {
    /// What a browser tells the next page about this one (`referrer-policy`).
    ReferrerPolicy {
        /// Nothing.
        NoReferrer = "no-referrer",
        /// The URL, within the origin alone.
        SameOrigin = "same-origin",
        /// The origin, and never from `https` to `http`.
        StrictOrigin = "strict-origin",
        /// The URL within the origin, and the origin elsewhere.
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
    }
    /// Who may frame the page, for browsers without `frame-ancestors` (`x-frame-options`).
    FrameOptions {
        /// Nobody.
        Deny = "DENY",
        /// Pages of the same origin.
        SameOrigin = "SAMEORIGIN",
    }
    /// Which windows share a process with the page (`cross-origin-opener-policy`).
    OpenerPolicy {
        /// Those of the same origin.
        SameOrigin = "same-origin",
        /// Those, and windows that the page opens.
        SameOriginAllowPopups = "same-origin-allow-popups",
    }
    /// Who may load the answer as part of a page (`cross-origin-resource-policy`).
    ResourcePolicy {
        /// The same origin.
        SameOrigin = "same-origin",
        /// The same site.
        SameSite = "same-site",
        /// Everybody.
        CrossOrigin = "cross-origin",
    }
    /// What the page may load from elsewhere (`cross-origin-embedder-policy`).
    EmbedderPolicy {
        /// What says that it may be loaded.
        RequireCorp = "require-corp",
        /// Anything, without cookies.
        Credentialless = "credentialless",
    }
}
