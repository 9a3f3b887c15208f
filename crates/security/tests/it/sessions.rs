//! Sessions: listed, ended, and never another's.

use shared_core::InTenant;
use shared_db::testing::{Outcome, Verb, probe_isolation};
use shared_security::{Error, NewSession, RefreshError, SessionConfig, Sessions};

use crate::world::{CLIENT, USER, World, a_tenant};

/// ASVS 7.2.4: the id changes with every login, and the one before is ended.
#[tokio::test]
async fn a_login_has_a_session_of_its_own_and_ends_the_one_before() {
    let world = World::new().await;
    let before = world.open(USER).await;
    let login = world.sessions.login(&world.tenant, USER).await.unwrap();
    let new = NewSession::new(CLIENT).replacing(before.session.id);
    let after = world.sessions.open(&world.tenant, login, new).await.unwrap();
    assert_ne!(before.session.id, after.session.id);
    let refused = world.refresh(before.refresh_token.expose()).await;
    assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
    assert!(world.revocations.refuses(&world.access_token(&before)));
    assert!(!world.revocations.refuses(&world.access_token(&after)));
}

/// ASVS 7.5.2.
#[tokio::test]
async fn a_user_sees_their_sessions_and_ends_one() {
    let world = World::new().await;
    let (one, two, others) = (world.open(USER).await, world.open(USER).await, world.open("user:8").await);
    let listed = world.sessions.list(&world.tenant, USER).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|session| session.id).collect();
    assert_eq!(ids, [two.session.id, one.session.id]);
    assert_eq!((listed[0].client.as_str(), listed[0].user_agent.as_str()), (CLIENT, "Browser/1.0"));
    assert_eq!(listed[0].methods, ["pwd"]);

    assert!(world.sessions.end(&world.tenant, USER, one.session.id).await.unwrap());
    assert!(!world.sessions.end(&world.tenant, USER, one.session.id).await.unwrap(), "it is over");
    assert!(!world.sessions.end(&world.tenant, USER, others.session.id).await.unwrap(), "it is another's");
    assert!(!world.sessions.end(&a_tenant(), USER, two.session.id).await.unwrap(), "it is another tenant's");
    assert!(world.refresh(two.refresh_token.expose()).await.is_ok());
    assert!(world.refresh(others.refresh_token.expose()).await.is_ok());
}

/// ASVS 7.4.3: a user who changes the password ends the others and stays.
#[tokio::test]
async fn all_sessions_but_one_are_ended() {
    let world = World::new().await;
    let (one, two, others) = (world.open(USER).await, world.open(USER).await, world.open("user:8").await);
    let ended = world.sessions.end_all(&world.tenant, USER, Some(two.session.id)).await.unwrap();
    assert_eq!(ended, 1);
    assert!(world.refresh(one.refresh_token.expose()).await.is_err());
    assert!(world.refresh(two.refresh_token.expose()).await.is_ok());
    assert!(world.refresh(others.refresh_token.expose()).await.is_ok());
    assert!(
        !world.revocations.refuses(&world.access_token(&world.open(USER).await)),
        "the next login is good at once"
    );
}

/// ASVS 7.4.2.
#[tokio::test]
async fn a_disabled_user_has_no_session_and_opens_none() {
    let world = World::new().await;
    let open = world.open(USER).await;
    assert_eq!(world.sessions.disable(&world.tenant, USER).await.unwrap(), 1);
    assert!(world.refresh(open.refresh_token.expose()).await.is_err());
    let login = world.sessions.login(&world.tenant, USER).await.unwrap();
    let refused = world.sessions.open(&world.tenant, login, NewSession::new(CLIENT)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the login was refused: the user is disabled");
    world.sessions.allow(&world.tenant, USER).await.unwrap();
    let again = world.open(USER).await;
    assert!(world.refresh(again.refresh_token.expose()).await.is_ok());
    assert!(world.refresh(open.refresh_token.expose()).await.is_err(), "what was ended stays so");
}

/// ASVS 7.4.5.
#[tokio::test]
async fn a_whole_tenant_is_logged_out_and_another_is_not() {
    let world = World::new().await;
    let (one, two) = (world.open(USER).await, world.open("user:8").await);
    let elsewhere = a_tenant();
    let login = world.sessions.login(&elsewhere, USER).await.unwrap();
    let other = world.sessions.open(&elsewhere, login, NewSession::new(CLIENT)).await.unwrap();
    world.sessions.end_tenant(&world.tenant).await.unwrap();
    for session in [&one, &two] {
        let refused = world.refresh(session.refresh_token.expose()).await;
        assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
        assert!(world.revocations.refuses(&world.access_token(session)));
    }
    assert!(world.sessions.list(&world.tenant, USER).await.unwrap().is_empty());
    assert!(world.refresh(other.refresh_token.expose()).await.is_ok());
    let again = world.open(USER).await;
    assert!(world.refresh(again.refresh_token.expose()).await.is_ok());
}

#[tokio::test]
async fn one_session_too_many_ends_the_one_that_was_idle_for_longest() {
    let world = World::new().await;
    let config = SessionConfig { per_subject: 2, ..SessionConfig::default() };
    let sessions = Sessions::new(world.db.clone(), world.revocations.clone(), config).unwrap();
    let (one, two) = (world.open(USER).await, world.open(USER).await);
    let one = world.refresh(one.refresh_token.expose()).await.unwrap();
    let login = sessions.login(&world.tenant, USER).await.unwrap();
    sessions.open(&world.tenant, login, NewSession::new(CLIENT)).await.unwrap();
    assert!(world.refresh(two.refresh_token.expose()).await.is_err());
    assert!(world.refresh(one.refresh_token.expose()).await.is_ok());
    assert_eq!(world.sessions.list(&world.tenant, USER).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_login_is_good_for_a_quarter_of_an_hour_in_its_own_tenant() {
    let world = World::new().await;
    let login = world.sessions.login(&world.tenant, USER).await.unwrap();
    assert!(world.sessions.open(&a_tenant(), login, NewSession::new(CLIENT)).await.is_err());
    for subject in ["", "user\n7"] {
        assert!(matches!(world.sessions.login(&world.tenant, subject).await, Err(Error::Subject)));
    }
    let login = world.sessions.login(&world.tenant, USER).await.unwrap();
    for new in [NewSession::new(""), NewSession::new(CLIENT).with_methods(["pwd"; 9])] {
        assert!(matches!(
            world.sessions.open(&world.tenant, login_of(&world).await, new).await,
            Err(Error::OutOfRange { .. })
        ));
    }
    drop(login);
}

async fn login_of(world: &World) -> shared_security::Login {
    world.sessions.login(&world.tenant, USER).await.unwrap()
}

/// ASVS 8.4.1.
#[tokio::test]
async fn no_statement_of_one_tenant_touches_a_session_of_another() {
    let world = World::new().await;
    let config = shared_db::Config::new(world.database.url());
    let probed = probe_isolation(&config).await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    for table in ["subject", "tenant_epoch", "session", "revocation", "login_failures"] {
        let table = format!("shared_security.{table}");
        assert_eq!(probed.outcome(&table, Verb::Select), Some(Outcome::Nothing), "{table}\n{probed}");
    }
    let report = shared_db::doctor(&config).await.unwrap();
    assert_eq!(report.findings(), [], "{report}");
    assert_ne!(world.tenant.context().tenant(), a_tenant().context().tenant());
}
