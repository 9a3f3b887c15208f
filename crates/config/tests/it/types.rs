//! What can be a setting, and how its text is read.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use shared_config::{Loader, Profile};
use shared_core::schema::{Setting, from_pairs};
use shared_core::{Config, Secret};

/// Reads a struct with one field `it`, without a prefix.
fn message<S: Setting>(text: &str) -> String {
    let mistakes = from_pairs::<S>([("IT", text)]).err().expect("a mistake");
    assert_eq!(mistakes.len(), 1);
    mistakes[0].message.clone()
}

macro_rules! one {
    ($name:ident: $(#[$attribute:meta])* $type:ty) => {
        #[derive(Config)]
        struct $name {
            $(#[$attribute])*
            it: $type,
        }
    };
}

/// A value of the program's own.
#[derive(Debug, PartialEq)]
struct Region(String);

impl FromStr for Region {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.contains('-') { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

shared_core::setting!(Region, "a region such as eu-central-1");

#[derive(Config, Debug, PartialEq)]
enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    JsonLines,
    #[config(name = "off!")]
    Off,
}

#[derive(Config)]
#[config(prefix = "ALL")]
struct All {
    flag: bool,
    count: u16,
    offset: i64,
    ratio: f64,
    text: String,
    secret: Secret,
    wait: Duration,
    listen: SocketAddr,
    host: IpAddr,
    path: PathBuf,
    region: Region,
    format: LogFormat,
    #[config(parse = "an integer from 1 to 255")]
    shards: NonZeroU8,
    #[config(parse = "integers from 1 to 255", default = "")]
    weights: Vec<NonZeroU8>,
    #[config(parse = "an integer from 1 to 255")]
    limit: Option<NonZeroU8>,
    hosts: Vec<String>,
    profile: Profile,
    r#type: Option<String>,
}

#[test]
fn every_type_is_read() {
    let all: All = Loader::new("all")
        .vars([
            ("ALL_FLAG", "true"),
            ("ALL_COUNT", "7"),
            ("ALL_OFFSET", "-7"),
            ("ALL_RATIO", "0.25"),
            ("ALL_TEXT", " as it is "),
            ("ALL_SECRET", "hunter2"),
            ("ALL_WAIT", "1m30s"),
            ("ALL_LISTEN", "[::1]:80"),
            ("ALL_HOST", "10.0.0.1"),
            ("ALL_PATH", "/var/lib/notes"),
            ("ALL_REGION", "eu-central-1"),
            ("ALL_FORMAT", "json_lines"),
            ("ALL_SHARDS", "3"),
            ("ALL_WEIGHTS", "1,2"),
            ("ALL_HOSTS", "a, b,,c,"),
            ("ALL_PROFILE", "test"),
            ("ALL_TYPE", "raw"),
        ])
        .load()
        .unwrap()
        .settings;
    assert!(all.flag);
    assert_eq!((all.count, all.offset, all.ratio), (7, -7, 0.25));
    assert_eq!((all.text.as_str(), all.secret.expose()), (" as it is ", "hunter2"));
    assert_eq!(all.wait, Duration::from_secs(90));
    assert_eq!((all.listen, all.host), ("[::1]:80".parse().unwrap(), "10.0.0.1".parse().unwrap()));
    assert_eq!((all.path, all.region), (PathBuf::from("/var/lib/notes"), Region("eu-central-1".to_owned())));
    assert_eq!((all.format, all.shards.get(), all.limit), (LogFormat::JsonLines, 3, None));
    assert_eq!(all.weights.iter().map(|weight| weight.get()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(all.hosts, ["a", "b", "c"]);
    assert_eq!((all.profile, all.r#type.as_deref()), (Profile::Test, Some("raw")));
}

#[test]
fn a_port_alone_listens_on_every_interface() {
    one!(Listen: SocketAddr);
    let listen: Listen = from_pairs([("IT", "8080")]).unwrap();
    assert_eq!(listen.it, "0.0.0.0:8080".parse().unwrap());
}

#[test]
fn what_is_expected_is_said_in_words() {
    one!(Flag: bool);
    assert_eq!(message::<Flag>("yes"), "expected true or false, found 3 letters");
    one!(Small: u16);
    assert_eq!(message::<Small>("70000"), "expected an integer from 0 to 65535, found 5 digits");
    assert_eq!(
        message::<Small>("7 "),
        "expected an integer from 0 to 65535, found 2 characters with white space at an end"
    );
    one!(AtLeast: #[config(min = 0.5)] f64);
    assert_eq!(message::<AtLeast>("0.25"), "expected a number of at least 0.5, found 4 characters");
    assert_eq!(message::<AtLeast>("inf"), "expected a number of at least 0.5, found 3 letters");
    one!(Below: #[config(max = -1)] i64);
    assert_eq!(message::<Below>("0"), "expected an integer of at most -1, found 1 digit");
    one!(Wait: Duration);
    assert_eq!(message::<Wait>("30"), "expected a duration such as 30s, 500ms or 5m, found 2 digits");
    one!(Bounded: #[config(min = "100ms", max = "1h")] Duration);
    assert_eq!(message::<Bounded>("2h"), "expected a duration from 100ms to 1h, found 2 characters");
    one!(Place: Region);
    assert_eq!(message::<Place>("mars"), "expected a region such as eu-central-1, found 4 letters");
    one!(Format: LogFormat);
    assert_eq!(message::<Format>("xml"), "expected text, json_lines or off!, found 3 letters");
    one!(Url: #[config(url)] String);
    assert_eq!(message::<Url>("localhost"), "expected a URL, found 9 letters");
    one!(Ports: Vec<u8>);
    assert_eq!(
        message::<Ports>("80,http"),
        "expected items separated by commas, each an integer from 0 to 255, found 7 characters"
    );
}

#[test]
fn an_optional_group_is_absent_until_one_of_its_variables_is_set() {
    #[derive(Config)]
    #[config(prefix = "NOTES")]
    struct Settings {
        mail: Option<Mail>,
    }
    #[derive(Config)]
    struct Mail {
        host: String,
        #[config(default = 25)]
        smtp: u16,
    }
    let none: Settings = from_pairs([]).unwrap();
    assert!(none.mail.is_none());
    let some: Settings = from_pairs([("NOTES_MAIL_HOST", "mail.example")]).unwrap();
    let mail = some.mail.unwrap();
    assert_eq!((mail.host.as_str(), mail.smtp), ("mail.example", 25));
    let half = from_pairs::<Settings>([("NOTES_MAIL_SMTP", "2525")]).err().unwrap();
    assert_eq!(half[0].to_string(), "NOTES_MAIL_HOST: missing; expected a text (set it)");
}

#[test]
fn an_absolute_name_on_a_group_is_its_prefix() {
    #[derive(Config)]
    #[config(prefix = "NOTES")]
    struct Settings {
        #[config(env = "AWS")]
        bucket: Bucket,
    }
    #[derive(Config)]
    struct Bucket {
        region: String,
    }
    let settings: Settings = from_pairs([("AWS_REGION", "eu")]).unwrap();
    assert_eq!(settings.bucket.region, "eu");
}

#[test]
fn empty_is_unset() {
    one!(Text: #[config(default = "default")] String);
    assert_eq!(from_pairs::<Text>([("IT", "")]).unwrap().it, "default");
}
