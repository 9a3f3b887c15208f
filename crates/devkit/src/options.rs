//! What the options of all servers have in common.

use std::fmt;

/// Where the programs come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// Installed, or else bundled.
    #[default]
    Any,
    Installed,
    Bundled,
}

/// The word before a server's name, as in "no installed Redis 7".
impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Source::Any => "",
            Source::Installed => "installed ",
            Source::Bundled => "bundled ",
        })
    }
}

/// What a server shows to its clients, as PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Identity {
    pub(crate) fn new(certificate: &str, key: &str) -> Identity {
        Identity { certificate: certificate.to_owned(), key: key.to_owned() }
    }
}

/// A setting of a server's configuration file, in that file's own writing.
pub(crate) type Setting = (String, String);

/// What may be shown of settings: a value may be a password.
pub(crate) fn names(settings: &[Setting]) -> Vec<&str> {
    settings.iter().map(|(name, _)| name.as_str()).collect()
}
