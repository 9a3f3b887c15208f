//! What happens at the same moment: each order of two is written out, and held by a lock that the test has.

use shared_security::{NewSession, OpenSession, RefreshError, SessionId};
use tokio_postgres::Client;

use crate::world::{CLIENT, USER, World, until};

/// What ends the sessions of a user.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Log-out of one.
    One(SessionId),
    /// A new password, or log-out everywhere.
    All,
    Disable,
}

impl End {
    /// Each way to end this session.
    fn of(session: &OpenSession) -> [Self; 3] {
        [Self::One(session.session.id), Self::All, Self::Disable]
    }
}

impl World {
    async fn end(&self, how: End) -> usize {
        match how {
            End::One(session) => usize::from(self.sessions.end(&self.tenant, USER, session).await.unwrap()),
            End::All => self.sessions.end_all(&self.tenant, USER, None).await.unwrap(),
            End::Disable => self.sessions.disable(&self.tenant, USER).await.unwrap(),
        }
    }

    /// Holds a row until it is let go.
    pub(crate) async fn holding(&self, table: &str) -> Client {
        let client = self.superuser().await;
        client
            .batch_execute(&format!("begin; select from shared_security.{table} for update"))
            .await
            .unwrap();
        client
    }
}

/// ASVS 7.4.3; and 7.4.1 for a log-out. The refresh comes first, and its successor is ended with the rest.
#[tokio::test]
async fn a_refresh_before_the_end_of_all_sessions_gains_nothing() {
    for turn in 0..3 {
        let world = World::new().await;
        let first = world.open(USER).await;
        let how = End::of(&first)[turn];
        let (holder, watch) = (world.holding("session").await, world.superuser().await);
        let (refreshed, ended, ()) = tokio::join!(
            world.refresh(first.refresh_token.expose()),
            async {
                until(async || world.waiting(&watch).await == 1).await;
                world.end(how).await
            },
            async {
                until(async || world.waiting(&watch).await == 2).await;
                holder.batch_execute("commit").await.unwrap();
            },
        );
        assert_eq!(ended, 1, "{how:?}");
        is_ended(&world, refreshed.unwrap()).await;
    }
}

/// ASVS 7.4.3; and 7.4.1 for a log-out. The refresh waits for the end of all sessions, and sees it.
#[tokio::test]
async fn a_refresh_behind_the_end_of_all_sessions_is_refused() {
    for turn in 0..3 {
        let world = World::new().await;
        let first = world.open(USER).await;
        let how = End::of(&first)[turn];
        let (holder, watch) = (world.holding("session").await, world.superuser().await);
        let (ended, refreshed, ()) = tokio::join!(
            world.end(how),
            async {
                until(async || world.waiting(&watch).await == 1).await;
                world.refresh(first.refresh_token.expose()).await
            },
            async {
                until(async || world.waiting(&watch).await == 2).await;
                holder.batch_execute("commit").await.unwrap();
            },
        );
        assert_eq!(ended, 1, "{how:?}");
        assert!(matches!(refreshed, Err(RefreshError::Ended)), "{how:?}: {refreshed:?}");
    }
}

/// The old password was right when it was looked at, and a new one was set before the session was opened.
#[tokio::test]
async fn a_login_that_began_before_the_end_of_all_sessions_opens_none() {
    for how in [End::All, End::Disable] {
        let world = World::new().await;
        let login = world.sessions.login(&world.tenant, USER).await.unwrap();
        world.end(how).await;
        let refused = world.sessions.open(&world.tenant, login, NewSession::new(CLIENT)).await.unwrap_err();
        assert!(refused.to_string().starts_with("the login was refused"), "{refused}");
    }
    let world = World::new().await;
    let login = world.sessions.login(&world.tenant, USER).await.unwrap();
    world.sessions.end_tenant(&world.tenant).await.unwrap();
    assert!(world.sessions.open(&world.tenant, login, NewSession::new(CLIENT)).await.is_err());
}

/// The session is just being written when all are ended: the end waits for it, and takes it along.
#[tokio::test]
async fn a_session_that_is_being_opened_is_ended_with_the_others() {
    let world = World::new().await;
    world.open(USER).await;
    let (holder, watch) = (world.holding("subject").await, world.superuser().await);
    let (opened, ended, ()) = tokio::join!(
        world.open(USER),
        async {
            until(async || world.waiting(&watch).await == 1).await;
            world.end(End::All).await
        },
        async {
            until(async || world.waiting(&watch).await == 2).await;
            holder.batch_execute("commit").await.unwrap();
        },
    );
    assert_eq!(ended, 2);
    is_ended(&world, opened).await;
}

async fn is_ended(world: &World, session: OpenSession) {
    let refused = world.refresh(session.refresh_token.expose()).await;
    assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
    assert!(world.revocations.refuses(&world.access_token(&session)));
}
