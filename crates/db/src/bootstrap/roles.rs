//! What lies below the schemas: the roles and who may take them on, the extension, the right to make schemas.

use super::session::{Session, failed, needs_right};
use crate::address::Address;
use crate::config::{Config, Roles, quoted};
use crate::error::Error;
use crate::migration::MigrationSet;

impl Session {
    /// Makes what is missing; needs no right where nothing is.
    pub(super) async fn prepare(
        &self,
        config: &Config,
        roles: &Roles,
        sets: &[MigrationSet],
    ) -> Result<(), Error> {
        self.make_roles(config, roles).await?;
        self.make_extension(sets).await?;
        self.grant_database(roles).await
    }

    async fn make_roles(&self, config: &Config, roles: &Roles) -> Result<(), Error> {
        for role in [&roles.owner, &roles.app, &roles.system, &roles.across, &roles.definer] {
            if self.exists("SELECT 1 FROM pg_roles WHERE rolname = $1", role).await? {
                continue;
            }
            // Without inheritance: what the definer may read is for its functions, and not for the owner's views.
            let statement = format!("CREATE ROLE {} NOLOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS", quoted(role));
            // Roles belong to the whole server: another database's bootstrap may make the same one now.
            let guarded = format!(
                "DO $make$ BEGIN {statement}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $make$"
            );
            self.right(&guarded, &statement).await?;
        }
        let mut grants = vec![(config.owner_url(), [&roles.owner, &roles.definer])];
        grants.push((&config.url, [&roles.app, &roles.app]));
        grants.push((config.system_url(), [&roles.system, &roles.across]));
        // So that a migration, which runs as the owner, can give a function to the definer.
        self.make_member(&roles.owner, &roles.definer).await?;
        self.end_inheritance(&roles.owner, &roles.definer).await?;
        for (url, roles) in grants {
            let login = match Address::new(config, url)?.settings.get_user() {
                Some(login) => login.to_owned(),
                None => self.session_user().await?,
            };
            for role in roles {
                self.make_member(&login, role).await?;
            }
        }
        Ok(())
    }

    /// A URL without a user logs in as the user of the operating system, as this session did.
    async fn session_user(&self) -> Result<String, Error> {
        self.client.query_one("SELECT session_user::text", &[]).await.map(|row| row.get(0)).map_err(failed)
    }

    /// The definer sees every tenant's rows through its policies; an owner that inherits them would show them to everybody
    /// in any view that it makes.
    async fn end_inheritance(&self, owner: &str, definer: &str) -> Result<(), Error> {
        const INHERITS: &str =
            "SELECT pg_has_role($1, $2, 'USAGE'), current_setting('server_version_num')::int >= 160000";
        let inherits = async || self.client.query_one(INHERITS, &[&owner, &definer]).await.map_err(failed);
        let before = inherits().await?;
        if !before.get::<_, bool>(0) {
            return Ok(());
        }
        let (owner_name, definer_name) = (quoted(owner), quoted(definer));
        let statement = match before.get(1) {
            true => format!("GRANT {definer_name} TO {owner_name} WITH INHERIT FALSE, SET TRUE"),
            false => format!("ALTER ROLE {owner_name} NOINHERIT"),
        };
        self.right(&statement, &statement).await?;
        match inherits().await?.get(0) {
            false => Ok(()),
            true => Err(Error::Unsafe(format!(
                "role {owner} inherits what {definer} may read; run: {statement};"
            ))),
        }
    }

    /// Membership in the role, so that the login may take it on. A superuser needs none. Until it does, the login sees
    /// nothing by it, where the server can tell the two apart.
    async fn make_member(&self, login: &str, role: &str) -> Result<(), Error> {
        // Since 16, who makes a role is its member and may still not take it on.
        const MEMBER: &str = "
            SELECT pg_has_role($1, $2, CASE WHEN server.is_new THEN 'SET' ELSE 'MEMBER' END), server.is_new
              FROM (SELECT current_setting('server_version_num')::int >= 160000 AS is_new) server";
        let row = self.client.query_one(MEMBER, &[&login, &role]).await.map_err(failed)?;
        if row.get(0) {
            return Ok(());
        }
        let how = if row.get(1) { " WITH INHERIT FALSE, SET TRUE" } else { "" };
        let grant = format!("GRANT {} TO {}{how}", quoted(role), quoted(login));
        self.right(&grant, &grant).await
    }

    /// A server without pgvector serves whoever has no collections.
    async fn make_extension(&self, sets: &[MigrationSet]) -> Result<(), Error> {
        if self.exists("SELECT 1 FROM pg_extension WHERE extname = $1", "vector").await? {
            return Ok(());
        }
        if !self.exists("SELECT 1 FROM pg_available_extensions WHERE name = $1", "vector").await? {
            if !sets.iter().any(MigrationSet::has_collections) {
                return Ok(());
            }
            return Err(Error::Bootstrap(
                "the server has no pgvector; install it (Debian: postgresql-NN-pgvector), or use `shared-devkit up`".to_owned(),
            ));
        }
        let statement = "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public";
        self.right(statement, statement).await
    }

    async fn grant_database(&self, roles: &Roles) -> Result<(), Error> {
        const MAY_CREATE: &str =
            "SELECT current_database()::text, has_database_privilege($1, current_database(), 'CREATE')";
        let may_create = async || self.client.query_one(MAY_CREATE, &[&roles.owner]).await.map_err(failed);
        let row = may_create().await?;
        if row.get(1) {
            return Ok(());
        }
        let database: String = row.get(0);
        let grant = format!("GRANT CREATE ON DATABASE {} TO {}", quoted(&database), quoted(&roles.owner));
        self.right(&grant, &grant).await?;
        // Who may not grant it gets a warning and no error.
        match may_create().await?.get(1) {
            true => Ok(()),
            false => Err(needs_right("the login may not grant it", &grant)),
        }
    }
}
