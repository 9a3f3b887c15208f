/// Why a password can't be set. It says nothing of the password itself, and may be shown to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Weakness {
    /// Too few characters.
    #[error("it needs at least {min} characters")]
    #[non_exhaustive]
    TooShort {
        /// How many there must be.
        min: usize,
    },
    /// Too many characters.
    #[error("it has more than {max} characters")]
    #[non_exhaustive]
    TooLong {
        /// How many there may be.
        max: usize,
    },
    /// It is one of the passwords that attackers try first.
    #[error("it is one of the most common passwords")]
    Common,
    /// It is little more than the user's name, the service's, or another word that an attacker knows.
    #[error("it is too close to a name that an attacker knows")]
    Guessable,
}
