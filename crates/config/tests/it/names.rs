//! Names that no setting has, names of Kubernetes, aliases, and names that a program may not declare.

use shared_config::{Loader, Report};
use shared_core::schema::{Code, Setting};
use shared_core::{Config, Secret};

#[derive(Config, Debug)]
#[config(prefix = "NOTES")]
struct Settings {
    #[config(env = "DATABASE_URL", default = "postgres://localhost")]
    url: Secret,
    #[config(alias = "WORKERS", default = 4)]
    worker_threads: u16,
}

#[derive(Config)]
#[config(prefix = "NOTES")]
struct Required {
    #[config(env = "DATABASE_URL")]
    url: Secret,
    worker_threads: u16,
}

fn report<S: Setting>(vars: &[(&str, &str)]) -> Report {
    Loader::new("notes").vars(vars.iter().copied()).load::<S>().err().expect("a problem")
}

#[test]
fn a_slip_is_a_problem_and_names_what_was_meant() {
    for slip in
        ["NOTES_WORKER_THREAD", "NOTES_WORKER__THREADS", "notes_worker_threads", "NOTES_WROKER_THREADS"]
    {
        let report = report::<Settings>(&[(slip, "8")]);
        assert_eq!(report.problems[0].message, "unknown name; did you mean NOTES_WORKER_THREADS?", "{slip}");
    }
}

#[test]
fn a_slip_is_one_problem_even_if_the_setting_is_required() {
    let report =
        report::<Required>(&[("NOTES_WORKER_THREAD", "8"), ("DATABASE_URL", "postgres://localhost")]);
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].code, Code::UnknownName);
}

#[test]
fn a_missing_absolute_name_is_looked_for_nearby() {
    let report =
        report::<Required>(&[("DATABSE_URL", "postgres://localhost"), ("NOTES_WORKER_THREADS", "8")]);
    assert_eq!(
        report.problems[0].to_string(),
        "DATABASE_URL: missing; expected a secret (DATABSE_URL is set; is it meant for this?)"
    );
}

#[test]
fn a_stranger_is_a_warning_in_every_profile() {
    for profile in ["development", "production"] {
        let loader =
            Loader::new("notes").vars([("NOTES_COLOUR", "red"), ("NOTES_PROFILE", profile), ("HOME", "/")]);
        let loaded = loader.load::<Settings>().unwrap();
        let names: Vec<_> = loaded.warnings.iter().map(|warning| warning.name.as_str()).collect();
        assert_eq!(names, ["NOTES_COLOUR"]);
    }
}

#[test]
fn what_kubernetes_sets_is_neither() {
    let loaded = Loader::new("notes")
        .vars([
            ("NOTES_SERVICE_HOST", "10.0.0.1"),
            ("NOTES_SERVICE_PORT", "80"),
            ("NOTES_SERVICE_PORT_HTTP", "80"),
            ("NOTES_PORT", "tcp://10.0.0.1:80"),
            ("NOTES_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("NOTES_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("NOTES_WORKER_SERVICE_HOST", "10.0.0.2"),
        ])
        .load::<Settings>()
        .unwrap();
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_setting_that_kubernetes_would_set_never_loads() {
    #[derive(Config)]
    #[config(prefix = "NOTES")]
    struct Clash {
        #[config(default = 80)]
        port: u16,
    }
    let report = report::<Clash>(&[]);
    assert_eq!(
        report.problems[0].to_string(),
        "NOTES_PORT: `port` has a name that Kubernetes sets for a service of this name (rename the field)"
    );
}

#[test]
fn two_settings_with_one_name_never_load() {
    #[derive(Config)]
    struct Clash {
        db: Db,
        #[config(default = 2)]
        db_size: u16,
    }
    #[derive(Config)]
    struct Db {
        #[config(default = 1)]
        size: u16,
    }
    let report = report::<Clash>(&[]);
    assert_eq!(
        report.problems[0].to_string(),
        "DB_SIZE: `db.size` and `db_size` have the same name (rename one of the fields)"
    );
}

#[test]
fn an_alias_stands_for_the_name() {
    let load = |vars: &[(&str, &str)]| Loader::new("notes").vars(vars.iter().copied()).load::<Settings>();
    assert_eq!(load(&[("WORKERS", "8")]).unwrap().settings.worker_threads, 8);
    assert_eq!(load(&[("WORKERS", "8"), ("NOTES_WORKER_THREADS", "8")]).unwrap().settings.worker_threads, 8);
    let report = load(&[("WORKERS", "8"), ("NOTES_WORKER_THREADS", "9")]).unwrap_err();
    assert_eq!(
        report.problems[0].to_string(),
        "NOTES_WORKER_THREADS: set twice, differently: WORKERS is another name for it (from the environment; set one of the two)"
    );
    let over = Loader::new("notes").vars([("WORKERS", "8")]).dotenv("NOTES_WORKER_THREADS=9");
    assert_eq!(over.load::<Settings>().unwrap().settings.worker_threads, 8);
}

/// Where every text was given on purpose, a name that no setting has is a mistake, with the prefix and without.
#[test]
fn a_closed_environment_has_no_strangers() {
    for stranger in ["NOTES_COLOUR", "HOME", "NOTES_PORT"] {
        let loader =
            || Loader::new("notes").vars([("NOTES_WORKER_THREADS", "2"), (stranger, "tcp://10.0.0.1:80")]);
        assert!(loader().load::<Settings>().is_ok(), "{stranger}");
        let report = loader().deny_unknown().load::<Settings>().expect_err("a problem");
        let [problem] = &report.problems[..] else { panic!("{report}") };
        assert_eq!((problem.name.as_str(), problem.code), (stranger, Code::UnknownName), "{report}");
        assert!(report.warnings.is_empty(), "{report}");
    }
}
