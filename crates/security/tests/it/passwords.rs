//! Passwords: which are accepted, what is stored of them, and what they may cost.

use futures_util::future::join_all;
use shared_core::Secret;
use shared_security::{Error, PasswordConfig, Passwords, Verdict, Weakness};

fn passwords(change: impl FnOnce(&mut PasswordConfig)) -> Passwords {
    shared_devkit::secrecy::watch();
    let mut config = PasswordConfig::default();
    change(&mut config);
    Passwords::new(config).unwrap()
}

/// ASVS 6.2.1, 6.2.5, 6.2.8 and 6.2.9: any characters in any number within the bounds, and each of them counts.
#[tokio::test]
async fn a_password_is_taken_as_it_is() {
    let passwords = passwords(|_| ());
    for text in
        ["pässwörter", "  spaces stay  ", "日本語のパスワードです", &"x".repeat(127), &"é".repeat(128)]
    {
        let stored = passwords.hash(&Secret::new(text), &[]).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(passwords.verify(&Secret::new(text), Some(&stored)).await.unwrap(), Verdict::Right);
        let shorter: String = text.chars().take(text.chars().count() - 1).collect();
        for other in [format!("{text} "), format!("{shorter}z"), shorter] {
            let other = passwords.verify(&Secret::new(other), Some(&stored)).await.unwrap();
            assert_eq!(other, Verdict::Wrong, "{text}");
        }
        let in_capitals = passwords.verify(&Secret::new(text.to_uppercase()), Some(&stored)).await.unwrap();
        assert_eq!(in_capitals.is_right(), text.to_uppercase() == text, "{text}");
    }
}

#[tokio::test]
async fn two_hashes_of_one_password_differ() {
    let (passwords, password) = (passwords(|_| ()), Secret::new("correct horse, hush-hush"));
    let hash = async || passwords.hash(&password, &[]).await.unwrap();
    assert_ne!(hash().await, hash().await);
}

/// ASVS 6.2.1, 6.2.4 and 6.2.11.
#[test]
fn what_everybody_guesses_is_refused() {
    let passwords = passwords(|_| ());
    let check =
        |text: &str| passwords.check(&Secret::new(text), &["ada.lovelace@acme.example", "Acme Notes"]);
    assert!(matches!(check("s3cret!"), Err(Weakness::TooShort { min: 8, .. })));
    assert!(matches!(check(&"x".repeat(129)), Err(Weakness::TooLong { max: 128, .. })));
    assert!(matches!(check(&"é".repeat(1 << 20)), Err(Weakness::TooLong { .. })));
    for common in ["password", "PASSWORD", "iloveyou", "12345678", "qwertyuiop"] {
        assert_eq!(check(common), Err(Weakness::Common), "{common}");
    }
    for known in ["lovelace", "Lovelace1!", "acme-2026", "ada.lovelace@acme.example", "1acme notes"] {
        assert_eq!(check(known), Err(Weakness::Guessable), "{known}");
    }
    assert_eq!(check("lovelace rides a bicycle"), Ok(()));
}

#[tokio::test]
async fn a_hash_with_other_parameters_is_renewed_at_the_next_login() {
    let old = passwords(|config| (config.memory_kib, config.passes) = (7 * 1024, 5));
    let (new, password) = (passwords(|_| ()), Secret::new("correct horse, hush-hush"));
    let stored = old.hash(&password, &[]).await.unwrap();
    assert_eq!(old.verify(&password, Some(&stored)).await.unwrap(), Verdict::Right);
    assert_eq!(new.verify(&password, Some(&stored)).await.unwrap(), Verdict::NeedsRehash);
    assert_eq!(new.verify(&Secret::new("another one"), Some(&stored)).await.unwrap(), Verdict::Wrong);
    let renewed = new.hash(&password, &[]).await.unwrap();
    assert_eq!(new.verify(&password, Some(&renewed)).await.unwrap(), Verdict::Right);
}

/// A row that was tampered with must not take the machine's memory, and is no way in.
#[tokio::test]
async fn a_stored_hash_that_asks_for_too_much_is_refused() {
    let (passwords, password) = (passwords(|_| ()), Secret::new("correct horse, hush-hush"));
    let stored = passwords.hash(&password, &[]).await.unwrap();
    for broken in [
        stored.replace("m=19456", "m=4194304"),
        stored.replace("t=2", "t=4000000"),
        stored.replace("p=1", "p=64"),
        stored.replace("argon2id", "argon2d"),
        stored.replace("$argon2id$", "$scrypt$"),
        stored.rsplit_once('$').unwrap().0.to_owned(),
        String::new(),
        password.expose().to_owned(),
    ] {
        let refused = passwords.verify(&password, Some(&broken)).await;
        assert!(matches!(refused, Err(Error::PasswordHash)), "{broken}: {refused:?}");
    }
}

/// A flood of logins can't take the memory of more hashes than are allowed at once; the line behind them is bounded too.
#[tokio::test]
async fn more_passwords_than_fit_in_line_are_refused_at_once() {
    let passwords = passwords(|config| (config.at_once, config.waiting) = (1, 3));
    let password = Secret::new("correct horse, hush-hush");
    let answers = join_all((0..32).map(|_| passwords.verify(&password, None))).await;
    let busy = answers.iter().filter(|one| matches!(one, Err(Error::PasswordsBusy { .. }))).count();
    let judged = answers.iter().filter(|one| matches!(one, Ok(Verdict::Wrong))).count();
    assert_eq!((judged, busy), (4, 28));
    assert_eq!(passwords.verify(&password, None).await.unwrap(), Verdict::Wrong, "the line is empty again");
}

#[tokio::test]
async fn callers_that_give_up_leave_the_line() {
    let passwords = passwords(|config| (config.at_once, config.waiting) = (1, 2));
    let password = Secret::new("correct horse, hush-hush");
    for _ in 0..10 {
        let calls = join_all((0..3).map(|_| passwords.verify(&password, None)));
        // Polled once: one hashes, two wait, and all are dropped.
        assert!(futures_util::poll!(std::pin::pin!(calls)).is_pending());
    }
    assert_eq!(passwords.verify(&password, None).await.unwrap(), Verdict::Wrong);
}

#[test]
fn costs_that_are_too_low_or_too_high_are_refused() {
    for change in [
        |config: &mut PasswordConfig| config.memory_kib = 7 * 1024,
        |config: &mut PasswordConfig| config.passes = 1,
        |config: &mut PasswordConfig| config.passes = 17,
        |config: &mut PasswordConfig| config.memory_kib = 1 << 20,
        |config: &mut PasswordConfig| config.min_length = 7,
        |config: &mut PasswordConfig| config.max_length = 63,
        |config: &mut PasswordConfig| config.at_once = 0,
    ] {
        let mut config = PasswordConfig::default();
        change(&mut config);
        assert!(matches!(Passwords::new(config.clone()), Err(Error::OutOfRange { .. })), "{config:?}");
    }
}

#[tokio::test]
async fn a_password_shows_nowhere() {
    let log = crate::log::Log::default();
    let _logging = log.install();
    let (passwords, password) = (passwords(|_| ()), Secret::new("hush-hush-hush-hush"));
    let stored = passwords.hash(&password, &[]).await.unwrap();
    let error = passwords.verify(&password, Some(password.expose())).await.unwrap_err();
    let weak = passwords.hash(&password, &["hush-hush-hush-hush"]).await.unwrap_err();
    let shown = format!("{passwords:?} {error:?} {error} {weak:?} {weak} {}", log.text());
    assert!(!shown.contains("hunter2") && !shown.contains(&stored), "{shown}");
}
