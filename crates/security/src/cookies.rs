use std::fmt;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use shared_core::{Problem, Secret};

use crate::Error;

/// What browsers keep of a cookie: name, value and attributes together (RFC 6265bis, section 5.6).
const MAX_COOKIE: usize = 4096;

/// Whether a cookie comes along when another site leads to this one (RFC 6265bis, section 5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// Never: also a link from another site arrives without it.
    Strict,
    /// When somebody follows a link here, and not with requests that another site makes.
    Lax,
}

/// A cookie that only this host gets, by `https` alone, and that no script reads: `__Host-`, `Secure`, `HttpOnly`, `Path=/`
/// and `SameSite`, which can't be left out. Browsers take `localhost` for `https`.
///
/// ```
/// use shared_security::HostCookie;
/// static SESSION: HostCookie = HostCookie::new("session"); // __Host-session
/// ```
///
/// ```compile_fail,E0080
/// static SESSION: shared_security::HostCookie = shared_security::HostCookie::new("my session");
/// ```
pub struct HostCookie {
    name: &'static str,
    same_site: SameSite,
}

impl HostCookie {
    /// `__Host-` and this name: letters, digits, `-` and `_`. `SameSite` is `Lax`.
    ///
    /// # Panics
    /// On any other name: in a `static` that is a compile error.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 64, "a cookie's name has 1 to 64 characters");
        let mut i = 0;
        while i < bytes.len() {
            let fine = bytes[i].is_ascii_alphanumeric() || matches!(bytes[i], b'-' | b'_');
            assert!(fine, "a cookie's name has letters, digits, `-` and `_`");
            i += 1;
        }
        Self { name, same_site: SameSite::Lax }
    }

    /// When the cookie comes along.
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// The header `set-cookie` that gives it this value, until the browser is closed or for so long. The value is marked as
    /// sensitive, so that layers which log headers leave it out.
    ///
    /// # Errors
    /// [`Error::Cookie`] for a value with other characters than a cookie may have, or too many.
    pub fn set(&self, value: &Secret, max_age: Option<Duration>) -> Result<HeaderValue, Error> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
        if !value.expose().bytes().all(plain) {
            return Err(Error::Cookie);
        }
        let max_age = max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        self.header(value.expose(), &max_age).ok_or(Error::Cookie)
    }

    /// The header `set-cookie` that takes it away.
    pub fn clear(&self) -> HeaderValue {
        // A name from `new` and fixed text are a header's value.
        self.header("", "; Max-Age=0").unwrap_or(HeaderValue::from_static(""))
    }

    /// The value that a request brings, if it brings the cookie.
    ///
    /// # Errors
    /// 400 if it comes more than once: which one the browser meant can't be told, and one may be an attacker's.
    pub fn read(&self, headers: &HeaderMap) -> Result<Option<Secret>, Problem> {
        let mut values =
            headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let found = values.by_ref().find_map(|pair| self.value_of(pair));
        if values.any(|pair| self.value_of(pair).is_some()) {
            return Err(Problem::bad_request()
                .with_detail(format!("the cookie {} comes more than once", self.full_name())));
        }
        Ok(found.and_then(|value| std::str::from_utf8(value).ok()).map(Secret::new))
    }

    fn value_of<'c>(&self, pair: &'c [u8]) -> Option<&'c [u8]> {
        let pair = pair.trim_ascii();
        pair.strip_prefix(b"__Host-")?.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")
    }

    fn full_name(&self) -> String {
        format!("__Host-{}", self.name)
    }

    fn header(&self, value: &str, max_age: &str) -> Option<HeaderValue> {
        let same_site = match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
        };
        let name = self.full_name();
        let text =
            Secret::new(format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}{max_age}"));
        let mut header = HeaderValue::try_from(text.expose()).ok()?;
        header.set_sensitive(true);
        (text.expose().len() <= MAX_COOKIE).then_some(header)
    }
}

impl fmt::Debug for HostCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostCookie({})", self.full_name())
    }
}
